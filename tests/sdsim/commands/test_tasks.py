"""The page of tasks is what the command prints, and has every task."""

import re
from pathlib import Path

from sdsim.commands.tasks import page, picture
from sdsim.config import TaskConfig
from synthetic import GeneralAssociativeRecall, Task
from tests.conftest import Run

ROOT = Path(__file__).parents[3]


def test_the_page_is_what_the_command_writes(run: Run, tmp_path: Path) -> None:
    assert (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8") == page()
    assert run("tasks")[1] == page()
    code, out, _ = run("tasks", "out=pages/tasks.md")
    assert (code, out) == (0, "pages/tasks.md\n")
    assert (tmp_path / "pages" / "tasks.md").read_text(encoding="utf-8") == page()


def test_every_task_that_can_be_swept_is_on_the_page_with_its_knobs() -> None:
    sections = page().split("\n## ")[1:]
    files = (ROOT / "sdsim" / "conf" / "task").glob("*.yaml")
    found = [re.search(r"^kind: (\S+)$", file.read_text(), re.MULTILINE) for file in files]
    kinds = {(match[1] if match else TaskConfig().kind).rpartition(".")[2] for match in found}
    assert {section.split("`")[1].partition("(")[0] for section in sections} == kinds
    for section in sections:
        assert "| `vocab_size` | V," in section
        assert "| `passes` |" in section
        assert "**Bits of state**: " in section
        assert "**In language**: " in section


def test_a_picture_has_a_target_below_each_input() -> None:
    task: Task = GeneralAssociativeRecall(16, pairs=3, queries=2)
    batch = task.sample(1, seed=0)
    inputs, targets = (line.split()[1:] for line in picture(task).splitlines())
    special = {"[p]": 0, "[s]": 1, "[?]": 2, "[null]": 3, "·": -100}
    assert [int(special.get(word, word)) for word in inputs] == batch.inputs[0].tolist()
    assert [int(special.get(word, word)) for word in targets] == batch.targets[0].tolist()
    first, second = picture(task).splitlines()
    assert len(first) == len(second)
