"""Recorded flow reaches clients as it was recorded, and trades with their orders."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import ccxt.pro
import numpy as np
import pytest

from ztb.errors import DataError
from ztb.market.history import History, open_history
from ztb.market.ticks import BAR, DEPTH, LAST, QUOTE, SNAPSHOT, TRADE, Ticks, empty_ticks
from ztb.runtime.clock import SystemClock
from ztb.testing import Exchange, LocalExchange, Setup, VirtualClock, open_exchange
from ztb.testing.exchange.listing import BTCUSDT, SCALE, parse_amount
from ztb.testing.exchange.orders import ExchangeOrderRequest, ExchangeOrderType, Side
from ztb.testing.exchange.recorded import RecordedFlow, recorded_market
from ztb.testing.exchange.venue import USER

START_NS = 1_700_000_000 * 10**9


def block(*rows: tuple[float, int, int, float, float, int]) -> Ticks:
    """Rows of (seconds, kind, side, price, size, flags)."""
    ticks = empty_ticks(len(rows))
    for tick, (seconds, kind, side, price, size, flags) in zip(ticks, rows, strict=True):
        tick["ts_ns"] = START_NS + int(seconds * 1e9)
        tick["kind"], tick["side"], tick["flags"] = kind, side, flags
        tick["price"], tick["size"] = price, size
    return ticks


def opened(ticks: Ticks, clock: VirtualClock, speed: float = 1.0) -> Exchange:
    flow = RecordedFlow([ticks], clock.now_ns(), speed)
    return open_exchange(Setup(listings=(BTCUSDT,), flows={"BTCUSDT": flow}), clock)


def run_out(exchange: Exchange, clock: VirtualClock, seconds: float) -> None:
    clock.advance(seconds)
    while exchange.advance():
        pass


def prints(exchange: Exchange) -> list[tuple[int, int, int]]:
    """(price, quantity, taker's side) of all that traded."""
    found = exchange.state.venue.market("BTCUSDT").prints
    return [(p.price, p.quantity, -1 if p.buyer_is_maker else 1) for p in found]


def random_trades(n: int, seed: int) -> Ticks:
    rng = np.random.default_rng(seed)
    ticks = empty_ticks(n)
    ticks["ts_ns"] = START_NS + np.sort(rng.integers(0, 10 * 10**9, n))
    ticks["kind"] = TRADE
    ticks["side"] = rng.choice([-1, 1], n)
    ticks["price"] = 60_000 + np.cumsum(rng.integers(-3, 4, n)) * 0.01
    ticks["size"] = rng.integers(1, 500, n) * 1e-5
    return ticks


@pytest.mark.parametrize("speed", [1.0, 10.0])
def test_each_recorded_trade_trades_once_as_it_was(speed: float) -> None:
    clock, ticks = VirtualClock(), random_trades(2_000, seed=1)
    exchange = opened(ticks, clock, speed)
    run_out(exchange, clock, 10.0 / speed)
    recorded = [
        (round(t["price"] * 100) * BTCUSDT.tick, round(t["size"] * 1e5) * BTCUSDT.lot, int(t["side"]))
        for t in ticks
    ]
    assert prints(exchange) == recorded


def test_an_own_order_waits_behind_the_quoted_quantity_and_then_fills() -> None:
    bid, ask = 59_999.0, 60_001.0
    quotes = empty_ticks(1)
    quotes["ts_ns"], quotes["kind"] = START_NS, QUOTE
    quotes["bid"], quotes["ask"], quotes["bid_size"], quotes["ask_size"] = bid, ask, 1.0, 1.0
    trades = block((1, TRADE, -1, bid, 0.6, 0), (2, TRADE, -1, bid, 0.6, 0))
    clock = VirtualClock()
    flow = RecordedFlow([quotes, trades], clock.now_ns())
    exchange = open_exchange(Setup(listings=(BTCUSDT,), flows={"BTCUSDT": flow}), clock)
    run_out(exchange, clock, 0.5)
    price = int(bid) * SCALE
    request = ExchangeOrderRequest(
        USER, "BTCUSDT", "mine", Side.BUY, ExchangeOrderType.LIMIT, price=price, quantity=SCALE // 10
    )
    order = exchange.state.venue.place(request, 0)
    run_out(exchange, clock, 1.0)
    assert order.filled == 0
    run_out(exchange, clock, 1.0)
    assert order.filled == SCALE // 10
    assert sum(quantity for _, quantity, _ in prints(exchange)) == parse_amount("1.2")


def test_depth_builds_the_recorded_book_and_a_snapshot_forgets_the_old_one() -> None:
    ticks = block(
        (0, DEPTH, 1, 59_990.0, 1.0, SNAPSHOT), (0, DEPTH, -1, 60_010.0, 2.0, LAST),
        (1, DEPTH, 1, 59_990.0, 0.0, 0), (1, DEPTH, 1, 59_991.0, 3.0, LAST),
        (2, DEPTH, 1, 59_980.0, 4.0, SNAPSHOT), (2, DEPTH, -1, 60_020.0, 5.0, LAST),
    )  # fmt: skip
    clock = VirtualClock()
    exchange = opened(ticks, clock)
    book = exchange.state.venue.market("BTCUSDT").book
    run_out(exchange, clock, 1.5)
    assert (book.bids.totals, book.asks.totals) == ({59_991 * SCALE: 3 * SCALE}, {60_010 * SCALE: 2 * SCALE})
    run_out(exchange, clock, 1.0)
    assert (book.bids.totals, book.asks.totals) == ({59_980 * SCALE: 4 * SCALE}, {60_020 * SCALE: 5 * SCALE})


def test_bars_are_refused_with_what_to_give_instead() -> None:
    with pytest.raises(DataError, match="trades, quotes or depth"):
        RecordedFlow([block((0, BAR, 0, 60_000.0, 1.0, 0))], START_NS)


TAPE = "ticks/spot_btcusdt_20240808.jsonl.zst"
TAPE_BEGINS_NS = 1_723_161_255_342_000_000
MINUTES = pytest.mark.parametrize("minute", range(6))
"""The tape holds not quite six, and 9,757 trades; up to 2,466 messages came in one second."""


def minute_of(shared: Path, minute: int) -> History:
    begin_ns = TAPE_BEGINS_NS + minute * 60 * 10**9
    return open_history([shared / TAPE], start_ns=begin_ns, end_ns=begin_ns + 60 * 10**9)


def trades_of(history: History) -> list[np.void]:
    return [tick for ticks in history.blocks() for tick in ticks[ticks["kind"] == TRADE]]


@pytest.mark.proof
@MINUTES
def test_every_trade_of_the_burst_tape_trades_once(shared: Path, minute: int) -> None:
    clock = VirtualClock()
    listing, flow = recorded_market(minute_of(shared, minute), clock.now_ns(), 10.0)
    exchange = open_exchange(Setup(listings=(listing,), flows={listing.symbol: flow}), clock)
    while flow.next_ns is not None:
        run_out(exchange, clock, 1.0)
    expected = [
        (round(t["price"] * SCALE), round(t["size"] * SCALE), int(t["side"]))
        for t in trades_of(minute_of(shared, minute))
    ]
    assert len(expected) > 600
    assert prints(exchange) == expected


@pytest.mark.proof
@MINUTES
async def test_a_client_sees_every_trade_of_the_burst_tape_at_ten_times_its_speed(
    shared: Path, minute: int
) -> None:
    """Over real sockets, with an unmodified client whose cache holds more than its default of 1,000 trades."""
    hour_ns = 3_600 * 10**9
    listing, flow = recorded_market(minute_of(shared, minute), SystemClock().now_ns() + hour_ns, 10.0)
    seen: list[dict[str, Any]] = []
    async with LocalExchange(listings=[listing], flow={listing.symbol: flow}) as exchange:
        options = exchange.ccxt_options()
        client = ccxt.pro.binance({**options, "options": {**options["options"], "tradesLimit": 100_000}})
        first = asyncio.ensure_future(client.watch_trades("BTC/USDT"))
        while not exchange.core.connections.wants("btcusdt@trade"):  # noqa: ASYNC110 (it has no event for this)
            await asyncio.sleep(0.05)
        flow.start_ns = flow.next_ns = SystemClock().now_ns()
        seen += await first
        while flow.next_ns is not None or len(seen) < exchange.core.state.venue.market("BTCUSDT").trades:
            with suppress(TimeoutError):
                async with asyncio.timeout(60):
                    seen += await client.watch_trades("BTC/USDT")
        await client.close()
    recorded = trades_of(minute_of(shared, minute))
    assert [int(trade["id"]) for trade in seen] == list(range(1, len(recorded) + 1))
    told = [(trade["price"], trade["amount"], trade["side"]) for trade in seen]
    assert told == [(t["price"], t["size"], "buy" if t["side"] > 0 else "sell") for t in recorded]
