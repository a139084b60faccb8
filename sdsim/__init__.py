"""sdsim: memory against order in recurrent language models.

Tasks stream tokens into models with a measured state; sweeps turn (order × bits of state × passes)
into stored runs; figures lay those runs beside what theory proves.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

__version__ = "0.1.0"

_SIBLINGS = ("theory", "synthetic", "kernels", "figures")


def _find_siblings(parent: Path) -> None:
    """Have the packages of plain names beside this one be imported, and no other of their names.

    A folder without code, such as ``figures/`` in a working directory, gives way to a package that
    stands later on the path; for another installed package the path must begin with ours.

    Raises:
        ImportError: if another package of such a name is in use already.
    """
    for name in _SIBLINGS:
        ours = parent / name / "__init__.py"
        loaded = sys.modules.get(name)
        if loaded is not None and not _is_ours(getattr(loaded, "__file__", None), ours):
            raise ImportError(
                f"sdsim needs its own package {name!r} ({ours.parent}), but another one of that "
                f"name has been imported before it, from {getattr(loaded, '__file__', 'a folder')}: "
                "import sdsim first, or use the two in separate processes"
            )
        spec = find_spec(name) if loaded is None else None
        if spec is not None and not _is_ours(spec.origin, ours):
            if spec.origin is None:  # a folder without code
                sys.path.append(str(parent))
            else:
                sys.path.insert(0, str(parent))


def _is_ours(origin: str | None, ours: Path) -> bool:
    return origin is not None and Path(origin) == ours


_find_siblings(Path(__file__).resolve().parent.parent)
