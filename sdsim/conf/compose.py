"""From overrides to a composed config, from that to a checked dataclass, errors in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import Any, TypeVar

from hydra import compose, initialize_config_module
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue
from pydantic import TypeAdapter, ValidationError

from sdsim.conf import MODULE

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
    part = OmegaConf.masked_copy(config, [str(name) for name in config if name not in ignore])
    try:
        return OmegaConf.to_container(part, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
    except MissingMandatoryValue as error:
        key = str(error.full_key)
        raise ValueError(f"{key} is missing: give it as {key}=…") from error


def validate(kind: type[T], values: dict[str, Any], path: str = "") -> T:
    """As `parse`, of plain data."""
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise ValueError(describe(error, path)) from error


def describe(error: ValidationError, path: str = "") -> str:
    """Each field that is wrong, its value and what is allowed, in one line."""
    details = [dict(detail) for detail in error.errors()]
    # A list whose items are wrong is itself reported as too short.
    inner = [outer for outer in details if not any(_is_within(x, outer) for x in details)]
    return "; ".join(dict.fromkeys(_one_line(detail, path) for detail in inner))


def _is_within(inner: dict[str, Any], outer: dict[str, Any]) -> bool:
    depth = len(outer["loc"])
    return len(inner["loc"]) > depth and inner["loc"][:depth] == outer["loc"]


def _one_line(error: dict[str, Any], path: str) -> str:
    if error["type"] == "value_error":  # raised by a check of ours, which has named the field
        return str(error["ctx"]["error"])
    where = ".".join(str(part) for part in error["loc"] if part not in ("int", "float"))
    return f"{path}{where} = {error['input']!r}: {_requirement(error)}"


def _requirement(error: dict[str, Any]) -> str:
    kind, message = error["type"], error["msg"]
    if kind in ("int_type", "int_parsing", "float_type", "float_parsing"):
        return "must be a valid number" if error["loc"][-1] in ("int", "float") else _must(message)
    if kind == "tuple_type":
        return f"must be a list, such as [{error['input']}]"
    if kind == "too_short":
        return f"must have at least {error['ctx']['min_length']} items".replace("1 items", "1 item")
    return _must(message)


def _must(message: str) -> str:
    begun = message.removeprefix("Input should ")
    return f"must {begun}" if begun != message else message.lower()
