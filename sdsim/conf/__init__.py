"""Hydra's view of the configs: YAML in this folder, defaults from the dataclasses.

The dataclasses of `sdsim.config` hold each default and each check once. Here they become config
nodes that the YAML files extend, and a composed config becomes a checked dataclass again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import MISSING, Field, asdict, fields
from typing import Any, TypeVar

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from pydantic import TypeAdapter, ValidationError

from sdsim.bench_config import BenchConfig
from sdsim.config import TaskConfig, TestConfig, TrainConfig
from sdsim.generate import Sampling
from sdsim.job import Job
from sdsim.machines import MachineConfig
from sdsim.models import ModelConfig
from sdsim.models.presets import PRESETS
from sdsim.pretrain.config import PretrainConfig
from sdsim.pretrain.corpus import CorpusConfig
from sdsim.pretrain.objective import ObjectiveConfig
from sdsim.tracking import TrackingConfig

T = TypeVar("T")

SEARCH_PATH = "pkg://sdsim.conf"
"""Where Hydra finds the YAML files."""


def register() -> None:
    """Offer the dataclasses' defaults to the YAML files."""
    store = ConfigStore.instance()
    for name, kind in (
        ("model_defaults", ModelConfig),
        ("machine_defaults", MachineConfig),
        ("task_defaults", TaskConfig),
        ("tracking_defaults", TrackingConfig),
    ):
        store.store(name=name, node=_defaults(kind), provider="sdsim")
    for name, preset in PRESETS.items():  # full-scale models are models as any
        store.store(group="model", name=name, node=asdict(preset.config), provider="sdsim")
    # Without the grid itself, which each preset gives in full.
    store.store(
        name="sweep_defaults",
        node={"shard": None, "members": None, "time_budget": None},
        provider="sdsim",
    )
    store.store(name="bench_defaults", node=_defaults(BenchConfig), provider="sdsim")
    store.store(name="sampling_defaults", node=_defaults(Sampling), provider="sdsim")
    store.store(name="pretrain_defaults", node=_pretrain_defaults(), provider="sdsim")
    store.store(group="train", name="adamw", node=_defaults(TrainConfig), provider="sdsim")
    store.store(group="test", name="standard", node=_defaults(TestConfig), provider="sdsim")


def _pretrain_defaults() -> dict[str, Any]:
    """As `PretrainConfig`, the settings of the corpus beside the others."""
    others = {name: one for name, one in _defaults(PretrainConfig).items() if name != "corpus"}
    return others | _defaults(CorpusConfig) | {"objective": _defaults(ObjectiveConfig)}


def _defaults(kind: type[Any]) -> dict[str, Any]:
    return {field.name: _default(field) for field in fields(kind)}


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return "???" if field.default is MISSING else field.default


def parse(
    kind: type[T],
    composed: DictConfig,
    *,
    ignore: Collection[str] = ("hydra",),
    path: str = "",
) -> T:
    """The checked dataclass that a composed config describes, types and unknown keys included.

    Args:
        kind: the dataclass.
        composed: the config.
        ignore: keys of it that are not the dataclass's.
        path: what stands before the names of its fields on the command line, such as ``"sweep."``.

    Raises:
        ValueError: in one line that names each field that is wrong.
    """
    return _validate(kind, _plain(composed, ignore), path)


def parse_job(composed: DictConfig) -> Job:
    """The run that a composed config describes; errors as `parse`.

    A config node of a task holds its options beside its other settings; that of a model is a
    machine's where it names one.
    """
    values = _plain(composed, ("hydra", "sweep"))
    task, known = values["task"], {field.name for field in fields(TaskConfig)}
    options = {name: task.pop(name) for name in list(task) if name not in known}
    if isinstance(task["options"], dict):
        task["options"] |= options
    kind: type[Any] = MachineConfig if "machine" in values["model"] else ModelConfig
    # Before the union of both, whose errors would name each field twice.
    values["model"] = _validate(kind, values["model"], "model.")
    return _validate(Job, values)


def parse_pretrain(composed: DictConfig) -> PretrainConfig:
    """The pretraining run that a composed config describes; errors as `parse`."""
    values = _plain(composed, ("hydra",))
    if isinstance(values["data"], str):
        values["data"] = [values["data"]]
    names = [field.name for field in fields(CorpusConfig)]
    corpus = _validate(CorpusConfig, {name: values.pop(name) for name in names})
    return _validate(PretrainConfig, {**values, "corpus": corpus})


def parse_generate(kind: type[T], composed: DictConfig) -> T:
    """Settings of generation, those of sampling beside the others; errors as `parse`."""
    values = _plain(composed, ("hydra",))
    for name in ("prompt", "stop"):
        if isinstance(values[name], str):
            values[name] = [values[name]]
        values[name] = [str(one).replace("\\n", "\n") for one in values[name] or []]
    names = [field.name for field in fields(Sampling)]
    sampling = _validate(Sampling, {name: values.pop(name) for name in names})
    return _validate(kind, {**values, "sampling": sampling})


def _plain(composed: DictConfig, ignore: Collection[str]) -> dict[str, Any]:
    values = {name: value for name, value in composed.items() if name not in ignore}
    plain: dict[str, Any] = OmegaConf.to_container(OmegaConf.create(values), resolve=True)  # type: ignore[assignment]
    return plain


def _validate(kind: type[T], plain: dict[str, Any], path: str = "") -> T:
    try:
        return TypeAdapter(kind).validate_python(plain)
    except ValidationError as error:
        lines = "; ".join(_one_line(dict(one), path) for one in error.errors())
        raise ValueError(lines) from error


def _one_line(error: dict[str, Any], path: str) -> str:
    if error["type"] == "value_error":  # raised by a dataclass, which has named the field itself
        return str(error["ctx"]["error"])
    where = ".".join(str(part) for part in error["loc"])
    return f"{path}{where} = {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"


__all__ = ["SEARCH_PATH", "parse", "parse_generate", "parse_job", "parse_pretrain", "register"]
