"""Public requests: what is listed, books, trades, bars, tickers."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable
from itertools import islice
from typing import Any

from ztb.testing.exchange.api import wire
from ztb.testing.exchange.api.call import Call
from ztb.testing.exchange.candles import INTERVALS
from ztb.testing.exchange.listing import amount_text
from ztb.testing.exchange.orders import Print, Refusal
from ztb.testing.exchange.venue import Market, State

_FAR_MS = 10**15


def ping(state: State, call: Call) -> Any:
    """`GET ping`."""
    return {}


def time(state: State, call: Call) -> Any:
    """`GET time`."""
    return {"serverTime": call.now_ms}


def exchange_info(state: State, call: Call) -> Any:
    """`GET exchangeInfo`."""
    return wire.exchange_info([market.listing for market in _markets(state, call)], call.now_ms)


def depth(state: State, call: Call) -> Any:
    """`GET depth`."""
    return wire.depth(_market(state, call).book, _limit(call, 100, 5_000))


def trades(state: State, call: Call) -> Any:
    """`GET trades` and `historicalTrades` (from `fromId` on)."""
    prints = list(_market(state, call).prints)
    limit = _limit(call, 500, 1_000)
    first = call.maybe_integer("fromId")
    if first is None:
        return [wire.trade(printed) for printed in prints[-limit:]]
    start = bisect_left(prints, first, key=lambda printed: printed.id)
    return [wire.trade(printed) for printed in prints[start : start + limit]]


def aggregate_trades(state: State, call: Call) -> Any:
    """`GET aggTrades`: by id, by time, or the newest."""
    prints = list(_market(state, call).prints)
    return [wire.aggregate_trade(printed) for printed in _span_of_trades(prints, call)]


def _span_of_trades(prints: list[Print], call: Call) -> list[Print]:
    limit = _limit(call, 500, 1_000)
    first, start, end = (call.maybe_integer(name) for name in ("fromId", "startTime", "endTime"))
    if first is not None:
        index = bisect_left(prints, first, key=lambda printed: printed.id)
        return prints[index : index + limit]
    if start is None and end is None:
        return prints[-limit:]
    inside = (p for p in prints if (start or 0) <= p.time_ms <= (_FAR_MS if end is None else end))
    return list(islice(inside, limit))


def klines(state: State, call: Call) -> Any:
    """`GET klines`: from `startTime` on, or the newest."""
    market = _market(state, call)
    interval = call.text("interval")
    if interval not in INTERVALS:
        raise Refusal(-1120, "Invalid interval.")
    start = call.maybe_integer("startTime")
    bars = state.candles[market.listing.symbol].of(interval, start or 0, call.integer("endTime", _FAR_MS))
    limit = _limit(call, 500, 1_000)
    chosen = bars[-limit:] if start is None else bars[:limit]
    return [wire.kline(bar, interval) for bar in chosen]


def day_ticker(state: State, call: Call) -> Any:
    """`GET ticker/24hr`: of one symbol, of several, or of all."""
    return _each(state, call, lambda market: day_ticker_of(state, market, call.now_ms))


def book_ticker(state: State, call: Call) -> Any:
    """`GET ticker/bookTicker`."""
    return _each(state, call, wire.book_ticker)


def price_ticker(state: State, call: Call) -> Any:
    """`GET ticker/price`."""
    return _each(state, call, lambda m: {"symbol": m.listing.symbol, "price": amount_text(m.last_price)})


def day_ticker_of(state: State, market: Market, now_ms: int) -> wire.Json:
    """The last 24 hours of `market`."""
    return wire.day_ticker(market, state.candles[market.listing.symbol].day(now_ms), now_ms)


def _each(state: State, call: Call, row: Callable[[Market], wire.Json]) -> Any:
    rows = [row(market) for market in _markets(state, call)]
    return rows[0] if "symbol" in call.params else rows


def _markets(state: State, call: Call) -> list[Market]:
    if "symbol" in call.params:
        return [_market(state, call)]
    if "symbols" not in call.params:
        return list(state.venue.markets.values())
    try:
        return [state.venue.market(str(symbol)) for symbol in json.loads(call.text("symbols"))]
    except (json.JSONDecodeError, TypeError):
        raise Refusal(-1100, "Illegal characters found in parameter 'symbols'.") from None


def _market(state: State, call: Call) -> Market:
    return state.venue.market(call.text("symbol"))


def _limit(call: Call, default: int, most: int) -> int:
    limit = call.integer("limit", default)
    if limit < 1:
        raise Refusal(-1130, "Data sent for parameter 'limit' is not valid.")
    return min(limit, most)
