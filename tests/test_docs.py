"""The pages of docs/ do what they say: their files are written, their commands run."""

import re
import shlex
from fractions import Fraction
from pathlib import Path

import pytest

from tests.conftest import Run

DOCS = Path(__file__).parent.parent / "docs"
FILE = re.compile(r"^`([\w/]+\.\w+)`\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_what_is_of_ones_own(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/extending.md, to the letter: its files are written, its commands run, in its order."""
    page = (DOCS / "extending.md").read_text(encoding="utf-8")
    files = dict(FILE.findall(page))
    assert [Path(name).stem for name in files] == [
        *("running", "hf_mamba", "hf_llama", "fading", "fading", "missing", "missing", "missing"),
        "by_length",
    ]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)  # PYTHONPATH=.
    outputs = []
    for line in (line for block in COMMANDS.findall(page) for line in block.splitlines()):
        words = [word for word in shlex.split(line) if word != "PYTHONPATH=."]
        assert words[0] == "sdsim"
        is_sweep = words[1] == "sweep" or "-m" in words
        here = ["hydra.launcher.n_jobs=1"] if is_sweep else []  # in this process
        code, out, err = run(*words[1:], *here)
        assert code == 0, f"{line}\n{out}\n{err}"
        outputs.append(out)
    assert len(outputs) == 11
    for said, output in zip(
        (
            "state unknown (model.stated_state_bits states it): own",
            "state stated, not measured: own",
            "hf_mamba",
            "hf_llama",
            "fading",
            "fading",
            "all runs are in runs/missing",
            "slices.png",
            "all runs are in runs/sweep",
            "fading",
            "by_length.png",
        ),
        outputs,
        strict=True,
    ):
        assert said in output
    assert "not drawn, since these runs do not allow it: order" in outputs[7]
    assert (tmp_path / "runs" / "sweep" / "figures" / "by_length.csv").is_file()


def test_the_page_says_what_a_centred_convolution_sees(capsys: pytest.CaptureFixture[str]) -> None:
    page = (DOCS / "extending.md").read_text(encoding="utf-8")
    (code,) = [block for block in PYTHON.findall(page) if "earlier_outputs(found)" in block]
    exec(code, {})
    said = code.rpartition("# ")[2].strip()
    assert capsys.readouterr().out.strip() == said


def test_the_model_of_the_page_obeys_the_contract(tmp_path: Path) -> None:
    """The page's own mixer does what the page asks of every mixer."""
    import torch

    from sdsim.models import Mixer, ModelConfig

    source = dict(FILE.findall((DOCS / "extending.md").read_text(encoding="utf-8")))["fading.py"]
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
