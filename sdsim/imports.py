"""Classes that a config names by where to import them from."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def import_class(setting: str, path: str) -> type[Any]:
    """The class at ``"package.module.ClassName"``.

    Args:
        setting: what the config calls it, for errors.
        path: the import path.

    Raises:
        ValueError: naming the setting, where the module or the class is not to be had.
    """
    module, _, name = path.rpartition(".")
    if not module or not all(part.isidentifier() for part in path.split(".")):
        raise ValueError(f"{setting} = {path!r}: an import path package.module.ClassName is needed")
    try:
        found = getattr(import_module(module), name)
    except ImportError as error:
        raise ValueError(f"{setting} = {path!r}: cannot be imported ({error})") from error
    except AttributeError as error:
        raise ValueError(f"{setting} = {path!r}: {module} has no {name}") from error
    if not isinstance(found, type):
        raise ValueError(f"{setting} = {path!r}: that is no class")
    return found
