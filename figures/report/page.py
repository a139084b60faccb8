"""The page itself: what its sections are, and how it is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import sdsim
from figures.draw import FIGURES
from figures.drawing import Drawing, NothingToDraw
from figures.report.facts import convergence, facts
from figures.report.heat import HeatMaps, heat_maps
from figures.report.inline import InlineFigure, inline
from figures.report.prompts import prompt_section
from figures.report.tables import Table, as_table, runs_table
from figures.runs import SIZES
from figures.style import house_style
from figures.summary import summary_table
from sdsim.config import Selection
from sdsim.display import shown
from sdsim.files import check_writable, write_text
from sdsim.store.record import RECORD
from sdsim.store.table import load_runs

PAGE = "report.html"
"""Name of the page in a store's folder."""

_MOST_ROWS = 500  # of the numbers of a figure, which has a file for them


@dataclass(frozen=True)
class FigureSection:
    """A figure on the page.

    Attributes:
        name: of the figure, and of the files that `sdsim figures` writes.
        summary: what it shows, in a line.
        inline: the picture.
        numbers: its table; None where that is too long for a page.
        rows: how many that has.
    """

    name: str
    summary: str
    inline: InlineFigure
    numbers: Table | None
    rows: int

    @property
    def svg(self) -> Markup:
        """The picture, which matplotlib has escaped."""
        return Markup(self.inline.svg)


def write_report(
    store: Path | str,
    out: Path | str | None = None,
    *,
    select: Selection = "validation",
    on_part: Callable[[int, int], None] = lambda done, parts: None,
) -> Path:
    """Write the report of a store: one HTML file that needs nothing but a browser.

    Same runs, same bytes, given the place of the page relative to the store and the same versions
    of matplotlib, polars and sdsim. Nothing is trained; models that were kept are asked a few
    prompts.

    Args:
        store: folder of runs.
        out: the file; None: ``report.html`` in the store.
        select: which runs the figures show, see `figures.runs.chosen_runs`.
        on_part: called with how many parts of the page are done, and of how many.

    Returns:
        The file.

    Raises:
        ValueError: if there is no such store, it holds no run or none that can be shown, or the
            file cannot be written.

    >>> import sdsim, tempfile
    >>> with tempfile.TemporaryDirectory() as store:
    ...     table = sdsim.train("model=gru", "train.steps=20", store=store)
    ...     page = sdsim.report(store)
    ...     page.name, page.stat().st_size < 5e6
    ('report.html', True)
    """
    store = Path(store)
    out = store / PAGE if out is None else Path(out)
    _check_store(store)
    if out.is_dir():
        raise ValueError(f"out = {out}: it is a folder; name a file, such as {out / PAGE}")
    check_writable(out.parent, "out")
    table = load_runs(store)
    text = _page(store, table, _links(store, table, out), select, on_part)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, text)
    return out


def _check_store(store: Path) -> None:
    """Raise `ValueError` for a folder that holds something else than runs, saying what."""
    if not store.is_dir() or any(store.glob(f"*/{RECORD}")):
        return  # what else there may be to say is said by `load`
    from sdsim.bench.report import load_reports

    try:
        load_reports(store)
    except ValueError:
        raise ValueError(
            f"store = {store}: it holds no finished run; `sdsim sweep` makes some"
        ) from None
    raise ValueError(
        f"store = {store}: it holds what `sdsim bench` measured, no runs; "
        "`sdsim figures bench=…` draws that"
    )


def _links(store: Path, table: pl.DataFrame, out: Path) -> dict[str, str]:
    """Where the record of each run is, from the page."""
    there = os.path.relpath(store.absolute(), out.absolute().parent)
    base = quote(os.fsencode(Path(there).as_posix()))
    return {run: f"{base}/{run}/{RECORD}" for run in table["run_id"].unique()}


def _page(
    store: Path,
    table: pl.DataFrame,
    links: dict[str, str],
    select: Selection,
    on_part: Callable[[int, int], None],
) -> str:
    parts = len(FIGURES) + 1
    drawn: list[FigureSection] = []
    not_drawn: list[tuple[str, str]] = []
    for done, (name, draw) in enumerate(FIGURES.items()):
        on_part(done, parts)
        try:
            with house_style():
                drawing = draw(table, select=select)
                drawn.append(_figure_section(name, draw.__doc__ or "", drawing))
        except NothingToDraw as reason:
            not_drawn.append((name, str(reason)))
    on_part(len(FIGURES), parts)
    heat: HeatMaps | None = None
    try:
        heat = heat_maps(table, select)
    except NothingToDraw as reason:
        not_drawn.append(("heat maps", str(reason)))
    counted, ended = facts(store, table), convergence(table, links)
    summary = as_table("summary", _summary_caption(select), _summary(table, select))
    runs = runs_table(table, links.__getitem__)
    numbers = [section.numbers for section in drawn if section.numbers]
    tables = [counted.made_with, ended.by_model, ended.unfinished, summary, runs, *numbers]
    text = (
        _environment()
        .get_template("page.html.jinja")
        .render(
            name=shown(store.resolve().name),
            version=sdsim.__version__,
            select=select,
            facts=counted,
            convergence=ended,
            summary=summary,
            figures=drawn,
            not_drawn=not_drawn,
            heat=heat,
            prompts=prompt_section(store, table, select),
            runs=runs,
            links=links,
            number_columns=[
                _right(table) for table in [*tables, *([heat.numbers] if heat else [])]
            ],
        )
    )
    on_part(parts, parts)
    return text


def _figure_section(name: str, described: str, drawing: Drawing) -> FigureSection:
    rows = drawing.data
    numbers = as_table(f"numbers_{name}", f"The numbers of the figure {name}", rows)
    return FigureSection(
        name,
        " ".join(described.split("\n\n")[0].split()),
        inline(name, drawing),
        numbers if len(rows) <= _MOST_ROWS else None,
        len(rows),
    )


def _right(table: Table) -> Markup:
    """A rule of CSS that sets a table's numbers flush right, once instead of in each cell."""
    places = [place for place, column in enumerate(table.columns, 1) if column.is_numeric]
    cells = [f"#table-{table.name} tr>:nth-child({place})" for place in places]
    return Markup(f"{','.join(cells)}{{text-align:right}}" if cells else "")


def _summary(table: pl.DataFrame, select: Selection) -> pl.DataFrame:
    """The table that `sdsim figures` prints, without sizes that are the same in all rows.

    The long texts that say accuracy at each learning rate stand last.
    """
    rows = summary_table(table, select=select)
    same = [name for name in SIZES if name in rows.columns and rows[name].n_unique() == 1]
    rows = rows.drop(same if len(rows) > 1 else [])
    last = [name for name in rows.columns if name == "rates"]
    return rows.select(pl.exclude(last), *last)


def _summary_caption(select: Selection) -> str:
    which = {
        "validation": "at its chosen learning rate, seeds pooled",
        "released": "the best run by test accuracy, which is optimistic",
    }
    return f"A row for each setting, {which[select]}; intervals are 95 %"


def _environment() -> Environment:
    loader = PackageLoader("figures.report")
    environment = Environment(
        loader=loader,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["json_data"] = _json_data
    # A file of ours, as it is.
    environment.globals["verbatim"] = lambda name: Markup(loader.get_source(environment, name)[0])
    return environment


def _json_data(text: str) -> Markup:
    """JSON that may stand in a script element: nothing in it ends the element."""
    return Markup(text.replace("<", "\\u003c"))
