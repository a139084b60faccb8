"""From overrides to a composed config, from that to a checked dataclass, errors in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from functools import cache
from typing import Any, TypeVar, cast

from hydra import compose, initialize_config_module
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue
from pydantic import TypeAdapter, ValidationError

from sdsim.conf import MODULE
from sdsim.reading import describe

T = TypeVar("T")


@contextlib.contextmanager
def composed(name: str, overrides: list[str]) -> Iterator[tuple[DictConfig, ConfigLoader]]:
    """A primary config with overrides, ``hydra`` included, and the loader that made it.

    While it is open, more configs can be composed by the loader. A config that is being used
    meanwhile, by an outer `composed`, comes back at the end.
    """
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module(MODULE, version_base="1.3"):
            config = compose(name, overrides=overrides, return_hydra_config=True)
            yield config, GlobalHydra.instance().config_loader()
    finally:
        GlobalHydra.instance().hydra = outer


def parse(kind: type[T], config: DictConfig, *, path: str = "") -> T:
    """The checked dataclass that a composed config describes, types and unknown keys included.

    Args:
        kind: the dataclass.
        config: the config; what it says of Hydra itself is left out.
        path: what stands before the names of its fields on the command line, such as ``"sweep."``.

    Raises:
        ValueError: in one line that names each field that is wrong.
    """
    return validate(kind, plain(config), path)


def plain(config: DictConfig, ignore: Collection[str] = ("hydra",)) -> dict[str, Any]:
    """A composed config as plain data, interpolations resolved."""
    part = config
    if any(name in config for name in ignore):  # else it need not be copied
        part = OmegaConf.masked_copy(config, [str(name) for name in config if name not in ignore])
    try:
        return OmegaConf.to_container(part, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
    except MissingMandatoryValue as error:
        key = str(error.full_key)
        raise ValueError(f"{key} is missing: give it as {key}=…") from error


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def validate(kind: type[T], values: dict[str, Any], path: str = "") -> T:
    """As `parse`, of plain data."""
    try:
        adapter: TypeAdapter[T] = _adapter(cast("Any", kind))
        return adapter.validate_python(values)
    except ValidationError as error:
        raise ValueError(describe(error, path)) from error
