"""Hydra's view of the configs: YAML in this folder, defaults from the dataclasses.

The dataclasses of `sdsim.config` hold each default and each check once. Here they become config
nodes that the YAML files extend, and a composed config becomes a checked dataclass again.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from pydantic import TypeAdapter, ValidationError

from sdsim.config import RunConfig, TaskConfig, TrainConfig
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


def parse_run(composed: DictConfig) -> RunConfig:
    """The run that a composed config describes; `ValueError` in one line if it is none."""
    names = [field.name for field in fields(RunConfig)]
    return parse(RunConfig, {name: composed[name] for name in names})


def parse(kind: type[T], values: Any) -> T:
    """Check plain values against a dataclass, types included."""
    if OmegaConf.is_config(values) or isinstance(values, dict):
        values = OmegaConf.to_container(OmegaConf.create(values), resolve=True)
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise ValueError("; ".join(_one_line(dict(one)) for one in error.errors())) from error


def _one_line(error: dict[str, Any]) -> str:
    if error["type"] == "value_error":  # raised by a dataclass, which has named the field itself
        return str(error["ctx"]["error"])
    where = ".".join(str(part) for part in error["loc"])
    return f"{where} = {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"


__all__ = ["SEARCH_PATH", "parse", "parse_run", "register"]
