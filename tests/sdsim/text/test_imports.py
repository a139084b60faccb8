"""What the text modules import: the command line starts fast, and so does generation."""

import subprocess
import sys
from pathlib import Path

import pytest

from sdsim.text.config import CorpusConfig, PretrainConfig
from sdsim.text.loop import pretrain

LOAD = """
import sys
from pathlib import Path
from sdsim.text import generate
from sdsim.text.run_folder import trained_model
trained_model(Path(sys.argv[1]))
"""


def imported(code: str, *words: str) -> set[str]:
    """The modules that a new process has imported once it has run the code."""
    code += "\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["config", "presets"])
def test_configs_and_presets_do_not_import_torch(module: str) -> None:
    modules = imported(f"import sdsim.text.{module}")
    assert f"sdsim.text.{module}" in modules
    assert not modules & {"torch", "numpy", "huggingface_hub", "tokenizers", "polars"}


def test_a_finished_model_is_used_without_what_training_needs(
    corpus: CorpusConfig, tmp_path: Path
) -> None:
    config = PretrainConfig(str(tmp_path), corpus, seq_len=32, prefix_len=16, steps=1, threads=1)
    pretrain(config)
    modules = imported(LOAD, config.out)
    assert "sdsim.text.generate" in modules
    assert not modules & {
        "torch.distributed.fsdp",
        "torch.distributed.checkpoint",
        "sdsim.text.corpus",
        "sdsim.text.loop",
    }
