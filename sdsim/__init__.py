"""sdsim: memory against order in recurrent language models.

Tasks stream tokens into models with a measured state; sweeps turn (order × bits of state × passes)
into stored runs; figures lay those runs beside what theory proves.

>>> import sdsim
>>> task = sdsim.task("set_disjointness", 4, 12)  # A of 4 tokens, B of 12; which do they share?
>>> sdsim.model("gru", task, width=16)
LanguageModel(gru: 4 layers of gru, width 16, 11,536 parameters)
>>> [name for name in dir(sdsim) if name[0] != "_"]
['card', 'evaluate', 'load', 'load_model', 'model', 'report', 'sweep', 'task', 'train']

Each has its own docstring; `docs/library.md` goes from a task's tensor to a curve.
"""

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

_SIBLINGS = ("theory", "synthetic", "kernels", "figures")


class _Siblings(MetaPathFinder):
    """Finds the packages of plain names beside this one, before any other of their names."""

    def __init__(self, parent: Path) -> None:
        self.parent = parent

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        """The package beside `sdsim`; None for all other names."""
        if fullname not in _SIBLINGS:
            return None
        folder = self.parent / fullname
        return spec_from_file_location(
            fullname, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )


def _find_siblings(parent: Path) -> None:
    """Have the packages of plain names beside this one be imported, and no other of their names.

    Neither a folder without code, such as ``figures/`` in a working directory, nor another
    installed package of such a name is then taken for ours.

    Raises:
        ImportError: if another package of such a name is in use already.
    """
    for name in _SIBLINGS:
        ours = parent / name / "__init__.py"
        loaded = sys.modules.get(name)
        if loaded is not None and getattr(loaded, "__file__", None) != str(ours):
            raise ImportError(
                f"sdsim needs its own package {name!r} ({ours.parent}), but another one of that "
                f"name was imported first, from {getattr(loaded, '__file__', 'a folder')}: "
                "import sdsim first, or use the two in separate processes"
            )
        spec = find_spec(name) if loaded is None else None
        if spec is not None and spec.origin != str(ours):
            sys.meta_path.insert(0, _Siblings(parent))
            return


_find_siblings(Path(__file__).resolve().parent.parent)


_OFFERED = {
    "card": "sdsim.card",  # a package that is called, see `sdsim.calling`
    "evaluate": "sdsim.library.evaluate",
    "load": "sdsim.store.table.load",
    "load_model": "sdsim.store.weights.load_model",
    "model": "sdsim.library.model",
    "report": "figures.report.write_report",
    "sweep": "sdsim.sweep",  # a package too
    "task": "sdsim.library.task",
    "train": "sdsim.library.train",
}
"""What users of the library call, and where it is, imported when it is first asked for."""


def __getattr__(name: str) -> Any:
    if name not in _OFFERED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _OFFERED[name].rpartition(".")
    if module == __name__:
        return import_module(_OFFERED[name])
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    """What is offered, without the plumbing."""
    return [*_OFFERED, "__version__"]
