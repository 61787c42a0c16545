"""The page as a browser shows it: charts drawn, nothing asked of any network, nothing wider than a phone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ztb.ledger.run_directory import RunDirectory
from ztb.telemetry.report import write_report

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
CHARTS = 14  # seven over time, seven of learning

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
        page.goto(write_report(directory).as_uri())
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
