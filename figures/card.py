"""A card: what an architecture remembers, on one page of panels, and its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from statistics import fmean

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.budget import TARGET, budgeted, draw_accuracy_panel, draw_needed_panel, needed
from figures.drawing import Drawing, NothingToDraw
from figures.held import QUANTITIES, measured
from figures.palette import model_label
from figures.pooling import by_slice
from figures.rates import by_rate
from figures.rates import draw_panel as draw_rates_panel
from figures.runs import chosen_runs, probed_runs, provenance_note, rated_runs
from figures.style import PAGE_WIDTH, add_legend, add_note, intervals_note
from sdsim.card.protocol import BITS, LONG_FIRST
from sdsim.card.record import CardRecord
from sdsim.store.intervals import Counts, difference_interval, reach

WINDOW = 0.02
"""Below the accuracy of the best learning rate, where a rate still counts as one that learns."""

_SHORT_FIRST = LONG_FIRST[::-1]
_NOTE = """\
Card of protocol {protocol}, {size}: {state}. Learning rate {lr:g}, chosen on validation examples \
with {bits} bits and |A| = {size_a}. {intervals}Open marks: accuracy of some run still rose when \
training reached its limit.
{provenance}"""


@dataclass(frozen=True)
class Answer:
    """One number of a card.

    Attributes:
        question: what is asked.
        task: of which task, None: of the model itself; size_a, size_b: sizes; passes: readings of
            the input; budget: bits that cross each boundary.
        value: in `unit`; None: not reached within what was tried.
        low, high: its 95 % interval, or the ends of a range.
        unit: such as bits.
        beside, beside_is: a number to compare with, and what it is.
        note: what else to know of it.
        seeds: that it rests on; None where it does not depend on any.
        unfinished: runs whose accuracy still rose at their limit.
    """

    question: str
    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    beside: float | None = None
    beside_is: str = ""
    note: str = ""
    task: str | None = None
    size_a: int | None = None
    size_b: int | None = None
    passes: int | None = None
    budget: int | None = None
    seeds: int | None = None
    unfinished: int | None = None


def answers(table: pl.DataFrame, card: CardRecord) -> pl.DataFrame:
    """All numbers of a card.

    Args:
        table: of its runs, from `sdsim.store.table.load`.
        card: its record.

    Returns:
        A row for each `Answer`.
    """
    runs = table.filter(lr=card.lr)
    once = _compared(runs, card).filter(passes=1)
    found = [
        Answer("state", card.state_bits, unit="bits", note=_state(card)),
        *_rates(table),
        *_needed(runs),
        *_order_gap(once),
        *_more_readings(runs, card),
        *_held(once),
        *_speed(card),
    ]
    return pl.DataFrame([asdict(each) for each in found], infer_schema_length=None)


def draw(table: pl.DataFrame, card: CardRecord) -> Drawing:
    """A card as one page of panels.

    Args:
        table, card: as in `answers`.

    Returns:
        The figure, and `answers` as a table.
    """
    runs = table.filter(lr=card.lr)
    panels = _panels(table, runs, card)
    rows = -(-len(panels) // 3)
    figure = Figure(figsize=(PAGE_WIDTH, 1.4 + 2.2 * rows), layout="constrained")
    grid = figure.subplots(rows, 3, squeeze=False)
    for ax in grid.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (title, draw_panel) in zip(grid.flat, panels, strict=False):
        draw_panel(ax)
        ax.set_title(title)
    add_legend(figure)
    legend = figure.legends[0]
    legend.set_title(model_label(card.model.name))
    legend.get_title().set_fontsize(11)
    chosen = chosen_runs(runs, axes=("passes",))
    note = _NOTE.format(
        protocol=card.protocol,
        size=card.size,
        state=_state(card),
        lr=card.lr,
        bits=BITS,
        size_a=LONG_FIRST[0],
        intervals=intervals_note(by_slice(chosen)["seeds"]),
        provenance=provenance_note(table, chosen),
    )
    add_note(figure, note)
    return Drawing(figure, answers(table, card))


def _state(card: CardRecord) -> str:
    if card.state_bits is None:
        return "its state is not known, so it has no budget of bits"
    carried = f"{card.state_bits:,} bits of state, its numbers as they are stored"
    return carried if card.has_budget else f"{carried}, which can have no budget"


def _compared(runs: pl.DataFrame, card: CardRecord) -> pl.DataFrame:
    """The runs of set disjointness at the budget where cards compare, if the model has one."""
    disjointness = runs.filter(task="set_disjointness")
    return disjointness.filter(state_bits=BITS) if card.has_budget else disjointness


def _rates(table: pl.DataFrame) -> list[Answer]:
    rates = _rates_of(table)
    best = max(rates["validation_accuracy"].to_list())
    learning = rates.filter(pl.col("validation_accuracy") >= best - WINDOW)["rate"].to_list()
    (chosen,) = rates.filter("chosen")["rate"]
    return [
        Answer(
            "learning rate",
            chosen,
            min(learning),
            max(learning),
            note=f"{len(learning)} of {len(rates)} rates are within {WINDOW:g} of the best",
            task="set_disjointness",
            size_a=LONG_FIRST[0],
            size_b=LONG_FIRST[1],
            passes=1,
        )
    ]


def _rates_of(table: pl.DataFrame) -> pl.DataFrame:
    """Of the setting whose rates were compared: the first runs of a card."""
    rates = by_rate(rated_runs(table.filter(task="set_disjointness")))
    most = rates.group_by("setting", maintain_order=True).len().sort("len", descending=True)
    return rates.filter(setting=most["setting"][0])


def _needed(runs: pl.DataFrame) -> Iterator[Answer]:
    """Of set disjointness and recall, by sizes and readings."""
    try:
        rows = needed(budgeted(runs, "validation")[1])
    except NothingToDraw:
        return
    for row in rows.iter_rows(named=True):
        if row["smallest"] == row["largest"]:
            continue
        note = f"accuracy {row['target']:.3f}"
        if row["bits"] is None:
            note += f"; not with {row['largest']} bits, the most that were tried"
        elif row["bits"] == row["smallest"]:
            note += "; the fewest that were tried"
        yield Answer(
            "bits needed",
            row["bits"],
            row["bits_low"],
            row["bits_high"],
            "bits",
            row["proved"],
            "" if row["proved"] is None else "proved necessary in one reading",
            note,
            **{name: row[name] for name in ("task", "size_a", "size_b", "passes", "seeds")},
            unfinished=None if row["converged"] is None else row["runs"] - row["converged"],
        )


def _counts(runs: pl.DataFrame, sizes: tuple[int, int]) -> list[Counts]:
    """Right answers and examples of each seed, in order."""
    rows = runs.filter(size_a=sizes[0], size_b=sizes[1]).sort("seed")
    return list(zip(rows["correct"].to_list(), rows["examples"].to_list(), strict=True))


def _share(counts: list[Counts]) -> float:
    return sum(right for right, _ in counts) / sum(drawn for _, drawn in counts)


def _unfinished(runs: pl.DataFrame) -> int:
    return int((~pl.Series(runs["converged"])).sum())


def _order_gap(once: pl.DataFrame) -> Iterator[Answer]:
    short, long = _counts(once, _SHORT_FIRST), _counts(once, LONG_FIRST)
    if not short or len(short) != len(long):
        return
    yield Answer(
        "order gap",
        _share(short) - _share(long),
        *difference_interval(short, long),
        beside=1 / _SHORT_FIRST[1] - 1 / LONG_FIRST[1],
        beside_is="the gap of naming any token of B",
        note=f"accuracy with |A| = {_SHORT_FIRST[0]} less that with |A| = {LONG_FIRST[0]}",
        task="set_disjointness",
        passes=1,
        budget=_budget(once),
        seeds=len(short),
        unfinished=_unfinished(once),
    )


def _budget(runs: pl.DataFrame) -> int | None:
    """Of runs alike in it; None without one."""
    first = runs.row(0, named=True)
    return first["state_bits"] if first["state_bits_per_number"] else None


def _more_readings(runs: pl.DataFrame, card: CardRecord) -> Iterator[Answer]:
    """What another reading gains with the long set first and the fewest bits of both."""
    long = runs.filter(task="set_disjointness", size_a=LONG_FIRST[0], size_b=LONG_FIRST[1])
    for passes in long["passes"].unique().sort().to_list()[1:]:
        again = long.filter(passes=passes)
        shared = set(again["state_bits"]) & set(long.filter(passes=1)["state_bits"])
        if card.has_budget and not shared:
            continue
        few = pl.col("state_bits") == min(shared) if card.has_budget else pl.lit(True)
        again, once = again.filter(few), long.filter(few, passes=1)
        counts, before = _counts(again, LONG_FIRST), _counts(once, LONG_FIRST)
        if len(counts) != len(before):
            continue
        yield Answer(
            "gain of reading again",
            _share(counts) - _share(before),
            *difference_interval(counts, before),
            beside=_share(before),
            beside_is="accuracy, read once",
            note=f"accuracy with {passes} readings less that with one",
            task="set_disjointness",
            size_a=LONG_FIRST[0],
            size_b=LONG_FIRST[1],
            passes=passes,
            budget=_budget(again),
            seeds=len(counts),
            unfinished=_unfinished(again),
        )


def _held(once: pl.DataFrame) -> Iterator[Answer]:
    probed = probed_runs(once, "held", "validation")
    if probed.is_empty():
        return
    by_size = measured(probed).group_by("size_a", "size_b", maintain_order=True)
    for (size_a, size_b), rows in by_size:
        held, bits = rows["held"].to_list(), rows["state_bits"][0]
        half = reach(held) if len(held) > 1 else 0.0
        yield Answer(
            "bits held of A",
            fmean(held),
            max(0.0, fmean(held) - half),
            min(float(bits), fmean(held) + half),
            "bits",
            fmean(rows["proved"].to_list()),
            "proved by accuracy",
            "at least, by a probe",
            "set_disjointness",
            size_a,
            size_b,
            1,
            bits,
            len(held),
        )


def _speed(card: CardRecord) -> Iterator[Answer]:
    for name, unit in (("training", "steps/s"), ("decoding", "tokens/s")):
        ours, reference = (getattr(of, name) for of in (card.speed, card.reference_speed))
        if ours is None:
            continue
        yield Answer(name, ours, unit=unit, beside=reference, beside_is="a GRU", note=card.device)


_Panel = tuple[str, Callable[[Axes], None]]


def _panels(table: pl.DataFrame, runs: pl.DataFrame, card: CardRecord) -> list[_Panel]:
    """What is drawn, by title: of a model without a budget, the learning rates alone."""
    rates = _rates_of(table)
    panels: list[_Panel] = []
    if card.has_budget:
        panels += _budget_panels(runs)
    probed = probed_runs(runs.filter(passes=1), "held", "validation")
    if not probed.is_empty():
        held = measured(probed)
        panels.append(("Bits of A at the boundary", partial(_draw_held, rows=held)))
    panels.append(("Learning rate", partial(_draw_rates, panel=rates)))
    return panels


def _budget_panels(runs: pl.DataFrame) -> list[_Panel]:
    # That recall is trained on two sizes at once need not be said on a card.
    slices = budgeted(runs, "validation")[1].with_columns(trained=pl.lit("alone"))
    disjointness = slices.filter(task="set_disjointness")
    bits = slices["state_bits"].to_list()
    span = (min(bits) / 1.5, max(bits) * 1.5)
    panels: list[_Panel] = []
    for name, sizes in (("Short set first", _SHORT_FIRST), ("Long set first", LONG_FIRST)):
        here = disjointness.filter(size_a=sizes[0], size_b=sizes[1])
        title = f"{name}: |A| = {sizes[0]}, |B| = {sizes[1]}"
        panels.append((title, partial(_draw_accuracy, here=here, span=span)))
    rows = needed(disjointness.filter(pl.col("state_bits").n_unique().over("passes", "size_a") > 1))
    panels.append((f"Bits needed, {TARGET:.0%} of the way", partial(_draw_needed, rows=rows)))
    recalled = slices.filter(task="associative_recall")
    recall = recalled.filter(pl.col("size_a") == pl.col("size_a").max())
    if not recall.is_empty():
        pairs = recall["size_a"][0]
        panels.append((f"Recall of {pairs} pairs", partial(_draw_accuracy, here=recall, span=span)))
    return panels


def _draw_accuracy(ax: Axes, here: pl.DataFrame, span: tuple[float, float]) -> None:
    lines = here.select("model", "series", "trained", "passes").unique().sort("passes").rows()
    draw_accuracy_panel(ax, here, lines, span)
    ax.set_xlabel("Bits (log scale)")
    ax.set_ylabel("Accuracy")


def _draw_needed(ax: Axes, rows: pl.DataFrame) -> None:
    draw_needed_panel(ax, rows)
    ax.set_xlabel("|A|, the set that comes first")
    ax.set_ylabel("Bits")


def _draw_held(ax: Axes, rows: pl.DataFrame) -> None:
    for name, label, colour in QUANTITIES:
        known = rows.drop_nulls(name)
        ax.plot(known["size_a"], known[name], ".", color=colour, markersize=3, alpha=0.5)
        means = known.group_by("size_a").agg(mean=pl.col(name).mean()).sort("size_a")
        ax.plot(means["size_a"], means["mean"], "o-", color=colour, label=label)
    ax.set_xticks(rows["size_a"].unique().sort().to_list())
    ax.set_ylim(bottom=0)
    ax.set_xlabel("|A|, the set that comes first")
    ax.set_ylabel("Bits")


def _draw_rates(ax: Axes, panel: pl.DataFrame) -> None:
    draw_rates_panel(ax, panel)
    ax.set_xlabel("Learning rate (log scale)")
    ax.set_ylabel("Accuracy")
