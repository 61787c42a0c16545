"""The page as a browser shows it: live, drawn, nothing asked of anybody else, nothing wider than a phone."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest

from telemetry.made_up import HALTED, SECOND_NS, START_NS, WORDS, fill_row, snapshot
from telemetry.seeing import FAULTS, FOCUSED, REACHABLE
from telemetry.web.served import Served

playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
CHARTS = ("equity", "price", "position", "entropy", "kl", "value_loss", "explained")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed (apt-get install chromium)"
)

COLOURS = """(id) => {
  const canvas = document.querySelector(`#${id} canvas`);
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const colours = new Set();
  for (let i = 0; i < pixels.length; i += 4) if (pixels[i + 3] > 0) colours.add(pixels[i] << 16 | pixels[i + 1] << 8 | pixels[i + 2]);
  return colours.size;
}"""


@contextlib.asynccontextmanager
async def chromium(served: Served) -> AsyncIterator[Any]:
    """A browser, while the page is served."""
    async with served.running(), playwright.async_playwright() as started:
        browser = await started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


async def open_page(browser: Any, served: Served, size: str = "desktop", **options: Any) -> Any:
    """The page; what it complains of or asks of others is in `page.faults`."""
    width, height = SIZES[size]
    context = await browser.new_context(viewport={"width": width, "height": height}, **options)
    page = await context.new_page()
    page.faults = []
    home = f"//127.0.0.1:{served.port}/"
    page.on("console", lambda message: page.faults.append(message.text))
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("request", lambda request: page.faults.append(request.url) if home not in request.url else None)
    await page.goto(f"http:{home}")
    return page


@contextlib.asynccontextmanager
async def opened(served: Served, size: str = "desktop") -> AsyncIterator[Any]:
    """One page in a browser of its own."""
    async with chromium(served) as browser:
        yield await open_page(browser, served, size)


async def test_everything_is_drawn_and_nothing_is_asked_of_others():
    served = Served()
    served.live_a_day()
    async with chromium(served) as browser:
        for size, scheme in itertools.product(SIZES, ("light", "dark")):
            page = await open_page(browser, served, size, color_scheme=scheme)
            await page.wait_for_selector("#link.good")
            for chart in CHARTS:
                assert await page.evaluate(COLOURS, chart) > 2, chart
            assert await page.evaluate(FAULTS) == []
            text = (await page.inner_text("body")).replace("\xa0", " ")
            for words in ("10,012.60", "Against hold", "Against generation 0, full size", "What capital each expert has", "trend",
                          "12.50 %", "generation 3, leads", "7.389", "nobody: flat", "62.50 %", "Candles of", "Learning", "interval \u22120.20 % to 0.40 %", "orders per minute", "55 of 60",
                          "rolled back", "drawdown 18 % is near the limit", "Generation 3 serves", "stale"):  # fmt: skip
                assert words in text, words
            assert await page.locator("#limits progress.near").count() == 1
            assert page.faults == []


async def test_what_happens_is_shown_within_seconds():
    served = Served()
    served.live_a_day()
    async with opened(served) as page:
        await page.wait_for_selector("#link.good")
        served.now = snapshot(conditions=(HALTED,), equity=9_000.0, last_tick_ns=START_NS + 10**14)
        served.observer.record(fill_row(77, -1, START_NS + 10**14))
        await page.get_by_text("going on holiday").wait_for()
        assert "going on holiday" in await page.inner_text("#halted")
        assert "9,000.00" in await page.inner_text("#cards")


async def test_nasty_words_run_nothing():
    served = Served()
    nasty = "<img src=x onerror=alert(1)><script>console.log('out')</script>"
    served.now = snapshot(strategy=nasty, conditions=(WORDS.halted(nasty, "socket", 0),))
    async with opened(served) as page:
        await page.wait_for_selector("#link.good")
        assert "since 13 Sept 2020" in await page.inner_text("#serving")
        assert nasty in await page.inner_text("#halted") and page.faults == []


async def test_a_token_is_asked_for_and_remembered():
    served = Served(token="a token that nobody guesses")
    async with opened(served, "phone") as page:
        await page.goto(f"http://127.0.0.1:{served.port}/login")
        await page.fill("#token", "a token that nobody guesses")
        page.faults.clear()
        await page.click("button")
        await page.wait_for_selector("#link.good")
        assert page.faults == []


async def test_a_daemon_that_has_just_started_is_shown_as_it_is():
    served = Served()
    served.now = snapshot(
        state="starting", mid=None, bid=None, ask=None, last_tick_ns=None, learner=None, generation=None, limits=(),
        streams=(), hold_equity=None, frozen_equity=None, helping=(), alerts=(), lag_ms=None, last_save_ms=None,
    )  # fmt: skip
    async with opened(served) as page:
        await page.wait_for_selector("#link.good")
        assert "No alerts." in await page.inner_text("body") and page.faults == []
        assert not await page.locator("#h-learning").is_visible()


async def test_why_it_halted_stands_on_top_and_commands_are_marked():
    served = Served()
    served.live_a_day()
    served.now = snapshot(conditions=(HALTED,))
    async with chromium(served) as browser:
        for size in SIZES:
            page = await open_page(browser, served, size)
            await page.wait_for_selector("#link.good")
            assert await page.inner_text("#state") == "halted"
            assert await page.inner_text("#halted code") == "ztb resume --run runs/paper"
            assert await page.inner_text("#halted") == HALTED.text.replace("`", "")
            assert (await page.locator("#halted").bounding_box())["y"] < 400
            assert await page.evaluate(FAULTS) == []


async def test_a_keyboard_reaches_everything_in_order_and_is_seen_there():
    served = Served()
    served.live_a_day()
    async with opened(served) as page:
        await page.wait_for_selector("#link.good")
        count = await page.evaluate(REACHABLE)
        assert count >= len(CHARTS)
        for expected in range(count):
            await page.keyboard.press("Tab")
            assert await page.evaluate(FOCUSED) == [expected, True]
        await page.focus("#price")
        await page.keyboard.press("PageDown")
        await page.wait_for_selector("#price .tip:not([hidden])")
        assert "sold 0.01 at" in await page.inner_text("#price .tip")


async def test_a_gap_is_a_gap():
    served = Served()
    for minute in (*range(60), *range(600, 660)):
        served.observer._feed.sample(snapshot(last_tick_ns=START_NS + minute * 60 * SECOND_NS))
    async with opened(served) as page:
        await page.wait_for_selector("#link.good")
        await page.focus("#equity")
        # The cursor stands in the middle of the rows, which is the row that breaks the lines.
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("ArrowLeft")
        assert "account" not in await page.inner_text("#equity .tip")
        await page.keyboard.press("ArrowRight")
        assert "account" in await page.inner_text("#equity .tip")
