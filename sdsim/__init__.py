"""sdsim: memory against order in recurrent language models.

Tasks stream tokens into models with a measured state; sweeps turn (order × state size × passes)
into stored runs; figures lay those runs beside what theory proves.
"""

from importlib.util import find_spec
from pathlib import Path

__version__ = "0.1.0"

_ROOMS = ("theory", "synthetic", "kernels", "figures")


def _check_rooms(parent: Path) -> None:
    """Raise `ImportError` if another package of a room's plain name shadows it."""
    for room in _ROOMS:
        spec = find_spec(room)
        if spec is not None and spec.origin != str(parent / room / "__init__.py"):
            raise ImportError(
                f"another package named {room!r} ({spec.origin}) shadows the one that sdsim needs "
                f"({parent / room}): remove or rename it, or put {parent} first on the path"
            )


_check_rooms(Path(__file__).resolve().parent.parent)
