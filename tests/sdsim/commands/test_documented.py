"""Every command that the README, docs/ and the help texts print can be composed."""

import re
import shlex
from pathlib import Path

import pytest

from sdsim import commands
from tests.conftest import Run

ROOT = Path(__file__).parents[3]
_FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = {
    **{str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in _FILES},
    **{f"sdsim {name} --help": commands.find(name).help for name in commands.names()},
}
del PAGES["docs/extending.md"]  # tests/test_docs.py writes its files and runs its commands
_NEEDS_AN_EXTRA = "pip install -e '.["
_COMMAND = re.compile(r"(?:^ *|[|\s]|-m )sdsim ((?:\S| (?=\S))+)", re.MULTILINE)
_BLOCK = re.compile(r"^```(?:sh)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def documented(page: str) -> list[list[str]]:
    """The words after ``sdsim`` of each command that a page prints, placeholders filled in.

    A command of a help text ends where two spaces separate it from its explanation.
    """
    text = PAGES[page]
    if page.endswith(".md"):
        text = "\n".join(_BLOCK.findall(text)) + "\n"
    text = re.sub(r"\s*\\\n\s*", " ", text)
    if page.endswith("--help"):
        text = "\n".join(line for line in text.splitlines() if line.startswith("  "))
    lines = [match[1].partition(" #")[0].partition(" &&")[0] for match in _COMMAND.finditer(text)]
    fill = {"<dataset>": "owner/name", "<preset>": "tiny", "<name>": "tiny", "…": "x"}
    for gap, example in fill.items():
        lines = [line.replace(gap, example) for line in lines]
    return [shlex.split(line, comments=True) for line in lines]


def test_commands_are_found() -> None:
    assert sum(len(documented(page)) for page in PAGES) > 60
    assert ["confirm"] in documented("README.md")
    (several,) = [words for words in documented("docs/full_scale.md") if "scale=paper" in words]
    assert several[-1] == "compile=true"


@pytest.mark.parametrize("page", [page for page in PAGES if documented(page)])
def test_documented_commands_compose(page: str, run: Run) -> None:
    for words in documented(page):
        name = words[: 2 if " ".join(words[:2]) in commands.names() else 1]
        if " ".join(name) not in commands.names():
            assert name[0].startswith("-"), f"{page}: sdsim {' '.join(words)}"
            continue
        asks = not {"--help", "--cfg"}.isdisjoint(words)
        code, out, err = run(*words, *([] if asks else ["--cfg", "job"]))
        assert code == 0 or _NEEDS_AN_EXTRA in err, f"{page}: sdsim {' '.join(words)}: {err}"
        assert out or err
