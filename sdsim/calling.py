"""Packages that are called like the function of their name: ``sdsim.sweep(…)``.

A package of that name, once imported, stands where the function would. So the package itself is
made callable.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """A package that has a function: itself."""

    _function: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module, _, name = self._function.rpartition(".")
        return getattr(import_module(module), name)(*args, **kwargs)


def call_as(package: str, function: str) -> None:
    """Let a package be called, with what a function takes.

    Args:
        package: its name; it is being imported.
        function: import path of the function, which is imported when it is called.
    """
    module = sys.modules[package]
    module.__class__ = _CallablePackage
    vars(module)["_function"] = function
