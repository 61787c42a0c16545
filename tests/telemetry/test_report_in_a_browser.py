"""The page as a browser shows it: charts drawn, nothing asked of any network, nothing wider than a phone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from telemetry.seeing import FAULTS, FOCUSED, PAPER, REACHABLE
from ztb.ledger.run_directory import RunDirectory
from ztb.telemetry.report import write_report
from ztb.telemetry.run_data import load_run

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
CHARTS = 16  # seven over time, nine of learning

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)"
)

DRAWN = """() => [...document.querySelectorAll("figure canvas")].map((canvas) => {
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const colours = new Set();
  for (let i = 0; i < pixels.length; i += 4) {
    if (pixels[i + 3] > 0) colours.add(pixels[i] << 16 | pixels[i + 1] << 8 | pixels[i + 2]);
  }
  return colours.size;
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def show(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a report; whatever the page complains of or asks for fails the test."""
    contexts: list[Any] = []

    def show(directory: RunDirectory, size: str = "desktop", **options: Any) -> Any:
        width, height = SIZES[size]
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **options))
        page = contexts[-1].new_page()
        page.faults = []
        page.on("console", lambda message: page.faults.append(message.text))
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on(
            "request",
            lambda request: page.faults.append(request.url) if not request.url.startswith("file:") else None,
        )
        begun = time.monotonic()
        report = write_report(directory)
        page.write_s = time.monotonic() - begun
        page.goto(report.as_uri())
        if options.get("java_script_enabled", True):
            page.wait_for_selector("html[data-drawn]", state="attached")
        return page

    yield show
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_chart_is_drawn_and_nothing_is_asked_for(make_run, show, size, scheme):
    page = show(make_run(tainted=range(3, 6)), size, color_scheme=scheme)
    colours = page.evaluate(DRAWN)
    assert len(colours) == CHARTS and min(colours) > 2
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert page.faults == []


def test_pointing_at_the_equity_says_what_it_was(make_run, show):
    page = show(make_run())
    page.locator("figure[data-chart=equity] .u-over").hover()
    tip = page.locator("figure[data-chart=equity] .tip").inner_text()
    for words in ("UTC", "ppo_online", "hold", "generation 0, frozen", "USD ("):
        assert words in tip
    assert page.faults == []


@pytest.mark.parametrize("size", SIZES)
def test_the_capital_of_experts_stands_beside_the_equity(make_run, show, size):
    page = show(make_run(experts=True), size)
    drawn = page.evaluate(DRAWN)
    assert min(drawn) > 2 and len(drawn) == CHARTS + 1
    legend = page.locator("figure[data-chart=capital] .legend").inner_text()
    assert [word for word in ("trend", "generation 0", "generation 1") if word in legend] == [
        "trend", "generation 0", "generation 1",
    ]  # fmt: skip
    boxes = [page.locator(f"figure[data-chart={name}]").bounding_box() for name in ("equity", "capital")]
    assert (boxes[1]["x"] > boxes[0]["x"]) == (SIZES[size][0] >= 900)
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert page.faults == []


def test_a_yardstick_can_be_hidden(make_run, show):
    page = show(make_run())
    button = page.locator("figure[data-chart=equity]").get_by_role("button", name="hold")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    page.locator("figure[data-chart=equity] .u-over").hover()
    assert "hold" not in page.locator("figure[data-chart=equity] .tip").inner_text()


def test_without_javascript_the_figures_and_the_curve_are_there(make_run, show):
    page = show(make_run(), "phone", java_script_enabled=False)
    assert page.locator("svg.static").is_visible()
    assert page.get_by_text("Max drawdown").is_visible()
    page = show(make_run("long", decisions=300), java_script_enabled=False)
    rows = page.locator("table.sorts").first.locator("tbody tr")
    assert rows.count() == 37 + 1 and rows.last.is_visible(), "all rows, where nothing can ask for more"
    assert not page.locator("figure[data-chart=drawdown]").is_visible()


def test_a_nasty_name_runs_nothing(make_run, show):
    page = show(
        make_run(strategy="</script><script>console.log('broken out')</script><img src=x onerror=alert(1)>")
    )
    assert page.faults == [] and min(page.evaluate(DRAWN)) > 2


def test_a_run_that_hardly_began_complains_of_nothing(make_run, show):
    page = show(make_run(decisions=1, learns=False))
    assert page.faults == [] and page.evaluate(DRAWN) == []
    assert page.get_by_text("This run is unfinished").is_visible()
    assert page.get_by_text("There is nothing to draw before the second decision").is_visible()


@pytest.fixture
def busy(make_run) -> RunDirectory:
    """Two hundred round trips over ten weeks: every section has something to show."""
    return make_run(decisions=1_700, experts=True, tainted=range(3, 6))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_cut_overlaps_scrolls_sideways_or_is_faint(busy, show, size, scheme):
    page = show(busy, size, color_scheme=scheme)
    assert page.evaluate(FAULTS) == []
    page.get_by_role("button", name="Show all").first.click()
    assert page.evaluate(FAULTS) == []
    page.locator("a[href^='#order-']").first.click()
    page.locator("dialog[open]").wait_for()
    box = page.locator("dialog").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= SIZES[size][0]
    assert page.faults == []


@pytest.mark.parametrize(("size", "hours"), [("desktop", 24), ("phone", 8)])
def test_hours_are_named_where_there_is_room_for_them(busy, show, size, hours):
    seen = """() => [...document.querySelectorAll(".columns")[0].querySelectorAll("span:not(.unseen)")]
        .filter((one) => one.checkVisibility({ visibilityProperty: true })).length"""
    assert show(busy, size).evaluate(seen) == hours


def year_of_minutes(path: Path) -> Path:
    """A random walk that loses no limit soon."""
    rng = np.random.default_rng(4)
    closes = 5000.0 * np.exp(np.cumsum(rng.normal(0.0, 2e-4, 525_601)))
    first, last = np.round(closes[:-1], 2), np.round(closes[1:], 2)
    stamps = pa.array(1_672_531_200_000 + 60_000 * np.arange(525_600), pa.timestamp("ms", tz="UTC"))
    high, low = np.maximum(first, last) + 0.5, np.minimum(first, last) - 0.5
    columns = {
        "date": stamps,
        "open": first,
        "high": high,
        "low": low,
        "close": last,
        "volume": np.full(525_600, 9.0),
    }
    pyarrow.parquet.write_table(pa.table(columns), path)
    return path


@pytest.mark.proof
def test_a_year_of_minutes_is_small_and_opens_no_later_than_ten_weeks_with_every_section(
    tmp_path, busy, show
):
    """Of four openings by turns the quickest of each: the machine has other work too."""
    run = RunDirectory(tmp_path / "year")
    data = year_of_minutes(tmp_path / "BTCUSDT.parquet")
    words = ["--data", str(data), "--strategy", "trend", "--learner", "off", "--out", str(run.path), "--json"]
    subprocess.run([sys.executable, "-m", "ztb", "replay", *words], check=True, capture_output=True)
    spent: dict[RunDirectory, list[float]] = {busy: [], run: []}
    for size in (*SIZES, *SIZES):
        for shown, seconds in spent.items():
            begun = time.monotonic()
            page = show(shown, size)
            seconds.append(time.monotonic() - begun - page.write_s)
            assert page.faults == []
    short, year = map(min, spent.values())
    print(
        f"{run.report.stat().st_size / 1e6:.2f} MB, opened in {year:.2f} s, {year / short:.2f} of the short run's"
    )
    assert run.report.stat().st_size < 1_500_000 and year < short


def test_paper_has_all_of_it(busy, show):
    page = show(busy, color_scheme="dark")
    page.set_viewport_size(PAPER)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(FAULTS) == []
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(23, 26, 33)", "paper is white"


def test_a_keyboard_reaches_everything_in_order_and_is_seen_there(busy, show):
    page = show(busy)
    count = page.evaluate(REACHABLE)
    assert count > 80
    for expected in range(count):
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUSED) == [expected, True]


def test_candles_are_as_fine_as_the_zoom_and_fills_lie_on_the_price(busy, show):
    page = show(busy)
    host = page.locator("figure[data-chart=price] .plot")
    step = page.locator("figure[data-chart=price] .step")
    assert step.inner_text() == "Candles of 12 h."
    host.focus()
    tip = page.locator("figure[data-chart=price] .tip")
    for words in ("bought 0.5 at", "sold 0.5 at"):
        page.keyboard.press("PageDown")
        page.wait_for_function(
            "(words) => document.querySelector('figure[data-chart=price] .tip').innerText.includes(words)",
            arg=words,
        )
    assert "earned" in tip.inner_text() and "high" in tip.inner_text()
    for _ in range(20):  # further in than there are decisions
        page.keyboard.press("ArrowUp")
    page.wait_for_function(
        "() => document.querySelector('figure[data-chart=price] .step').innerText === 'Candles of 1 h.'"
    )
    page.keyboard.press("Home")
    page.wait_for_function(
        "() => document.querySelector('figure[data-chart=price] .step').innerText === 'Candles of 12 h.'"
    )
    assert page.faults == []


def test_the_prices_of_the_page_are_those_of_the_journal(busy, show):
    page = show(busy)
    made = """async () => {
      const { count, times, prices, unit } = JSON.parse(document.getElementById("data").textContent).charts.price.candles;
      const [at, steps] = await Promise.all([ztbCharts.unpacked(times, count), ztbCharts.unpacked(prices, count)]);
      return [[...at], [...steps].map((step) => step * unit)];
    }"""
    times, prices = page.evaluate(made)
    marks = load_run(busy).marks
    assert times == (marks.ts_ns // 1_000_000).tolist()
    assert prices == pytest.approx(marks.mid.tolist(), abs=0.005)


def test_a_fill_says_why_and_how_to_have_it_computed_again(busy, show):
    page = show(busy)
    page.locator("figure[data-chart=price] .plot").focus()
    page.keyboard.press("PageDown")
    page.wait_for_function(
        "() => document.querySelector('figure[data-chart=price] .tip').innerText.includes('bought')"
    )
    page.keyboard.press("Enter")
    page.locator("dialog[open]").wait_for()
    told = page.locator("dialog").inner_text()
    for words in (
        "Why order 1",
        "Fill 101, bought",
        "Target exposure",
        "trend wanted",
        "ztb why 1 --run run",
    ):
        assert words in told
    page.keyboard.press("Escape")
    page.locator("dialog[open]").wait_for(state="detached")
    # A dialog says that it closed a task later than it is closed.
    page.wait_for_url(lambda url: "#" not in url)


def test_round_trips_sort_by_any_column(busy, show):
    page = show(busy)
    table = page.locator("table.sorts").first
    button = table.get_by_role("button", name="Net profit")
    shown = "(table) => [...table.rows].slice(1).map((row) => Number(row.cells[8].textContent.replace('\u2212', '-').replace(',', '')))"
    button.click()
    falling = table.evaluate(shown)
    assert falling == sorted(falling, reverse=True) and len(falling) > 200
    button.click()
    assert table.evaluate(shown) == sorted(falling)
    assert table.locator("th[aria-sort=ascending]").count() == 1
    assert page.locator("tbody tr:visible").count() < 200, "long tables begin short"


def test_a_gap_in_the_data_is_a_gap_in_the_lines(show, make_run):
    page = show(make_run())
    rows = page.evaluate("""() => {
      const host = document.createElement("div");
      document.body.append(host);
      const lines = [{ name: "one", color: "ours", values: [1, 2, 3, 4] }];
      const plot = ztbCharts.chart(host, { x: [0, 10, 500, 510], lines, form: "plain", time: true, gaps: [[10, 500]] }, { name: "x", height: () => 100 });
      return plot.u.data.map((column) => [...column]);
    }""")
    assert rows == [[0, 10, 255, 500, 510], [1, 2, None, 3, 4]]
