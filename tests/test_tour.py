"""docs/library.md and docs/tour.ipynb are one walk, and it can be walked.

`python -m tests.test_tour` writes the notebook anew from the page, with what its cells give. Cells
are run by plain `exec`: nbclient would bring a server and its sockets along (ipykernel, tornado,
zmq) to run a dozen lines.
"""

import ast
import base64
import contextlib
import io
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

DOCS = Path(__file__).parent.parent / "docs"
_CODE = re.compile(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def steps(page: str) -> list[tuple[str, str, str | None]]:
    """What a page says before each block of code, the code, and what it gives (None: not said)."""
    found, start = [], 0
    for match in _CODE.finditer(page):
        found.append((page[start : match.start()].strip(), match[1].rstrip(), match[2]))
        start = match.end()
    return found


def run(code: str, scope: dict[str, Any]) -> object:
    """Run a cell; the value of its last line, None unless it is an expression."""
    body = ast.parse(code).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "cell", "exec"), scope)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), scope) if last else None


@contextlib.contextmanager
def elsewhere(folder: Path) -> Iterator[None]:
    """In a folder, without a window for figures."""
    before, backend = Path.cwd(), mpl.get_backend()
    os.chdir(folder)
    mpl.use("agg")
    try:
        yield
    finally:
        os.chdir(before)
        mpl.use(backend)


def notebook(page: str) -> dict[str, Any]:
    """The page as a notebook without outputs."""
    cells: list[dict[str, Any]] = []
    for number, (said, code, _) in enumerate(steps(page)):
        cells.append(_cell("markdown", said, f"said-{number}"))
        shown = {"execution_count": None, "outputs": []}
        cells.append(_cell("code", code, f"code-{number}") | shown)
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def _cell(kind: str, text: str, identity: str) -> dict[str, Any]:
    source = text.splitlines(keepends=True)
    return {"cell_type": kind, "id": identity, "metadata": {}, "source": source}


def written() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DOCS / "tour.ipynb").read_text(encoding="utf-8"))
    return found


def test_the_notebook_is_the_page() -> None:
    without_outputs = written()
    for cell in without_outputs["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    assert without_outputs == notebook((DOCS / "library.md").read_text(encoding="utf-8"))


def test_the_notebook_runs_and_gives_what_the_page_says(tmp_path: Path) -> None:
    scope: dict[str, Any] = {}
    expected = [given for _, _, given in steps((DOCS / "library.md").read_text(encoding="utf-8"))]
    cells = [cell for cell in written()["cells"] if cell["cell_type"] == "code"]
    with elsewhere(tmp_path):
        values = [
            run("".join(cell["source"]).replace("train.steps=600", "train.steps=20"), scope)
            for cell in cells
        ]
    for value, given in zip(values, expected, strict=True):
        assert given is None or repr(value) == given.strip()
    assert isinstance(values[-1], Figure)
    (ax,) = values[-1].axes
    assert [len(line.get_xdata()) for line in ax.lines] == [3, 3, 2]


def _shown(value: object) -> dict[str, Any]:
    data = {"text/plain": [repr(value)]}
    if isinstance(value, Figure):
        picture = io.BytesIO()
        value.savefig(picture, format="png", dpi=80, metadata={"Software": None})
        data = {"image/png": base64.b64encode(picture.getvalue()).decode(), "text/plain": ["curve"]}
    return {"output_type": "execute_result", "data": data, "metadata": {}}


if __name__ == "__main__":
    filled, scope = notebook((DOCS / "library.md").read_text(encoding="utf-8")), dict[str, Any]()
    with tempfile.TemporaryDirectory() as folder, elsewhere(Path(folder)):
        code_cells = [cell for cell in filled["cells"] if cell["cell_type"] == "code"]
        for count, cell in enumerate(code_cells, start=1):
            value = run("".join(cell["source"]), scope)
            cell["execution_count"] = count
            if value is not None:
                cell["outputs"] = [_shown(value) | {"execution_count": count}]
    text = json.dumps(filled, indent=1, ensure_ascii=False) + "\n"
    (DOCS / "tour.ipynb").write_text(text, encoding="utf-8")
