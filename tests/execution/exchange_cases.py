"""Instruments, blocks of ticks and a driver for the tests of the paper exchange."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from ztb.execution.orders import Filled, OrderEvent, OrderRequest, OrderType, TimeInForce
from ztb.execution.paper import PaperExchange
from ztb.execution.paper_config import PaperConfig
from ztb.market.instrument import Instrument
from ztb.market.ticks import BAR, DEPTH, LAST, QUOTE, SNAPSHOT, TRADE, Ticks, empty_ticks

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
PERP = Instrument(
    symbol="ZED/USD",
    base="ZED",
    quote="USD",
    venue="test",
    tick_size=Decimal("0.5"),
    lot_size=Decimal("0.25"),
    min_notional=Decimal("10"),
    maker_fee=Decimal("0.001"),
    taker_fee=Decimal("0.002"),
    spread_bps=100.0,
    short=True,
)
SPOT = replace(PERP, short=False)
INSTANT = PaperConfig(
    feed_latency_ms=0.0,
    feed_jitter_ms=0.0,
    submit_latency_ms=0.0,
    submit_jitter_ms=0.0,
    ack_latency_ms=0.0,
    ack_jitter_ms=0.0,
    cancel_latency_ms=0.0,
    cancel_jitter_ms=0.0,
)
Action = Callable[[PaperExchange, int], None]
Actions = Mapping[int, list[Action]]


def exchange(
    instrument: Instrument = PERP, cash: float = 1e6, seed: int = 7, **settings: Any
) -> PaperExchange:
    return PaperExchange(instrument, replace(INSTANT, **settings), seed, cash)


def trades(*rows: tuple[float, float, float, int]) -> Ticks:
    """Rows of (ms, price, size, taker side)."""
    ticks = empty_ticks(len(rows))
    for tick, (ms, price, size, side) in zip(ticks, rows, strict=True):
        tick["ts_ns"], tick["kind"] = T0 + int(ms * MS), TRADE
        tick["price"], tick["size"], tick["side"] = price, size, side
    return ticks


def quotes(*rows: tuple[float, float, float, float, float]) -> Ticks:
    """Rows of (ms, bid, ask, bid size, ask size)."""
    ticks = empty_ticks(len(rows))
    for tick, (ms, bid, ask, bid_size, ask_size) in zip(ticks, rows, strict=True):
        tick["ts_ns"], tick["kind"], tick["price"] = T0 + int(ms * MS), QUOTE, (bid + ask) / 2
        tick["bid"], tick["ask"], tick["bid_size"], tick["ask_size"] = bid, ask, bid_size, ask_size
    return ticks


def depth(ms: float, bids: Iterable[tuple[float, float]], asks: Iterable[tuple[float, float]]) -> Ticks:
    """One snapshot message: levels as (price, size)."""
    levels = [(1, *level) for level in bids] + [(-1, *level) for level in asks]
    ticks = empty_ticks(len(levels))
    for tick, (side, price, size) in zip(ticks, levels, strict=True):
        tick["ts_ns"], tick["kind"], tick["side"] = T0 + int(ms * MS), DEPTH, side
        tick["price"], tick["size"] = price, size
    ticks[0]["flags"] |= SNAPSHOT
    ticks[-1]["flags"] |= LAST
    return ticks


def bars(*rows: tuple[float, float, float, float, float], minutes: int = 1) -> Ticks:
    """Consecutive bars of (open, high, low, close, volume), the first closing at T0."""
    ticks = empty_ticks(len(rows))
    for i, (tick, (open_, high, low, close, volume)) in enumerate(zip(ticks, rows, strict=True)):
        tick["ts_ns"], tick["kind"] = T0 + i * minutes * 60_000 * MS, BAR
        tick["span_ns"] = minutes * 60_000 * MS
        tick["open"], tick["high"], tick["low"], tick["price"], tick["size"] = open_, high, low, close, volume
    return ticks


def market(order_id: int, side: int, lots: int, **more: Any) -> Action:
    return submit(OrderRequest(order_id, side, lots, OrderType.MARKET, **more))


def limit(
    order_id: int, side: int, lots: int, ticks: int, tif: TimeInForce = TimeInForce.GTC, **more: Any
) -> Action:
    return submit(OrderRequest(order_id, side, lots, OrderType.LIMIT, ticks, tif, **more))


def submit(order: OrderRequest) -> Action:
    return lambda venue, now_ns: venue.submit(order, now_ns)


def cancel(order_id: int) -> Action:
    return lambda venue, now_ns: venue.cancel(order_id, now_ns)


def run(
    venue: PaperExchange, ticks: Ticks, actions: Actions | None = None, splits: Iterable[int] = ()
) -> list[OrderEvent]:
    """Run all rows; `actions[r]` happen after row r, decided on at its time. Returns every event."""
    actions = actions or {}
    events: list[OrderEvent] = []
    row = 0
    for stop in sorted({r + 1 for r in actions} | set(splits) | {len(ticks)}):
        while row < stop:
            row = venue.advance(ticks, row, stop)
            events += venue.events()
        for act in actions.get(stop - 1, []):
            act(venue, int(ticks["ts_ns"][stop - 1]))
    return events


def fills(events: Iterable[OrderEvent]) -> list[tuple[int, int]]:
    """(lots, price in ticks) of each fill, in order."""
    return [(event.lots, event.price_ticks) for event in events if isinstance(event, Filled)]


def kinds(events: Iterable[OrderEvent]) -> list[str]:
    return [type(event).__name__ for event in events]
