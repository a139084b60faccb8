"""What of the code itself pytest leaves alone where an extra is not installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("lm_eval") else ["sdsim/evaluation/harness_model.py"]
