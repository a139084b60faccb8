"""The report in a real browser, headless: what a reader does with it (`make test-web`)."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import figures
from figures.report import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.web

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
STORE = Path(figures.__file__).parents[1] / "results" / "memory_tiny"
NARROW, WIDE = 390, 1280


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if find_spec("playwright") is None:
        pytest.fail("these tests need playwright: pip install -e '.[web]'", pytrace=False)
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.fail(
            "these tests need Chromium, such as Debian's package: apt-get install chromium",
            pytrace=False,
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(STORE, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    """The report, opened; in the end: the console is empty, and nothing else was asked for."""
    opened = browser.new_page(viewport={"width": WIDE, "height": 900})
    said: list[str] = []
    requests: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: requests.append(request.url))
    opened.goto(report.as_uri())
    yield opened
    opened.close()
    assert said == []
    assert set(requests) == {report.as_uri()}


def column(table: Locator, name: str) -> list[str]:
    """The texts of a column's visible cells, from top to bottom."""
    cells: list[str] = table.evaluate(
        """(table, name) => {
            const headings = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
            const rows = [...table.tBodies[0].rows].filter((row) => row.checkVisibility());
            return rows.map((row) => row.cells[headings.indexOf(name)].textContent.trim());
        }""",
        name,
    )
    return cells


def number(text: str) -> float:
    return float(text.split(" ")[0].replace(",", ""))


def test_a_heading_sorts_numbers_as_numbers(page: Page) -> None:
    table = page.locator("#table-runs")
    bits = [number(text) for text in column(table, "state bits")]
    heading = table.get_by_role("button", name="state bits")
    heading.click()
    assert [number(text) for text in column(table, "state bits")] == sorted(bits)
    heading.press("Enter")
    assert [number(text) for text in column(table, "state bits")] == sorted(bits, reverse=True)
    assert table.locator("th[aria-sort=descending]").inner_text() == "state bits"
    table.get_by_role("button", name="train loss").click()
    losses = [number(text) for text in column(table, "train loss")]  # 1.399, 0.9, 7.5e-06
    assert losses == sorted(losses)
    assert table.locator("th[aria-sort]").count() == 1


def test_boxes_filter_by_words_and_by_comparisons(page: Page) -> None:
    table = page.locator("#table-runs")
    everything = column(table, "accuracy")
    table.get_by_label("filter model").fill("LSTM")
    assert set(column(table, "model")) == {"lstm"}
    table.get_by_label("filter accuracy").fill("> 0.99")
    left = column(table, "accuracy")
    assert 0 < len(left) < len(everything)
    assert min(map(number, left)) > 0.99
    assert f"{len(left)} of {len(everything)} rows" in table.locator("caption").inner_text()
    table.get_by_label("filter accuracy").fill("")
    table.get_by_label("filter model").fill("")
    assert column(table, "accuracy") == everything


def test_a_run_opens_its_record(page: Page, report: Path) -> None:
    addresses: list[str] = page.locator("#table-runs tbody a").evaluate_all(
        "links => links.map((link) => link.href)"
    )
    names = column(page.locator("#table-runs"), "run")
    assert addresses == [(STORE / name / "run.json").as_uri() for name in names]


def test_the_pointer_finds_the_numbers_of_a_mark(page: Page) -> None:
    with (STORE / "figures" / "needed.csv").open(encoding="utf-8") as file:
        rows = {(row["model"], row["passes"], row["size_a"]): row for row in csv.DictReader(file)}
    row = rows["gru", "2", "4"]
    plot = page.locator("#figure-needed .plot")
    plot.scroll_into_view_if_needed()
    place = plot.evaluate(
        """(plot) => {
            const data = JSON.parse(plot.closest("figure").querySelector("script").textContent);
            const series = data.series.findIndex(([panel, name]) =>
                panel.startsWith("GRU") && name === "Read twice");
            const [, x, y] = data.points.find(([of, , , said]) => of === series && said === "4");
            const svg = plot.querySelector("svg");
            const at = new DOMPoint(x + 3, y + 2).matrixTransform(svg.getScreenCTM());
            return [at.x, at.y];
        }"""
    )
    page.mouse.move(*place)
    said = page.locator("#tip").inner_text()
    assert said.startswith("Read twice · GRU")
    assert "|A|, the set that comes first: 4" in said
    ends = f"[{float(row['bits_low']):.4g}, {float(row['bits_high']):.4g}]"
    assert f"Bits across the boundary: {float(row['bits']):.4g} {ends}" in said
    page.mouse.move(5, 5)
    assert page.locator("#tip").is_hidden()


def test_the_keyboard_steps_through_the_marks_of_a_figure(page: Page) -> None:
    plot = page.locator("#figure-budget .plot")
    plot.focus()
    said = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
        said.append(page.locator("#tip").inner_text())
    assert said[0] == said[2] != said[1]
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_everything_can_be_reached_by_the_tab_key(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    unreached = page.evaluate(
        """[...document.querySelectorAll("a, button, input, summary, .plot, .scroll:has(table)")]
            .filter((element) => element.tabIndex < 0).length"""
    )
    assert unreached == 0


def test_light_and_dark_differ_and_print_is_light(page: Page) -> None:
    def background() -> str:
        colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return colour

    page.emulate_media(color_scheme="light")
    light = background()
    page.emulate_media(color_scheme="dark")
    assert background() != light
    page.emulate_media(color_scheme="dark", media="print")
    assert background() == "rgb(255, 255, 255)"
    assert page.locator("nav").is_hidden()
    assert page.locator("#table-runs tr.filters").is_hidden()


@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_the_page_is_as_wide_as_the_window(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_without_scripts_all_tables_and_figures_are_there(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(report.as_uri())
    assert opened.locator("#figure-needed svg").is_visible()
    assert opened.locator("#table-runs tbody tr").count() > 400
    assert opened.locator(".script").first.is_hidden()
    context.close()


def test_hundreds_of_runs_weigh_little_and_open_in_a_second(page: Page, report: Path) -> None:
    assert len(set(column(page.locator("#table-runs"), "run"))) > 200
    assert report.stat().st_size < 5e6
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    page.reload()
    metrics = session.send("Performance.getMetrics")["metrics"]
    # Of the processor, since other processes may share it.
    assert {each["name"]: each["value"] for each in metrics}["ProcessTime"] < 1.5
