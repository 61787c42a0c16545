"""The live source over a fake venue, on virtual time: nothing is lost, nothing comes twice, everything is marked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from ccxt.base import errors

from market.live.fake_venue import SYMBOL, FakeVenue, banned, out_of_order, too_many
from ztb.errors import ConfigError, VenueError
from ztb.market.live.source import FeedSettings, LiveSource, open_live_source
from ztb.market.ticks import BAR, DEPTH, LAST, QUOTE, SNAPSHOT, TRADE, Flag, Ticks, join_ticks
from ztb.testing.virtual_time import VirtualTimeLoop, run_virtual

GAP, TAINTED = int(Flag.GAP), int(Flag.TAINTED)
TRADES = FeedSettings(streams=("trades",))


class Market:
    """A venue, a source on it, and what came out of the source."""

    def __init__(self, settings: FeedSettings) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        self.settings = settings
        self.venue = FakeVenue(loop.now_ns)
        self.blocks: list[Ticks] = []
        self.times: list[float] = []
        self.source: LiveSource

    async def open(self) -> None:
        self.source = await open_live_source(
            self.venue.client, SYMBOL, self.settings, self.venue.now_ns, lambda: 0.5
        )

    async def consume(self) -> None:
        async for block in self.source.blocks():
            self.blocks.append(block)
            self.times.append(asyncio.get_running_loop().time())

    @property
    def ticks(self) -> Ticks:
        return join_ticks(self.blocks)

    def prices(self) -> list[float]:
        ticks = self.ticks
        return ticks["price"][ticks["kind"] == TRADE].tolist()

    @property
    def stream(self):
        """The client of the first stream that is connected now."""
        return next(c for c in reversed(self.venue.clients) if not c.closed)

    def happened(self) -> list[float]:
        return [trade["price"] for trade in self.venue.trades]


@asynccontextmanager
async def market(settings: FeedSettings = TRADES, prepare=lambda venue: None):
    made = Market(settings)
    prepare(made.venue)
    await made.open()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(made.source.run(), name="source")
        tasks.create_task(made.consume(), name="consumer")
        await asyncio.sleep(0.001)
        yield made
        await asyncio.sleep(1.0)
        made.source.close()


def on_virtual_time(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        run_virtual(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@on_virtual_time
async def test_trades_come_out_in_order_with_price_size_side_and_time():
    async with market() as it:
        for _ in range(5):
            it.venue.trade(3)
            await asyncio.sleep(0.5)
    assert it.prices() == it.happened()
    ticks = it.ticks
    assert ticks["ts_ns"].tolist() == [trade["timestamp"] * 1_000_000 for trade in it.venue.trades]
    assert set(ticks["side"].tolist()) == {1} and set(ticks["size"].tolist()) == {0.5}
    assert not ticks["flags"].any()


@on_virtual_time
async def test_blocks_come_no_later_than_the_flush_time_and_never_one_for_each_trade_of_a_burst():
    async with market(FeedSettings(streams=("trades",), flush_ms=20.0)) as it:
        started = asyncio.get_running_loop().time()
        for _ in range(100):
            it.venue.trade()
            await asyncio.sleep(0.001)
    assert it.prices() == it.happened()
    assert it.times[0] - started <= 0.001
    assert len(it.blocks) <= 7
    assert max(np.diff(it.times)) <= 0.0211


@on_virtual_time
async def test_a_slow_engine_loses_no_trade_and_gets_blocks_of_at_most_the_rows_asked_for():
    settings = FeedSettings(streams=("trades",), block_rows=64, capacity_rows=100)
    made = Market(settings)
    await made.open()

    async def slow():
        async for block in made.source.blocks():
            made.blocks.append(block)
            await asyncio.sleep(0.2)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(made.source.run())
        tasks.create_task(slow())
        await asyncio.sleep(0.01)
        for _ in range(100):
            made.venue.trade(20)
            await asyncio.sleep(0.01)
        await asyncio.sleep(60.0)
        made.source.close()
    assert made.prices() == made.happened()
    assert max(map(len, made.blocks)) <= 64
    assert made.source.intake.crowded > 0


@on_virtual_time
async def test_a_hole_in_the_trade_ids_is_filled_from_rest_in_order_and_tainted():
    async with market() as it:
        it.venue.trade(3)
        await asyncio.sleep(0.1)
        it.venue.trade(4, deliver=False)
        await asyncio.sleep(0.1)
        it.venue.trade(2)
    assert it.prices() == it.happened()
    assert (it.ticks["flags"] == TAINTED).tolist() == [False] * 3 + [True] * 4 + [False] * 2
    assert (it.source.health[0].gaps, it.source.health[0].recovered, it.source.health[0].lost) == (1, 4, 0)


@on_virtual_time
async def test_a_hole_larger_than_a_page_is_filled_page_by_page():
    async with market(prepare=lambda venue: setattr(venue, "page", 7)) as it:
        it.venue.trade(3)
        for _ in range(50):
            await asyncio.sleep(0.01)
            it.venue.trade(2, deliver=False)
        await asyncio.sleep(0.01)
        it.venue.trade(1)
    assert it.prices() == it.happened()
    assert it.source.health[0].recovered == 100


@on_virtual_time
async def test_what_rest_cannot_give_back_is_counted_as_lost_and_marked_as_a_gap():
    async with market() as it:
        it.venue.trade(3)
        await asyncio.sleep(0.1)
        it.venue.trade(10, deliver=False)
        it.venue.history = 4
        await asyncio.sleep(0.1)
        it.venue.trade(1)
    lost = it.venue.trades[3:10]
    assert it.prices() == [p for p in it.happened() if p not in [t["price"] for t in lost]]
    assert it.source.health[0].lost == len(lost)
    assert it.ticks["flags"][-1] == GAP | TAINTED


@on_virtual_time
async def test_duplicates_are_dropped_and_counted():
    async with market() as it:
        it.venue.trade(5, twice=True)
    assert it.prices() == it.happened()
    assert it.source.health[0].duplicates == 5


@on_virtual_time
async def test_ids_that_jump_by_themselves_are_found_out_and_no_longer_ask_rest():
    def sparse(venue: FakeVenue) -> None:
        venue.rest_ids = venue.stream_ids = lambda number: str(number * 10)

    async with market(prepare=sparse) as it:
        for _ in range(20):
            it.venue.trade()
            await asyncio.sleep(0.1)
        calls = it.venue.rest_calls
        for _ in range(20):
            it.venue.trade()
            await asyncio.sleep(0.1)
        assert it.venue.rest_calls == calls
    assert it.prices() == it.happened()
    assert it.source.health[0].gaps == 0


@pytest.mark.parametrize(
    "fault",
    [
        errors.NetworkError("closed"),
        errors.ChecksumError("book"),
        KeyError("parser"),
        asyncio.CancelledError(),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_broken_connection_is_made_anew_and_what_was_missed_is_filled_in(fault: BaseException):
    async def run() -> None:
        async with market() as it:
            it.venue.trade(3)
            await asyncio.sleep(0.1)
            it.stream.fail(fault)
            it.venue.trade(4)
            await asyncio.sleep(1.0)
            it.venue.trade(2)
        assert it.prices() == it.happened()
        health = it.source.health[0]
        assert (health.reconnects, health.recovered, health.stale) == (1, 4, False)
        assert (it.ticks["flags"] == TAINTED).tolist() == [False] * 3 + [True] * 4 + [False] * 2

    run_virtual(run())


@on_virtual_time
async def test_a_silent_stream_is_found_dead_because_rest_has_news():
    async with market() as it:
        it.venue.trade(3)
        await asyncio.sleep(0.1)
        it.stream.deaf = True
        it.venue.trade(4)
        await asyncio.sleep(15.0)
        assert it.source.health[0].reconnects == 1
        it.venue.trade(2)
    assert it.prices() == it.happened()
    assert it.source.health[0].recovered == 4


@on_virtual_time
async def test_a_quiet_market_is_not_taken_for_a_dead_stream():
    async with market() as it:
        it.venue.trade(3)
        await asyncio.sleep(300.0)
        assert it.source.health[0].reconnects == 0
        assert not it.source.health[0].stale
        it.venue.trade(1)
    assert it.prices() == it.happened()


@on_virtual_time
async def test_reconnects_to_a_venue_that_is_down_wait_longer_each_time_and_end_when_it_is_back():
    async with market() as it:
        it.venue.trade(3)
        await asyncio.sleep(0.1)
        it.venue.refuse_streams = errors.NetworkError("refused")
        it.stream.fail(errors.NetworkError("closed"))
        await asyncio.sleep(600.0)
        assert 15 <= it.source.health[0].reconnects <= 40
        it.venue.refuse_streams = None
        it.venue.trade(5)
        await asyncio.sleep(60.0)
        it.venue.trade(1)
    assert it.prices() == it.happened()


@pytest.mark.parametrize("refusal", [too_many, banned])
def test_after_a_refusal_no_call_is_made_until_the_venue_allows_it(refusal: Callable[[], Exception]):
    async def run() -> None:
        async with market() as it:
            it.venue.trade(3)
            await asyncio.sleep(0.1)
            it.source.rest.client.last_response_headers = {"Retry-After": "30"}  # type: ignore[attr-defined]
            it.venue.rest_faults = [refusal()]
            it.venue.trade(4, deliver=False)
            await asyncio.sleep(0.1)
            calls = it.venue.rest_calls
            it.venue.trade(1)
            await asyncio.sleep(29.0)
            assert it.venue.rest_calls == calls + 1
            await asyncio.sleep(5.0)
        assert it.prices() == it.happened()
        assert it.source.rest.refusals == 1

    run_virtual(run())


@on_virtual_time
async def test_errors_of_the_server_are_tried_again():
    async with market() as it:
        it.venue.trade(3)
        await asyncio.sleep(0.1)
        it.venue.rest_faults = [out_of_order(), out_of_order(), errors.RequestTimeout("slow")]
        it.venue.trade(4, deliver=False)
        await asyncio.sleep(0.1)
        it.venue.trade(1)
        await asyncio.sleep(30.0)
    assert it.prices() == it.happened()


@on_virtual_time
async def test_where_rest_numbers_trades_otherwise_times_decide_and_nothing_comes_twice():
    def otherwise(venue: FakeVenue) -> None:
        venue.rest_ids = lambda number: f"agg-{number}"

    async with market(prepare=otherwise) as it:
        it.venue.trade(3)
        await asyncio.sleep(0.1)
        it.stream.fail(errors.NetworkError("closed"))
        for _ in range(4):
            it.venue.trade()
            await asyncio.sleep(0.01)
        await asyncio.sleep(1.0)
        it.venue.trade(2)
    assert it.prices() == it.happened()


@on_virtual_time
async def test_history_comes_first_unmarked_and_joins_the_stream_without_a_hole():
    def past(venue: FakeVenue) -> None:
        venue.trade(20)

    async with market(FeedSettings(streams=("trades",), warm_up_s=60.0), past) as it:
        assert it.source.history.is_set()
        it.venue.trade(5)
    assert it.prices() == it.happened()
    assert not it.ticks["flags"].any()


@on_virtual_time
async def test_a_market_that_trades_while_it_is_asked_does_not_keep_the_start_waiting():
    def busy(venue: FakeVenue) -> None:
        venue.trade(20)
        asked = venue.client

        def client():
            made = asked()
            fetch = made.fetch_trades

            async def slow(symbol: str, since: int, limit: int):
                await asyncio.sleep(1.0)
                venue.trade()
                return await fetch(symbol, since, limit)

            made.fetch_trades = slow  # type: ignore[method-assign]
            return made

        venue.client = client  # type: ignore[method-assign]

    async with market(FeedSettings(streams=("trades",), warm_up_s=60.0), busy) as it:
        await asyncio.sleep(10.0)
        assert it.source.history.is_set()
        it.venue.trade(5)
        await asyncio.sleep(5.0)
    assert it.prices()[:20] == it.happened()[:20] and it.prices()[-5:] == it.happened()[-5:]


@on_virtual_time
async def test_a_venue_without_streams_is_polled():
    made = Market(FeedSettings(streams=("trades", "quotes"), poll_s=1.0))
    make = made.venue.client

    def without_streams():
        client = make()
        client.has = {"fetchTime": True}
        return client

    made.venue.client = without_streams  # type: ignore[method-assign]
    await made.open()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(made.source.run())
        tasks.create_task(made.consume())
        for _ in range(10):
            made.venue.trade(3)
            await asyncio.sleep(1.0)
        await asyncio.sleep(1.0)
        made.source.close()
    assert made.prices() == made.happened()
    ticks = made.ticks
    assert (ticks["kind"] == QUOTE).sum() >= 9
    assert not ticks["flags"][ticks["kind"] == TRADE].any()


@on_virtual_time
async def test_quotes_are_the_latest_and_marked_after_an_outage():
    async with market(FeedSettings(streams=("quotes",))) as it:
        it.venue.trade(3)
        await asyncio.sleep(0.1)
        it.stream.fail(errors.NetworkError("closed"))
        await asyncio.sleep(1.0)
        it.venue.trade(1)
    ticks = it.ticks
    assert ticks["bid"].tolist() == [103.0, 104.0]
    assert ticks["flags"].tolist() == [int(Flag.NO_TIME), int(Flag.NO_TIME) | GAP | TAINTED]
    assert ticks["bid_size"].tolist() == [1.0, 1.0] and ticks["ask_size"].tolist() == [2.0, 2.0]


@on_virtual_time
async def test_the_book_comes_as_a_snapshot_then_as_changes_and_anew_after_an_outage():
    async with market(FeedSettings(streams=("depth",), depth_levels=5)) as it:
        it.venue.trade(1)
        await asyncio.sleep(0.1)
        it.venue.trade(1)
        await asyncio.sleep(0.1)
        it.stream.fail(errors.ChecksumError("out of sequence"))
        await asyncio.sleep(1.0)
        it.venue.trade(1)
    first, change, again = it.blocks
    assert [len(block) for block in it.blocks] == [10, len(change), 10]
    assert set(it.ticks["kind"].tolist()) == {DEPTH}
    assert first["flags"][0] == SNAPSHOT and first["flags"][-1] == LAST
    assert not change["flags"][:-1].any() and change["flags"][-1] == LAST
    assert again["flags"][0] & SNAPSHOT and (again["flags"] & TAINTED).all()
    assert book_after([first, change]) == book_after([again], shift=-1.0)


def book_after(blocks: list[Ticks], shift: float = 0.0) -> dict[tuple[int, float], float]:
    book: dict[tuple[int, float], float] = {}
    for row in join_ticks(blocks):
        if row["flags"] & SNAPSHOT:
            book = {}
        key = int(row["side"]), round(float(row["price"]) + shift, 2)
        book[key] = float(row["size"])
    return {key: size for key, size in book.items() if size > 0}


@on_virtual_time
async def test_bars_come_once_each_when_they_have_closed_and_missed_ones_from_rest():
    async with market(FeedSettings(streams=("bars",), warm_up_s=600.0)) as it:
        for minute in range(30):
            if minute == 10:
                it.stream.deaf = True
            it.venue.trade(1)
            await asyncio.sleep(60.0)
    ticks = it.ticks
    assert set(ticks["kind"].tolist()) == {BAR}
    assert set(np.diff(ticks["ts_ns"]).tolist()) == {60 * 10**9}
    assert len(ticks) >= 38
    assert it.source.health[0].reconnects == 1 and not (ticks["flags"] & GAP).any()


@on_virtual_time
async def test_event_time_never_falls_and_a_venue_far_ahead_is_not_believed():
    async with market() as it:
        it.venue.trade(1)
        await asyncio.sleep(1.0)
        it.venue.skew_ms = 3_600_000
        it.venue.trade(1)
        await asyncio.sleep(0.1)
        it.venue.skew_ms = -500
        it.venue.trade(1)
        await asyncio.sleep(2.0)
        it.venue.skew_ms = 0
        it.venue.trade(1)
    ticks = it.ticks
    assert np.all(np.diff(ticks["ts_ns"]) >= 0)
    assert ticks["ts_ns"][-1] == it.venue.trades[-1]["timestamp"] * 1_000_000
    assert ticks["flags"].tolist() == [0, int(Flag.NO_TIME) | TAINTED, 0, 0]


@on_virtual_time
async def test_the_venue_clock_is_measured():
    async with market(prepare=lambda venue: setattr(venue, "skew_ms", -1234)) as it:
        pass
    assert it.source.clock.skew_ms == pytest.approx(-1234.0, abs=1.0)


@on_virtual_time
async def test_what_cannot_be_true_gives_no_row_and_is_counted():
    async with market() as it:
        it.venue.trade(1)
        it.stream.hear({"id": 2, "timestamp": it.venue.ms(), "price": -5.0, "amount": 1.0}, False)
        it.stream.hear({"id": 3, "timestamp": it.venue.ms(), "price": 5.0, "amount": None}, False)
    assert it.prices() == [101.0]
    assert it.source.health[0].bad == 2


@on_virtual_time
async def test_an_unknown_symbol_and_a_venue_that_does_not_answer_say_who_must_act():
    made = Market(FeedSettings())
    with pytest.raises(ConfigError, match="no such market"):
        await open_live_source(made.venue.client, "BTC/EUR", made.settings, made.venue.now_ns, lambda: 0.5)
    made.venue.rest_faults = [out_of_order() for _ in range(9)]
    with pytest.raises(VenueError, match="ExchangeNotAvailable"):
        await made.open()
    assert all(client.closed for client in made.venue.clients)
