"""`sdsim card`: how much one architecture remembers, on one page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from pydantic.dataclasses import dataclass

from sdsim.card.protocol import Size
from sdsim.commands.command import Command
from sdsim.commands.console import Bars, as_table, console, print_paths
from sdsim.commands.train import KEPT
from sdsim.conf import defaults_of
from sdsim.conf.compose import composed, plain, validate
from sdsim.config import (
    STRICT,
    AlgorithmConfig,
    Count,
    ModelConfig,
    ModuleConfig,
    TrainingMode,
)
from sdsim.files import check_writable
from sdsim.library import words_of

if TYPE_CHECKING:
    import polars as pl

    from sdsim.card.measure import Progress

HELP = """\
sdsim card: how much one architecture remembers, and whether order matters to it, on one page, by
a fixed protocol: the bits that it needs by the size of the set that comes first, and holds; the
gap between orders; what a second reading gains; recall; the learning rates it takes; its speed.

  sdsim card model=gru                           the quick form, into runs/cards
  sdsim card model=based size=full               more sizes, budgets and seeds; keeps what is there
  sdsim card model=based model.feature_dim=8 name=based_8
  sdsim card model=own 'model.mixers=[my.package.Layer]' name=mine
  sdsim card cards=results/cards                 draw all cards that are there once more

The model is as given, but for its depth: its mixers twice, unless `model.depth=` says otherwise.
Like a sweep it may be stopped at any time; the same command does the rest.
"""


@dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of ``sdsim card`` beside the model.

    Attributes:
        cards: folder of cards; the runs of each are in a folder of its name.
        name: of the card; null: the model's.
        size: quick: two pairs of sizes, three budgets, three seeds, too few for a verdict; full:
            five pairs, seven budgets, five seeds, three readings.
        threads: threads of torch in each process.
        mode: as in `sdsim train`.
    """

    cards: str = "runs/cards"
    name: str | None = None
    size: Size = "quick"
    threads: Count = 1
    mode: TrainingMode | None = None


def card(
    *overrides: str,
    on_progress: Progress = lambda doing, done, total, note: None,
    **settings: Any,
) -> pl.DataFrame:
    """Measure how much an architecture remembers, and draw its page: what ``sdsim card`` does.

    Runs that are stored are not done again; the speeds are measured anew.

    Args:
        overrides: as on the command line, ``"model.width=24"``.
        on_progress: called from another thread with what is being done, how much of it is done,
            how much there is, and a word more.
        settings: the same as keywords: ``model="gru"``, ``size="full"``, ``cards="my/cards"``.

    Returns:
        The numbers of the card, a row for each `figures.card.Answer`.

    Raises:
        ValueError: for a model or a setting that cannot be; nothing is written then.
        RuntimeError: if a run failed; the others are stored.

    >>> import sdsim
    >>> numbers = sdsim.card(model="gru", cards="my/cards")  # doctest: +SKIP
    """
    from figures import draw_card

    return draw_card(_measured(words_of(overrides, settings), on_progress))[0]


def make_or_draw(words: list[str]) -> None:
    """Measure what a card lacks, and draw it; without a model, draw all cards that are stored."""
    if not any(word.startswith(("model=", "model.")) for word in words):
        with composed(COMMAND.config_name, words) as (whole, _):
            config, _ = _parse(whole)
        check_writable(Path(config.cards), "cards")
        draw(Path(config.cards))
        return
    with Bars("runs") as bars:
        store = _measured(words, bars.show)
    draw(store.parent, store.name)


def _measured(words: list[str], on_progress: Progress) -> Path:
    """The store of a card, with all that it takes."""
    from sdsim.card.measure import measure

    COMMAND.register()
    with composed(COMMAND.config_name, words) as (whole, _):
        config, model = _parse(whole)
    check_writable(Path(config.cards), "cards")
    chosen = [word for word in words if word.startswith(("model=", "model."))]
    if isinstance(model, ModelConfig) and not any("model.depth=" in word for word in chosen):
        model = replace(model, depth=2 * len(model.mixers))
        chosen.append(f"model.depth={model.depth}")
    runner = [word for word in words if word.startswith(("hydra", "threads=", "mode="))]
    store = Path(config.cards) / (config.name or model.name)
    measure(model, store, config.size, [*chosen, *runner], on_progress)
    return store


def _parse(whole: DictConfig) -> tuple[Config, ModelConfig | ModuleConfig]:
    values = plain(whole)
    model = values.pop("model")
    if "machine" in model:
        raise ValueError(
            f"model = {model['name']}: a streaming algorithm is not trained; "
            "`sdsim theory tradeoff` has its memory"
        )
    config = validate(Config, values)
    checked: ModelConfig | ModuleConfig
    if "module" in model:
        checked = validate(ModuleConfig, model, "model.")
    else:
        checked = validate(ModelConfig, model, "model.")
    if checked.has_budget:
        raise ValueError("model.state_bits_per_number: the protocol sets the budgets")
    return config, checked


def draw(cards: Path, name: str | None = None) -> None:
    """Draw a card, or all that are in a folder; print their numbers and paths; compare all.

    Raises:
        ValueError: if there is none.
    """
    import figures
    from sdsim.card.record import CARD

    stores = sorted(file.parent for file in cards.glob(f"*/{CARD}"))
    if not stores:
        raise ValueError(f"cards = {cards}: no card is there; `sdsim card model=…` makes one")
    for store in [cards / name] if name else stores:
        answers, paths = figures.draw_card(store)
        console.print(as_table(_told(answers), store.name))
        print_paths(paths)
    if len(stores) > 1:
        print_paths(figures.draw_cards(cards, stores)[1])


def _told(answers: pl.DataFrame) -> pl.DataFrame:
    """A card's numbers for people: of what, and beside what, in words."""
    import polars as pl

    rows = [
        {
            "question": row["question"],
            "of": _of(row),
            "value": row["value"],
            "value_low": row["low"],
            "value_high": row["high"],
            "beside": "" if row["beside"] is None else f"{row['beside']:.3f} {row['beside_is']}",
            "seeds": row["seeds"],
            "unfinished": row["unfinished"],
            "note": row["note"],
        }
        for row in answers.iter_rows(named=True)
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _of(row: dict[str, Any]) -> str:
    """Sizes, budget and readings of an answer."""
    words = []
    if row["task"] == "associative_recall":
        words.append(f"{row['size_a']} pairs")
    elif row["size_a"] is not None:
        words.append(f"|A| = {row['size_a']}, |B| = {row['size_b']}")
    if row["budget"] is not None:
        words.append(f"{row['budget']} bits")
    if (row["passes"] or 1) > 1:
        words.append(f"read {row['passes']} times")
    return ", ".join(words)


COMMAND = Command(
    name="card",
    summary="measure how much an architecture remembers, on one page",
    help=HELP,
    settings=defaults_of(Config),
    parse=_parse,
    run=lambda checked: None,
    meanings={"": (Config,), "model.": (AlgorithmConfig, ModuleConfig, ModelConfig)},
    groups={"model": "gru"},
    sweep=make_or_draw,
    is_sweep=True,
    launcher="joblib",
    hydra={"mode": "MULTIRUN"},
    interrupted=KEPT,
)
