"""Layouts of tables of market data: which columns mean what. Recognised by columns, never by file name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from ztb.market.ticks import BAR, DEPTH, QUOTE, TRADE


class Order(IntEnum):
    """How a layout's rows are ordered before anything else is looked at."""

    AS_FILED = 0
    BY_TIME = 1  # bars: sorted where the file is small enough, refused otherwise
    BY_ID = 2  # written newest first in pieces: sorted by id


@dataclass(frozen=True, slots=True)
class Layout:
    """`columns` maps a role (`time`, `price`, `bid` ...) to the column that plays it.

    `gapless` says that the venue's ids are consecutive, so that a missing one is a missing trade. `levels` is
    the depth of a snapshot a row, 0 for other layouts.
    """

    name: str
    kind: int
    columns: Mapping[str, str]
    venue: str | None = None
    order: Order = Order.AS_FILED
    gapless: bool = False
    levels: int = 0


_KLINES = {
    "time": "open_time",
    "open": "open",
    "high": "high",
    "low": "low",
    "close": "close",
    "size": "volume",
}
_TARDIS = {"time": "timestamp", "venue": "exchange", "symbol": "symbol"}

LAYOUTS: tuple[Layout, ...] = (
    Layout("bitFlyer executions (CSV)", TRADE, {
        "id": "id", "time": "exec_date", "side": "side", "price": "price", "size": "size",
        "symbol": "product_code", "venue": "domain"}, "bitflyer", Order.BY_ID),
    Layout("bitFlyer executions (parquet)", TRADE, {
        "id": "id", "time": "ts_ms", "side": "side", "price": "price", "size": "size",
        "order": "taker_order"}, "bitflyer"),
    Layout("bitFlyer ticker (CSV)", QUOTE, {
        "time": "timestamp", "bid": "best_bid", "ask": "best_ask", "bid_size": "best_bid_size",
        "ask_size": "best_ask_size", "state": "status", "symbol": "product_code",
        "venue": "domain"}, "bitflyer"),
    Layout("Binance trades", TRADE, {
        "id": "id", "price": "price", "size": "qty", "time": "time", "maker": "is_buyer_maker",
        "cost": "quote_qty"}, "binance", gapless=True),
    Layout("Binance aggTrades", TRADE, {
        "id": "agg_trade_id", "price": "price", "size": "quantity", "time": "transact_time",
        "maker": "is_buyer_maker", "first": "first_trade_id"}, "binance", gapless=True),
    Layout("Binance bookTicker", QUOTE, {
        "bid": "best_bid_price", "bid_size": "best_bid_qty", "ask": "best_ask_price",
        "ask_size": "best_ask_qty", "time": "transaction_time"}, "binanceusdm"),
    Layout("Binance klines", BAR, _KLINES | {
        "buys": "taker_buy_volume", "end": "close_time"}, "binance", Order.BY_TIME),
    Layout("Binance klines (parquet)", BAR, _KLINES | {"buys": "taker_buy_volume"}, "binance", Order.BY_TIME),
    Layout("Tardis trades", TRADE, _TARDIS | {
        "id": "id", "side": "side", "price": "price", "size": "amount"}),
    Layout("Tardis quotes", QUOTE, _TARDIS | {
        "ask_size": "ask_amount", "ask": "ask_price", "bid": "bid_price", "bid_size": "bid_amount"}),
    Layout("Tardis incremental book", DEPTH, _TARDIS | {
        "snapshot": "is_snapshot", "side": "side", "price": "price", "size": "amount",
        "message": "local_timestamp"}),
    Layout("ccxt trades", TRADE, {
        "id": "id", "time": "timestamp", "side": "side", "price": "price", "size": "amount", "cost": "cost",
        "symbol": "symbol"}),
    Layout("freqtrade trades", TRADE, {
        "id": "id", "time": "timestamp", "side": "side", "price": "price", "size": "amount", "cost": "cost"}),
)  # fmt: skip

_ALIASES: dict[str, tuple[str, ...]] = {
    "time": ("timestamp", "time", "ts", "open_time", "date", "datetime", "unix", "ts_ms", "ts_us", "ts_ns",
             "start", "trade_time", "unix_timestamp"),
    "open": ("open", "o"), "high": ("high", "h"), "low": ("low", "l"), "close": ("close", "c"),
    "size": ("volume", "v", "size", "qty", "quantity", "amount", "vol"),
    "price": ("price", "p"), "side": ("side", "taker_side", "direction"), "id": ("id", "trade_id", "tid"),
    "maker": ("is_buyer_maker", "buyer_maker", "m"),
    "bid": ("bid", "bid_price", "best_bid", "best_bid_price"),
    "ask": ("ask", "ask_price", "best_ask", "best_ask_price"),
    "bid_size": ("bid_size", "bid_qty", "bid_amount", "best_bid_size", "best_bid_qty"),
    "ask_size": ("ask_size", "ask_qty", "ask_amount", "best_ask_size", "best_ask_qty"),
    "buys": ("taker_buy_volume", "taker_buy_base_volume", "taker_buy_base_asset_volume", "buy_volume"),
    "end": ("close_time",), "symbol": ("symbol", "pair"), "venue": ("exchange", "venue"),
}  # fmt: skip
_GENERIC = (
    ("bars", BAR, ("time", "open", "high", "low", "close", "size"), ("buys", "end", "symbol", "venue")),
    ("quotes", QUOTE, ("time", "bid", "ask"), ("bid_size", "ask_size", "symbol", "venue")),
    ("trades", TRADE, ("time", "price", "size"), ("side", "maker", "id", "symbol", "venue")),
)
_SNAPSHOT_LEVEL = re.compile(r"asks\[(\d+)\]\.price")


def recognise(columns: Sequence[str]) -> Layout | None:
    """The layout of a table with these columns, a known one before a generic one; None if it is neither."""
    present = set(columns)
    snapshot = _snapshot(columns)
    if snapshot is not None:
        return snapshot
    for layout in LAYOUTS:
        if present.issuperset(layout.columns.values()):
            return layout
    return _generic(columns)


def _snapshot(columns: Sequence[str]) -> Layout | None:
    levels = len([c for c in columns if _SNAPSHOT_LEVEL.fullmatch(c)])
    if levels == 0 or not set(columns).issuperset(_TARDIS.values()):
        return None
    sides = {
        f"{side}{i}.{what}": f"{side}s[{i}].{what}"
        for i in range(levels)
        for side in ("ask", "bid")
        for what in ("price", "amount")
    }
    if not set(columns).issuperset(sides.values()):
        return None
    return Layout("Tardis book snapshots", DEPTH, _TARDIS | sides, levels=levels)


def _plain(column: str) -> str:
    return column.strip().lower().replace(" ", "_")


def _generic(columns: Sequence[str]) -> Layout | None:
    plain = {_plain(c): c for c in reversed(columns)}
    roles = {
        role: plain[next(a for a in names if a in plain)]
        for role, names in _ALIASES.items()
        if any(a in plain for a in names)
    }
    if "size" not in roles:
        named = [column for name, column in plain.items() if name.startswith("volume")]
        roles |= {"size": named[-1]} if named else {}
    for name, kind, needed, optional in _GENERIC:
        if all(role in roles for role in needed):
            chosen = {role: roles[role] for role in (*needed, *optional) if role in roles}
            order = Order.BY_TIME if kind == BAR else Order.AS_FILED
            return Layout(f"table of {name}", kind, chosen, order=order)
    return None


_KLINE_COLUMNS = ("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume",
                  "count", "taker_buy_volume", "taker_buy_quote_volume", "ignore")  # fmt: skip
_TRADE_COLUMNS = ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker", "is_best_match")
_AGG_COLUMNS = ("agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time",
                "is_buyer_maker", "was_best_price")  # fmt: skip
_BAR_COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")
FREQTRADE_TRADE_COLUMNS = ("timestamp", "id", "type", "side", "price", "amount", "cost")


def columns_without_header(first: Sequence[str]) -> Sequence[str] | None:
    """Column names of a table that has none, told by its first row; None if that is no known layout."""
    words = [i for i, text in enumerate(first) if text.strip().lower() in ("true", "false")]
    if not words and len(first) in (11, 12):
        return _KLINE_COLUMNS[: len(first)]
    if not words and len(first) == 6:
        return _BAR_COLUMNS
    if words[:1] == [5] and len(first) in (6, 7):
        return _TRADE_COLUMNS[: len(first)]
    if words[:1] == [6] and len(first) in (7, 8):
        return _AGG_COLUMNS[: len(first)]
    return None
