"""What `import sdsim.models` loads."""

import subprocess
import sys

HEAVY = ["huggingface_hub", "matplotlib", "safetensors", "sympy", "theory", "transformers"]


def test_models_load_nothing_heavy_beside_torch() -> None:
    code = "import sys, sdsim.models; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "torch" in loaded
    assert not set(HEAVY) & set(loaded)
