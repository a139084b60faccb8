"""What a command is: its settings, its help, and what it does with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, get_type_hints

from omegaconf import DictConfig

from sdsim.conf import defaults_of, register_primary
from sdsim.conf.compose import composed, parse


@dataclass(frozen=True)
class Command:
    """A word of the command line.

    Attributes:
        name: the word, or the two, such as ``"theory bounds"``.
        summary: what it does, in half a line.
        help: what it does, with examples; its choices and settings are added.
        settings: its settings and their defaults, without those of its groups.
        parse: from the composed config to what `run` takes; raises `ValueError` in one line.
        run: does it, once.
        meanings: the dataclasses whose ``Attributes`` say what settings mean, by what stands before
            the settings' names: ``{"": (Config,), "model.": (ModelConfig,)}``.
        groups: config groups of which it takes a file each, and the file by default.
        sweep: does it for every combination of values, given the overrides (``-m``); None: it takes
            one value of each setting.
        is_sweep: whether it always does that.
        preview: prints what `sweep` would do (``--cfg job``).
        unlisted: settings that are not for users, which its help leaves out.
        hydra: more of Hydra's own settings.
        launcher: Hydra's launcher by default; None: it launches nothing.
        texts: settings whose values are taken as written, interpolations included; see also
            `text_settings`.
        shorthand: rewrites words of its own to overrides.
        interrupted: what to add where it says that it was interrupted; a `KeyboardInterrupt` with a
            text of its own has the last word.
    """

    name: str
    summary: str
    help: str
    settings: Mapping[str, Any]
    parse: Callable[[DictConfig], Any]
    run: Callable[[Any], None]
    meanings: Mapping[str, tuple[type[Any], ...]]
    groups: Mapping[str, str] = field(default_factory=dict)
    sweep: Callable[[list[str]], object] | None = None
    is_sweep: bool = False
    preview: Callable[[list[str]], object] | None = None
    unlisted: tuple[str, ...] = ()
    hydra: Mapping[str, Any] = field(default_factory=dict)
    launcher: str | None = None
    texts: tuple[str, ...] = ()
    shorthand: Callable[[list[str]], list[str]] = lambda words: words
    interrupted: str = ""

    @property
    def config_name(self) -> str:
        """Of its primary config."""
        return self.name.replace(" ", "_")

    def text_settings(self) -> set[str]:
        """The settings that hold one text each, by the types of what gives them their meanings."""
        return {
            f"{path}{name}"
            for path, kinds in self.meanings.items()
            for kind in kinds
            for name, hint in get_type_hints(kind).items()
            if hint in (str, str | None)
        }

    @classmethod
    def of(cls, config: type[Any], **described: Any) -> Command:
        """A command whose settings are the fields of one dataclass, which it is run with."""
        return cls(
            settings=defaults_of(config),
            parse=partial(parse, config),
            meanings={"": (config,)},
            **described,
        )

    def register(self) -> None:
        """Make its primary config available to Hydra, and what that refers to."""
        register_primary(
            self.config_name,
            self.settings,
            groups=self.groups,
            launcher=self.launcher,
            hydra=self.hydra,
        )

    def execute(self, overrides: list[str]) -> None:
        """Compose, check, and run once.

        Raises:
            ValueError: for settings that cannot be; also whatever Hydra and `run` raise.
        """
        self.register()
        with composed(self.config_name, overrides) as (config, _):
            checked = self.parse(config)
        self.run(checked)
