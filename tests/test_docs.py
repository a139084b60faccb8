"""The pages of docs/ do what they say: their files are written, their commands run."""

import os
import re
import shlex
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
FILE = re.compile(r"^`([\w/]+\.\w+)`\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(line: str, folder: Path) -> str:
    words = shlex.split(line)
    environment = dict(os.environ)
    while "=" in words[0]:
        name, value = words.pop(0).split("=", 1)
        environment[name] = value
    assert words[0] == "sdsim"
    command = [sys.executable, "-m", "sdsim", *words[1:]]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_a_model_and_a_task_of_ones_own(tmp_path: Path) -> None:
    page = (DOCS / "extending.md").read_text()
    files = FILE.findall(page)
    assert [name for name, _ in files] == [
        "fading.py",
        "conf/model/fading.yaml",
        "missing.py",
        "conf/task/missing.yaml",
    ]
    for name, text in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    commands = [line for block in COMMANDS.findall(page) for line in block.splitlines()]
    outputs = [run(line, tmp_path) for line in commands]
    assert len(outputs) == 4
    assert "fading" in outputs[0]
    assert "fading" in outputs[1]
    assert "fading" in outputs[3]
    assert "gru" in outputs[3]
    assert (tmp_path / "runs" / "missing" / "figures" / "slices.csv").is_file()


def test_the_model_of_the_page_obeys_the_contract(tmp_path: Path) -> None:
    """The page's own mixer does what the page asks of every mixer."""
    import torch

    from sdsim.models import Mixer, ModelConfig

    (_, source), *_ = FILE.findall((DOCS / "extending.md").read_text())
    scope: dict[str, object] = {}
    exec(source, scope)
    kind = scope["FadingSum"]
    assert isinstance(kind, type)
    assert issubclass(kind, Mixer)
    torch.manual_seed(0)
    mixer = kind(ModelConfig("test", ("gru",), width=6)).double()
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    whole, _ = mixer.prefill(x)
    y, state = mixer.prefill(x[:, :3])
    last, _ = mixer.step(x[:, 3], state)
    torch.testing.assert_close(torch.cat([y, last[:, None]], 1), whole[:, :4])
    rest, _ = mixer.prefill(x[:, 3:], state=state)
    torch.testing.assert_close(torch.cat([y, rest], 1), whole)
    padded = torch.cat([torch.randn(2, 2, 6, dtype=torch.float64), x], dim=1)
    mask = torch.arange(7).expand(2, 7) >= 2
    torch.testing.assert_close(mixer.prefill(padded, mask=mask)[0][:, 2:], whole)


def test_the_page_on_theory_gives_what_its_commands_print() -> None:
    from theory.claims.claim import STRENGTHS
    from theory.layers.approximation import layers_within
    from theory.layers.degrees import layers_for_degree
    from theory.passes.exhaustive import fewest_recurrent_states, fewest_states
    from theory.passes.tower import tower_for

    page = " ".join((DOCS / "theory.md").read_text().split())
    bits = [tower_for(64, 64, passes, 0.05).bits / 64 for passes in (1, 2, 3, 4)]
    assert f"| bits per element | {' | '.join(f'{each:.2f}' for each in bits)} |" in page
    layers = layers_within(64, Fraction(1, 3)), layers_for_degree(2 * 64)
    assert "{} in place of {} layers at d = 64, ε = 1/3".format(*layers) in page
    assert (fewest_recurrent_states(4, 1, 1, 2), fewest_states(4, 1, 1, 2)) == (3, 2)
    assert "three states, where those who remember manage with two" in page
    strengths = re.findall(r"\| (\w+) \| [^|]* \| (?:holds|agrees|not checked) \|", page)
    assert strengths == list(STRENGTHS)
