"""Hydra's view of a run: config groups as YAML files here, defaults from the dataclasses.

`sdsim.config` holds each default and each check once. Here the dataclasses become the config nodes
that the YAML files extend. The primary configs are registered by those that use them: each command
its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from functools import cache
from typing import Any

from hydra.core.config_store import ConfigStore

from sdsim.config import (
    AlgorithmConfig,
    EvalConfig,
    ModelConfig,
    ModuleConfig,
    TaskConfig,
    TrainConfig,
)
from sdsim.text.presets import PRESETS
from sdsim.training.tracking import TrackingConfig

MODULE = "sdsim.conf"
"""Where Hydra finds the YAML files."""


@cache
def register() -> None:
    """Offer the dataclasses' defaults to the YAML files."""
    for name, kind in (
        ("model_defaults", ModelConfig),
        ("module_defaults", ModuleConfig),
        ("machine_defaults", AlgorithmConfig),
        ("task_defaults", TaskConfig),
        ("tracking_defaults", TrackingConfig),
    ):
        store_node(name, defaults_of(kind))
    for name, preset in PRESETS.items():  # full-scale models are models like any other
        store_node(name, asdict(preset.config), group="model")
    # Without the grid itself, which each preset gives in full.
    store_node("sweep_defaults", {"shard": None, "members": None, "time_budget": None})
    store_node("adamw", defaults_of(TrainConfig), group="train")
    store_node("standard", defaults_of(EvalConfig), group="test")


def register_primary(
    name: str,
    settings: Mapping[str, Any],
    *,
    groups: Mapping[str, str] | None = None,
    launcher: str | None = None,
    hydra: Mapping[str, Any] | None = None,
) -> None:
    """Make the primary config of a command available to Hydra, and what it can refer to.

    Args:
        name: of the config.
        settings: its own settings and their defaults.
        groups: config groups of which it takes a file each, and the file by default.
        launcher: Hydra's launcher by default; None: Hydra's own.
        hydra: more of Hydra's own settings.
    """
    register()
    overrides = {"hydra/hydra_logging": "none", "hydra/job_logging": "none"}
    if launcher is not None:
        overrides["hydra/launcher"] = launcher
    node = {
        "defaults": [
            "_self_",  # before the groups, whose files have the last word
            *({group: choice} for group, choice in (groups or {}).items()),
            *({f"override {group}": choice} for group, choice in overrides.items()),
        ],
        **settings,
        "hydra": {
            "output_subdir": None,
            "run": {"dir": "."},
            "sweep": {"dir": ".", "subdir": "."},
            **(hydra or {}),
        },
    }
    store_node(name, node)


def store_node(name: str, node: dict[str, Any], group: str | None = None) -> None:
    """Make a config node available to Hydra, beside the YAML files."""
    ConfigStore.instance().store(name=name, node=node, group=group, provider="sdsim")


def defaults_of(kind: type[Any]) -> dict[str, Any]:
    """The defaults of a dataclass as a config node; ``???`` marks what must be given."""
    node: dict[str, Any] = {}
    for field in fields(kind):
        if field.default_factory is not MISSING:
            node[field.name] = field.default_factory()
        else:
            node[field.name] = "???" if field.default is MISSING else field.default
    return node
