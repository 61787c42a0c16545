"""Faults below an unmodified ccxt client, on virtual time: each is survived, counted and marked, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest

from market.live.memory_binance import SYMBOL, MemoryBinance, refused
from ztb.market.live.client import ClientSettings, client_factory
from ztb.market.live.messages import trade_of
from ztb.market.live.source import FeedSettings, LiveSource, open_live_source
from ztb.market.ticks import DEPTH, SNAPSHOT, TRADE, Flag, Ticks, join_ticks
from ztb.testing.virtual_time import VirtualTimeLoop, run_virtual

GAP, TAINTED = int(Flag.GAP), int(Flag.TAINTED)
ALL = FeedSettings(streams=("trades", "quotes", "depth"), depth_levels=200)


class Market:
    """A venue in memory and what came out of the source that reads it."""

    def __init__(self, venue: MemoryBinance, source: LiveSource) -> None:
        self.venue = venue
        self.source = source
        self.blocks: list[Ticks] = []

    async def consume(self) -> None:
        async for block in self.source.blocks():
            self.blocks.append(block)

    async def live(self, seconds: float) -> None:
        """Trades and book changes as they come, ten a second."""
        for _ in range(round(seconds * 10)):
            self.venue.trade()
            self.venue.move()
            await asyncio.sleep(0.1)

    @property
    def health(self) -> dict[str, object]:
        return {health.name: health for health in self.source.health}

    def trades(self) -> tuple[list[float], np.ndarray]:
        ticks = join_ticks(self.blocks)
        mine = ticks["kind"] == TRADE
        return ticks["price"][mine].tolist(), ticks["flags"][mine]

    def nothing_is_lost(self) -> None:
        prices, flags = self.trades()
        assert prices == [float(trade["p"]) for trade in self.venue.trades]
        assert not (flags & GAP).any()
        assert self.health["trades"].lost == 0
        assert self.book() == (self.venue.bids, self.venue.asks)

    def book(self) -> tuple[dict[float, float], dict[float, float]]:
        sides: dict[int, dict[float, float]] = {1: {}, -1: {}}
        ticks = join_ticks(self.blocks)
        for row in ticks[ticks["kind"] == DEPTH]:
            if row["flags"] & SNAPSHOT:
                sides = {1: {}, -1: {}}
            sides[int(row["side"])][float(row["price"])] = float(row["size"])
        left = [{price: size for price, size in sides[side].items() if size > 0} for side in (1, -1)]
        return left[0], left[1]


@pytest.fixture(autouse=True, params=[True, False], ids=["decoded", "by_ccxt"])
def decoders(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fault, with messages decoded here and with ccxt's."""
    monkeypatch.setitem(globals(), "ALL", replace(ALL, decoders=request.param))


@asynccontextmanager
async def market():
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.set_exception_handler(lambda _loop, context: None)  # ccxt's receive loop dies with a line in the log
    venue = MemoryBinance(loop.now_ns)
    make = client_factory(ClientSettings("binance", venue.options()))
    it = Market(venue, await open_live_source(make, SYMBOL, ALL, loop.now_ns, lambda: 0.5))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(it.source.run(), name="source")
        tasks.create_task(it.consume(), name="consumer")
        await asyncio.sleep(1.0)
        await it.live(1.0)
        yield it
        await it.live(1.0)
        await asyncio.sleep(2.0)
        it.source.close()


def on_virtual_time(test):
    def run() -> None:
        run_virtual(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@on_virtual_time
async def test_without_a_fault_everything_comes_once_unmarked():
    async with market() as it:
        await it.live(5.0)
    it.nothing_is_lost()
    assert not it.trades()[1].any()
    assert all(health.reconnects == 0 for health in it.source.health)


@on_virtual_time
async def test_a_malformed_frame_that_kills_the_receive_loop():
    async with market() as it:
        it.venue.malform("trade")
        await it.live(20.0)
        assert it.health["trades"].reconnects == 1
    it.nothing_is_lost()
    assert it.health["trades"].recovered > 50


@pytest.mark.parametrize("topic", ["trade", "depth@100ms", "bookTicker"])
def test_a_connection_that_the_venue_closes(topic: str):
    async def run() -> None:
        async with market() as it:
            it.venue.hang_up(topic.split("@")[0])
            await it.live(5.0)
        it.nothing_is_lost()
        assert [h.reconnects for h in it.source.health].count(1) == 1

    run_virtual(run())


@pytest.mark.parametrize("topic", ["trade", "depth", "bookTicker"])
def test_a_connection_that_falls_silent(topic: str):
    async def run() -> None:
        async with market() as it:
            it.venue.silence(topic)
            await it.live(20.0)
        it.nothing_is_lost()
        assert [h.reconnects for h in it.source.health].count(1) == 1

    run_virtual(run())


@on_virtual_time
async def test_a_gap_in_the_sequence_of_the_book():
    async with market() as it:
        it.venue.move(deliver=False)
        await it.live(3.0)
        assert it.health["depth"].reconnects == 1
    it.nothing_is_lost()
    ticks = join_ticks(it.blocks)
    snapshots = ticks[(ticks["flags"] & SNAPSHOT) != 0]
    assert len(snapshots) == 2 and snapshots["flags"][1] & (GAP | TAINTED) == GAP | TAINTED


@on_virtual_time
async def test_a_book_after_an_outage_is_tainted_whole_and_its_gap_counts_once():
    async with market() as it:
        it.venue.hang_up("depth")
        await it.live(5.0)
    ticks = join_ticks(it.blocks)
    flags = ticks["flags"][ticks["kind"] == DEPTH]
    tainted = np.flatnonzero(flags & TAINTED)
    assert len(tainted) >= 20 and (np.diff(tainted) == 1).all()
    assert np.flatnonzero(flags & GAP).tolist() == tainted[:1].tolist()
    assert flags[tainted[0]] & SNAPSHOT


@on_virtual_time
async def test_a_hole_in_the_trades_and_duplicates():
    async with market() as it:
        it.venue.trade(5, deliver=False)
        it.venue.trade(3, times=3)
        await it.live(2.0)
    it.nothing_is_lost()
    health = it.health["trades"]
    assert (health.recovered, health.duplicates, health.reconnects) == (5, 6, 0)


@on_virtual_time
async def test_trades_that_come_in_the_wrong_order_count_once():
    async with market() as it:
        channel = it.source.feeds[0].channel
        it.venue.trade(2, deliver=False)
        told = await channel.line.rest.call(lambda client: client.fetch_trades(SYMBOL, None, 1000))
        await channel.accept([trade_of(told[-1]), trade_of(told[-2])], it.venue.now_ns())
        await it.live(2.0)
    it.nothing_is_lost()


@pytest.mark.parametrize(("status", "retry_after_s"), [(429, 7), (418, 60), (500, 0), (503, 0)])
def test_rest_refuses_or_fails_while_a_hole_is_filled(status: int, retry_after_s: int):
    async def run() -> None:
        async with market() as it:
            it.venue.trade(5, deliver=False)
            it.venue.replies = [refused(status, retry_after_s=retry_after_s)]
            asked = len(it.venue.requests)
            await it.live(1.0)
            if retry_after_s:
                assert len(it.venue.requests) == asked + 1
            await asyncio.sleep(retry_after_s + 5.0)
            await it.live(2.0)
        it.nothing_is_lost()

    run_virtual(run())


FAULTS: dict[str, Callable[[MemoryBinance, np.random.Generator], None]] = {
    "hole": lambda venue, rng: venue.trade(int(rng.integers(1, 30)), deliver=False),
    "duplicates": lambda venue, rng: venue.trade(int(rng.integers(1, 30)), times=2),
    "burst": lambda venue, rng: venue.trade(int(rng.integers(100, 400))),
    "malformed": lambda venue, rng: venue.malform(str(rng.choice(["trade", "depth", "bookTicker"]))),
    "drop": lambda venue, rng: venue.hang_up(str(rng.choice(["trade", "depth", "bookTicker"]))),
    "silence": lambda venue, rng: venue.silence(str(rng.choice(["trade", "depth", "bookTicker"]))),
    "book gap": lambda venue, rng: venue.move(deliver=False),
    "refusal": lambda venue, rng: venue.replies.append(refused(int(rng.choice([429, 418])), retry_after_s=3)),
    "failure": lambda venue, rng: venue.replies.append(refused(int(rng.choice([500, 502, 503])))),
}


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(1000))
def test_random_mixtures_of_faults_lose_nothing(seed: int):
    rng = np.random.default_rng(seed)

    async def run() -> None:
        async with market() as it:
            for _ in range(int(rng.integers(2, 7))):
                FAULTS[str(rng.choice(list(FAULTS)))](it.venue, rng)
                await it.live(float(rng.uniform(0.0, 6.0)))
            it.venue.replies = []
            await it.live(30.0)
        it.nothing_is_lost()
        assert not any(health.stale for health in it.source.health)

    run_virtual(run())
