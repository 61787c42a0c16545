"""Decoded without ccxt, a venue's messages give the rows that they give by way of it, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import ccxt
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from market.live.frames import WIRES, FrameVenue, Market
from ztb.market.live import local_book
from ztb.market.live.channel import Health
from ztb.market.live.decoding.formats import Unfamiliar, iso_ms
from ztb.market.live.local_book import LocalBook
from ztb.market.live.source import FeedSettings, LiveSource, open_live_source
from ztb.market.ticks import DEPTH, GAP, QUOTE, SNAPSHOT, TRADE, Ticks, join_ticks
from ztb.testing.virtual_time import VirtualTimeLoop, run_virtual

KINDS = ("trades", "quotes", "depth")
ROWS = {"trades": TRADE, "quotes": QUOTE, "depth": DEPTH}


@dataclass
class Heard:
    """What came of a script: the rows, the stream's health, the venue that spoke."""

    ticks: Ticks
    health: Health
    venue: FrameVenue

    @property
    def counts(self) -> tuple[int, ...]:
        h = self.health
        return h.gaps, h.recovered, h.lost, h.duplicates, h.bad, h.reconnects

    def book(self) -> tuple[dict[float, float], dict[float, float]]:
        """What the rows come to, (bids, asks)."""
        sides: dict[int, dict[float, float]] = {1: {}, -1: {}}
        for row in self.ticks:
            if row["flags"] & SNAPSHOT:
                sides = {1: {}, -1: {}}
            sides[int(row["side"])][float(row["price"])] = float(row["size"])
        bids, asks = ({price: size for price, size in sides[side].items() if size} for side in (1, -1))
        return bids, asks


class Stage:
    """A live source of one stream on a venue that a script makes speak."""

    def __init__(self, wire: str, kind: str, seed: int, asked: FeedSettings) -> None:
        self.venue = FrameVenue(WIRES[wire](), Market(seed), kind)
        self.kind = kind
        self.settings = replace(asked, streams=(kind,))
        self.source: LiveSource
        self.blocks: list[Ticks] = []

    async def speak(self, count: int = 1) -> None:
        """So many messages, one after the other."""
        for _ in range(count):
            self.venue.say(self.message())
            await asyncio.sleep(0.05)

    def message(self) -> list[str]:
        wire, market = self.venue.wire, self.venue.market
        if self.kind == "trades":
            return wire.trades(market.happen(market.random.randrange(1, 4)))
        return wire.quote(market) if self.kind == "quotes" else wire.depth(market)

    async def connected(self, times: int) -> None:
        while self.venue.subscribed < times:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)


def play(
    wire: str, kind: str, script: Callable[[Stage], Any], decoders: bool, seed: int = 1, **more: Any
) -> Heard:
    async def run() -> Heard:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop.set_exception_handler(lambda _loop, _context: None)
        it = Stage(wire, kind, seed, FeedSettings(decoders=decoders, **more))
        it.venue.market.ms = loop.now_ns() // 1_000_000 - 100_000
        symbol = it.venue.wire.symbol
        it.source = await open_live_source(it.venue.client, symbol, it.settings, loop.now_ns, lambda: 0.5)

        async def consume() -> None:
            async for block in it.source.blocks():
                it.blocks.append(block)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(it.source.run())
            tasks.create_task(consume())
            await it.connected(1)
            await script(it)
            await asyncio.sleep(1.0)
            it.source.close()
        return Heard(join_ticks(it.blocks), it.source.health[0], it.venue)

    return run_virtual(run())


def both(wire: str, kind: str, script: Callable[[Stage], Any], seed: int = 1, **more: Any) -> Heard:
    """Play a script by way of ccxt and by decoders; the rows and the counts are the same."""
    by_ccxt, decoded = (play(wire, kind, script, decoders, seed, **more) for decoders in (False, True))
    assert len(decoded.ticks) > 0 and set(decoded.ticks["kind"].tolist()) == {ROWS[kind]}
    assert decoded.ticks.tobytes() == by_ccxt.ticks.tobytes()
    assert decoded.counts == by_ccxt.counts
    return decoded


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wire", WIRES)
def test_rows_are_those_that_come_by_way_of_ccxt_which_does_not_see_the_messages(wire, kind):
    async def script(it: Stage) -> None:
        await it.speak(5)
        it.venue.say(it.venue.wire.foreign())
        await it.speak(300)

    heard = both(wire, kind, script)
    assert heard.health.bad == 0 and len(heard.ticks) > 300
    # What is not decoded: an answer, what is none of ours, and what ccxt makes a book of.
    assert heard.venue.by_ccxt <= 6


@pytest.mark.parametrize("wire", [name for name, made in WIRES.items() if made.numbered])
def test_a_hole_in_the_trades_and_what_came_twice(wire):
    async def script(it: Stage) -> None:
        await it.speak(5)
        it.venue.market.happen(7)
        await it.speak(5)
        frames = it.message()
        it.venue.say(frames)
        it.venue.say(frames)
        await asyncio.sleep(0.1)
        lost = it.venue.market.happen(3)
        it.venue.market.trades = [row for row in it.venue.market.trades if row not in lost[:2]]
        await it.speak(5)

    heard = both(wire, "trades", script)
    assert heard.health.recovered == 8 and heard.health.lost == 2 and heard.health.duplicates >= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wire", WIRES)
def test_a_connection_that_ends_is_mended_alike(wire, kind):
    async def script(it: Stage) -> None:
        await it.speak(10)
        it.venue.socket.hang_up(1006)
        it.venue.market.happen(4)
        it.venue.market.change()
        await it.connected(2)
        await it.speak(20)

    heard = both(wire, kind, script)
    assert heard.health.reconnects == 1
    if kind == "trades":
        assert heard.health.recovered == 4 and heard.health.lost == 0


@pytest.mark.parametrize("wire", ["binance", "binance-futures", "okx", "okx-swap"])
def test_a_change_that_is_missing_in_a_book_ends_the_connection(wire):
    async def script(it: Stage) -> None:
        await it.speak(10)
        it.message()
        await it.speak(1)
        await it.connected(2)
        await it.speak(20)

    heard = both(wire, "depth", script)
    assert heard.health.reconnects == 1 and (heard.ticks["flags"] & GAP).any()


def strange(frame: str, kind: str) -> str:
    """The message as a venue might send it some day; ccxt takes what it knows of it."""
    told = frame
    for known, new in {
        "trades": (('"m": true', '"m": null'), ('"m": false', '"m": null'), ('"S": "Buy"', '"S": "Both"'),
                   ('"S": "Sell"', '"S": "Both"'), ('"side": "buy"', '"side": "both"'), ('"side": "sell"', '"side": "both"'),
                   ('"side": "BUY"', '"side": "BOTH"'), ('"side": "SELL"', '"side": "BOTH"')),
        "quotes": (('"u": ', '"u": "x", "v": '), ('"type": "update"', '"type": "partial"'), ('"type": "delta"', '"type": "partial"'),
                   ('"arg": {', '"action": "partial", "arg": {'), ('"best_ask_quantity": "', '"best_ask_quantity": "", "more": "')),
        "depth": (('"U": ', '"U": "x", "V": '), ('"type": "update"', '"type": "partial"'), ('"type": "delta"', '"type": "partial"'),
                  ('"action": "update"', '"action": "partial"')),
    }[kind]:  # fmt: skip
        told = told.replace(known, new)
    assert told != frame
    return told


@pytest.mark.parametrize("kind", ["trades", "quotes"])
@pytest.mark.parametrize("wire", [name for name in WIRES if name != "bybit"])
def test_a_decoder_that_meets_something_new_steps_aside_and_says_so_once(wire, kind):
    async def script(it: Stage) -> None:
        await it.speak(10)
        for _ in range(3):
            it.venue.say([strange(frame, kind) for frame in it.message()])
            await asyncio.sleep(0.05)
        await it.speak(20)

    with capture_logs() as logs:
        heard = both(wire, kind, script)
    assert heard.health.reconnects == 0 and heard.venue.by_ccxt >= 23
    said = [line for line in logs if line["event"] == "decoder_stepped_aside"]
    assert [(line["log_level"], line["stream"]) for line in said] == [("warning", kind)] and said[0]["reason"]


@pytest.mark.parametrize(("wire", "kind"), [*((wire, "depth") for wire in WIRES), ("bybit", "quotes")])
def test_a_book_that_was_ours_is_made_anew_by_ccxt(wire, kind):
    async def script(it: Stage) -> None:
        await it.speak(10)
        it.venue.say([strange(frame, kind) for frame in it.message()])
        await it.connected(2)
        it.venue.by_ccxt = 0
        await it.speak(20)

    with capture_logs() as logs:
        heard = play(wire, kind, script, decoders=True)
    assert [line["event"] for line in logs].count("decoder_stepped_aside") == 1
    assert heard.health.reconnects == 1 and heard.venue.by_ccxt == 20 and (heard.ticks["flags"] & GAP).any()
    if kind == "depth":
        bids, asks = heard.book()
        assert (max(bids), min(asks)) == heard.venue.market.best()


@pytest.mark.parametrize("wire", ["bybit", "okx", "coinbase"])
def test_a_change_right_behind_the_snapshot_is_not_undone(wire):
    async def script(it: Stage) -> None:
        it.venue.say_at_once([*it.venue.wire.snapshot(it.venue.market), *it.message()])
        await asyncio.sleep(1.0)

    heard = play(wire, "depth", script, decoders=True)
    assert heard.book() == heard.venue.market.near(20)


def test_a_burst_within_one_turn_of_the_loop_comes_whole_and_in_order():
    async def script(it: Stage) -> None:
        for _ in range(2_000):
            it.venue.say(it.message())
        await asyncio.sleep(5.0)

    heard = play("binance", "trades", script, decoders=True)
    assert heard.ticks["price"].tolist() == [row["price"] for row in heard.venue.market.trades]
    assert not heard.ticks["flags"].any() and heard.venue.asked == 0


@pytest.mark.parametrize("wire", ["binance", "bybit"])
def test_trades_that_find_no_room_are_asked_for(wire):
    async def script(it: Stage) -> None:
        await it.speak(1)
        for _ in range(300):
            it.venue.say(it.message())
        await asyncio.sleep(10.0)

    heard = play(wire, "trades", script, decoders=True, cache_trades=5)
    assert heard.ticks["price"].tolist() == [row["price"] for row in heard.venue.market.trades]
    assert heard.venue.asked > 0 and heard.health.recovered > 0 and heard.health.lost == 0


@given(st.decimals("0.00000001", "99999999", allow_nan=False, places=8).map(lambda d: f"{d:f}"))
def test_prices_are_read_to_the_last_bit(text):
    assert msgspec.json.decode(f'"{text}"', type=float, strict=False) == float(text)


@given(st.integers(86_400, 4_000_000_000), st.integers(0, 999_999), st.integers(0, 9))
def test_times_are_those_that_ccxt_reads(second, micro, digits):
    fraction = f".{micro:06}000"[: digits + 1] if digits else ""
    text = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"
    assert iso_ms(text) == ccxt.Exchange.parse8601(text)


@pytest.mark.parametrize(
    "text", ["", "2023-09-25T07:49:37.7+02:00", "2023-09-25 07:49", "yesterday, at five o'clock"]
)
def test_what_is_no_time_is_unfamiliar(text):
    with pytest.raises(Unfamiliar):
        iso_ms(text)


levels = st.lists(st.tuples(st.integers(1, 60).map(float), st.sampled_from([0.0, 1.0, 2.5])), max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(levels, levels), max_size=30),
    st.sampled_from([1, 5, 20, 300]),
    st.sampled_from([None, 10]),
)
def test_a_local_book_holds_what_sorting_everything_anew_gives(monkeypatch, changes, most, keep):
    monkeypatch.setattr(local_book, "_NEAR", 8)  # so that levels beyond the near ones matter in a small book
    book, plain = LocalBook([], [], None), ({}, {})
    for bids, asks in changes:
        book.apply(bids, asks, keep)
        for side, told, sign in zip(plain, (bids, asks), (-1, 1), strict=True):
            side |= dict(told)
            kept = sorted((price for price, size in side.items() if size), key=lambda price: sign * price)[
                :keep
            ]
            for price in [price for price in side if price not in kept]:
                del side[price]
        best = book.best(most)
        assert list(best.bids.items()) == sorted(plain[0].items(), reverse=True)[:most]
        assert list(best.asks.items()) == sorted(plain[1].items())[:most]


def test_a_local_book_forgets_no_level_that_comes_and_goes_at_the_edge_of_the_near_ones(monkeypatch):
    monkeypatch.setattr(local_book, "_NEAR", 4)
    for seed in range(5):
        random, book, plain = Random(seed), LocalBook([], [], None), {}
        for _ in range(2_000):
            price, size = float(random.randrange(1, 30)), random.choice([0.0, 1.0, 2.0])
            book.apply([], [(price, size)], None)
            plain[price] = size
            expected = sorted((p, size) for p, size in plain.items() if size)[:3]
            assert list(book.best(3).asks.items()) == expected
