"""Hydra's view of the configs: YAML in this folder, defaults from the dataclasses.

The dataclasses of `sdsim.config` hold each default and each check once. Here they become config
nodes that the YAML files extend, and a composed config becomes a checked dataclass again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from pydantic import TypeAdapter, ValidationError

from sdsim.config import TaskConfig, TrainConfig
from sdsim.models import ModelConfig

T = TypeVar("T")

SEARCH_PATH = "pkg://sdsim.conf"
"""Where Hydra finds the YAML files."""


def register() -> None:
    """Offer the dataclasses' defaults to the YAML files."""
    store = ConfigStore.instance()
    store.store(name="model_defaults", node=_defaults(ModelConfig), provider="sdsim")
    store.store(group="task", name=TaskConfig.name, node=_defaults(TaskConfig), provider="sdsim")
    store.store(group="train", name="adamw", node=_defaults(TrainConfig), provider="sdsim")


def _defaults(kind: type[Any]) -> dict[str, Any]:
    required = "???"
    return {
        field.name: required if field.default is MISSING else field.default
        for field in fields(kind)
    }


def parse(kind: type[T], composed: DictConfig, *, ignore: Collection[str] = ("hydra",)) -> T:
    """The checked dataclass that a composed config describes, types and unknown keys included.

    Raises:
        ValueError: in one line that names each field that is wrong.
    """
    values = {name: value for name, value in composed.items() if name not in ignore}
    plain = OmegaConf.to_container(OmegaConf.create(values), resolve=True)
    try:
        return TypeAdapter(kind).validate_python(plain)
    except ValidationError as error:
        raise ValueError("; ".join(_one_line(dict(one)) for one in error.errors())) from error


def _one_line(error: dict[str, Any]) -> str:
    if error["type"] == "value_error":  # raised by a dataclass, which has named the field itself
        return str(error["ctx"]["error"])
    where = ".".join(str(part) for part in error["loc"])
    return f"{where} = {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"


__all__ = ["SEARCH_PATH", "parse", "register"]
