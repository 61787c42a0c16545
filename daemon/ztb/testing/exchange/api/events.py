"""Messages of the market streams and of the user stream (Binance spot, websocket)."""

from __future__ import annotations

from typing import Any

from ztb.testing.exchange.api import wire
from ztb.testing.exchange.book import Book
from ztb.testing.exchange.candles import Candle
from ztb.testing.exchange.listing import amount_text
from ztb.testing.exchange.orders import BalanceChange, Execution, ExecutionReport, Fill, Print, Side
from ztb.testing.exchange.venue import Market

Json = dict[str, Any]


def trade(printed: Print, now_ms: int) -> Json:
    """`@trade`."""
    return {
        "e": "trade", "E": now_ms, "s": printed.symbol, "t": printed.id, "p": amount_text(printed.price),
        "q": amount_text(printed.quantity), "T": printed.time_ms, "m": printed.buyer_is_maker, "M": True,
    }  # fmt: skip


def aggregate_trade(printed: Print, now_ms: int) -> Json:
    """`@aggTrade`."""
    return {"e": "aggTrade", "E": now_ms, "s": printed.symbol} | wire.aggregate_trade(printed)


def book_ticker(market: Market) -> Json:
    """`@bookTicker`: has neither type nor time."""
    (bid, bid_size), (ask, ask_size) = wire.touch(market.book)
    update_id = market.book.update_id
    return {
        "u": update_id, "s": market.listing.symbol, "b": bid, "B": bid_size, "a": ask, "A": ask_size
    }  # fmt: skip


def depth(symbol: str, book: Book, now_ms: int) -> Json | None:
    """`@depth`: levels that changed since the last one; None if none did. Takes the changes."""
    first, last, changes = book.take_changes()
    if not changes:
        return None
    rows = {
        key: [[amount_text(price), amount_text(left)] for at, price, left in changes if at is side]
        for key, side in (("b", Side.BUY), ("a", Side.SELL))
    }
    return {"e": "depthUpdate", "E": now_ms, "s": symbol, "U": first, "u": last} | rows


def kline(symbol: str, candle: Candle, interval: str, now_ms: int) -> Json:
    """`@kline_<interval>`."""
    close_ms = wire.close_ms(candle, interval)
    bar = {
        "t": candle.open_ms, "T": close_ms, "s": symbol, "i": interval, "f": candle.first_id,
        "L": candle.last_id, "o": amount_text(candle.open), "c": amount_text(candle.close),
        "h": amount_text(candle.high), "l": amount_text(candle.low), "v": amount_text(candle.volume),
        "n": candle.trades, "x": now_ms > close_ms, "q": amount_text(candle.quote),
        "V": amount_text(candle.bought), "Q": amount_text(candle.bought_quote), "B": "0",
    }  # fmt: skip
    return {"e": "kline", "E": now_ms, "s": symbol, "k": bar}


_MINI = {
    "c": "lastPrice", "o": "openPrice", "h": "highPrice", "l": "lowPrice", "v": "volume", "q": "quoteVolume"
}  # fmt: skip
_FULL = _MINI | {
    "p": "priceChange", "P": "priceChangePercent", "w": "weightedAvgPrice", "x": "prevClosePrice",
    "Q": "lastQty", "b": "bidPrice", "B": "bidQty", "a": "askPrice", "A": "askQty", "O": "openTime",
    "C": "closeTime", "F": "firstId", "L": "lastId", "n": "count",
}  # fmt: skip


def mini_ticker(day: Json, now_ms: int) -> Json:
    """`@miniTicker` out of the REST ticker."""
    return _renamed("24hrMiniTicker", _MINI, day, now_ms)


def ticker(day: Json, now_ms: int) -> Json:
    """`@ticker` out of the REST ticker."""
    return _renamed("24hrTicker", _FULL, day, now_ms)


def _renamed(kind: str, names: dict[str, str], day: Json, now_ms: int) -> Json:
    return {"e": kind, "E": now_ms, "s": day["symbol"]} | {short: day[long] for short, long in names.items()}


def execution_report(report: ExecutionReport, now_ms: int) -> Json:
    """`executionReport`."""
    order, request = report.order, report.order.request
    canceled = report.execution is Execution.CANCELED
    return {
        "e": "executionReport",
        "E": now_ms,
        "s": request.symbol,
        "c": report.cancel_id if canceled else request.client_id,
        "S": request.side.value,
        "o": request.type.value,
        "f": request.time_in_force.value,
        "q": amount_text(order.quantity),
        "p": amount_text(request.price),
        "P": amount_text(request.stop_price),
        "F": amount_text(0),
        "g": -1,
        "C": request.client_id if canceled else "",
        "x": report.execution.value,
        "X": order.status.value,
        "r": "NONE",
        "i": order.id,
        "z": amount_text(order.filled),
        "T": report.time_ms,
        "I": order.id,
        "w": order.locked > 0 and not order.waiting,
        "M": False,
        "O": order.created_ms,
        "Z": amount_text(order.spent),
        "Q": amount_text(request.quote_quantity),
        "W": order.created_ms,
        "V": "EXPIRE_MAKER",
    } | _fill(report.fill)


def _fill(fill: Fill | None) -> Json:
    if fill is None:
        zero = amount_text(0)
        return {"l": zero, "L": zero, "Y": zero, "n": "0", "N": None, "t": -1, "m": False}
    return {
        "l": amount_text(fill.quantity),
        "L": amount_text(fill.price),
        "Y": amount_text(fill.quote),
        "n": amount_text(fill.commission),
        "N": fill.commission_asset,
        "t": fill.trade_id,
        "m": fill.is_maker,
    }


def account_position(change: BalanceChange, now_ms: int) -> Json:
    """`outboundAccountPosition`."""
    rows = [
        {"a": asset, "f": amount_text(free), "l": amount_text(locked)}
        for asset, free, locked in change.balances
    ]
    return {"e": "outboundAccountPosition", "E": now_ms, "u": change.time_ms, "B": rows}


def stream_terminated(now_ms: int) -> Json:
    """`eventStreamTerminated`: the user stream ends, the socket stays."""
    return {"e": "eventStreamTerminated", "E": now_ms}
