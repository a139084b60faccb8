"""`sdsim tasks`: each task with a pictured example, its knobs, bits, and what it stands for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from inspect import getdoc
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic.dataclasses import dataclass as checked_dataclass

from sdsim.commands.command import Command
from sdsim.commands.console import console, print_paths
from sdsim.config import STRICT
from sdsim.files import check_writable, write_text

if TYPE_CHECKING:
    from synthetic import Task

HELP = """\
sdsim tasks: the synthetic tasks, each with one example (inputs aligned over targets), its knobs,
how many bits it takes, and what it stands for in language.

  sdsim tasks                                    as Markdown, on standard output
  sdsim tasks out=docs/tasks.md                  into a file
"""

_HEAD = """\
# The tasks

Each task is a class of `synthetic` and a config entry: `sdsim train task=set_disjointness`.
Below the inputs stand their targets, `·` where nothing is asked. `[p]` begins a reading of the
input, `[s]` separates its two sides, `[?]` asks for an answer. The examples are number 0 of
seed 0. Bits of state are those that an error-free state holds when one side has been read.
`sdsim tasks out=docs/tasks.md` writes this page.
"""


@checked_dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of ``sdsim tasks``.

    Attributes:
        out: file of the page; null: standard output.
    """

    out: str | None = None


@dataclass(frozen=True)
class _Entry:
    """What the page says of a task, beside its class.

    Attributes:
        options: of the example.
        bits: what a state has to hold when one side has been read, without errors.
        language: what it stands for.
    """

    options: dict[str, Any]
    bits: str
    language: str


_ENTRIES = {
    "SetDisjointness": _Entry(
        {"vocab_size": 16, "size_a": 3, "size_b": 5},
        "exact decisions: log2 C(n, |A|) in one pass if n ≥ |A| + |B|, few where the short set "
        "comes first and many where the long one does; two passes take few in both orders, see "
        "`sdsim theory bounds`",
        "finding what two texts have in common: a name in a question and in a document, whichever "
        "comes first",
    ),
    "AssociativeRecall": _Entry(
        {"vocab_size": 16, "pairs": 3},
        "context first: at least log2(v! / (v - pairs)!) for v values, which is what the values "
        "take if the keys are known; question first: those of the queries, however many pairs "
        "there are",
        "looking up in a text what is said of somebody, asked after it or before it",
    ),
    "GeneralAssociativeRecall": _Entry(
        {"vocab_size": 16, "pairs": 3, "queries": 2},
        "at least those of associative recall; telling which queries are absent is set "
        "disjointness of keys and queries",
        "the same, where a text may not say it: an answer that has to be declined",
    ),
    "MultiQueryAssociativeRecall": _Entry(
        {"vocab_size": 16, "pairs": 3, "queries": 3},
        "at least log2(v! / (v - pairs)!) for v values: any pair may be asked for",
        "names and terms that recur in a text, each continued as before",
    ),
    "NoisyAssociativeRecall": _Entry(
        {"vocab_size": 18, "pairs": 3, "noise": 4, "noise_tokens": 2},
        "those of associative recall, since noise need not be held",
        "the same, where most of a text is of no use for any question",
    ),
    "SelectiveCopying": _Entry(
        {"vocab_size": 16, "items": 3, "delay": 2, "blanks": 3},
        "items · log2(n): any two lists of items have different answers",
        "repeating a list, such as the steps of an instruction, without the words between them",
    ),
}

_BAR = "\\|"  # within a table
_SPECIAL = {"PREFIX": "[p]", "SEP": "[s]", "SEP_ANSWER": "[?]"}


def page() -> str:
    """The gallery, as Markdown."""
    import synthetic

    parts = [_HEAD]
    for name, entry in _ENTRIES.items():
        kind: type[Any] = getattr(synthetic, name)
        parts.append(_section(kind, entry))
    return "\n".join(parts)


def _section(kind: type[Any], entry: _Entry) -> str:
    from sdsim.commands.help import attributes

    docstring = getdoc(kind) or ""
    summary = docstring.splitlines()[0]
    task = kind(**entry.options)
    shown = ", ".join(f"{name}={value}" for name, value in entry.options.items())
    knobs = attributes(docstring)
    rows = "\n".join(
        f"| `{name}` | {meaning.replace('|', _BAR)} |" for name, meaning in knobs.items()
    )
    return (
        f"## {_words(kind.__name__)}\n\n{summary}\n\n"
        f"`{kind.__name__}({shown})`:\n\n```\n{picture(task)}\n```\n\n"
        f"| knob | meaning |\n|---|---|\n{rows}\n\n"
        f"**Bits of state**: {entry.bits}.\n\n**In language**: {entry.language}.\n"
    )


def picture(task: Task) -> str:
    """Example 0 of seed 0: inputs, and the targets below them."""
    batch = task.sample(1, seed=0)
    names = _names(task)
    inputs = [names.get(token, str(token)) for token in batch.inputs[0].tolist()]
    targets = [
        "·" if token < 0 else names.get(token, str(token)) for token in batch.targets[0].tolist()
    ]
    widths = [max(map(len, pair)) for pair in zip(inputs, targets, strict=True)]
    lines = (("inputs ", inputs), ("targets", targets))
    return "\n".join(
        " ".join([start, *(f"{word:>{width}}" for word, width in zip(words, widths, strict=True))])
        for start, words in lines
    )


def _names(task: Task) -> dict[int, str]:
    """What the special tokens of a task are called."""
    constants = {
        name: value
        for name in dir(type(task))
        if name.isupper() and isinstance(value := getattr(type(task), name), int)
    }
    own = {value: f"[{name.lower()}]" for name, value in constants.items() if name[0] != "_"}
    fields = asdict(task)  # type: ignore[call-overload]
    if fields.get("answer") in ("token", "all"):  # whose tokens are not those of decisions
        own = {}
    return own | {constants[name]: short for name, short in _SPECIAL.items()}


def _words(name: str) -> str:
    """``SetDisjointness`` as words."""
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
    return spaced.strip().capitalize()


def run(config: Config) -> None:
    """Print the page, or write it."""
    if config.out is None:
        console.print(page(), soft_wrap=True, end="")
        return
    path = Path(config.out)
    check_writable(path.parent, "out")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page())
    print_paths([path])


COMMAND = Command.of(
    Config,
    name="tasks",
    summary="show the synthetic tasks, with examples, knobs and bounds",
    help=HELP,
    run=run,
)
