"""sdsim: memory against order in recurrent language models.

Tasks stream tokens into models with a measured state; sweeps turn (order × bits of state × passes)
into stored runs; figures lay those runs beside what theory proves.
"""

import sys
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


def __getattr__(name: str) -> Any:
    """What users of the library call, imported when it is first asked for."""
    if name == "load_model":
        from sdsim.store.weights import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
