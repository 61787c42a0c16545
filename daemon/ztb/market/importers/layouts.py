"""The table of layouts: which columns of a table of market data mean what. Recognised by columns, never by file name.

A new layout is a row: of `LAYOUTS` where its columns have names, of `headerless.PATTERNS` where they have none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache

from ztb.market.ticks import BAR, DEPTH, QUOTE, TRADE


class ColumnOrder(IntEnum):
    """The order of a layout's rows, applied before anything else is looked at."""

    AS_FILED = 0
    BY_TIME = 1  # bars: sorted where the file is small enough, refused otherwise
    BY_ID = 2  # written newest first in pieces: sorted by id


@dataclass(frozen=True, slots=True)
class Layout:
    """`columns` maps a role (`time`, `price`, `bid` ...) to the column that plays it; in the table of layouts,
    to the column's plain name (see `plain`).

    Quantities: `size` counts as the market does (coins on spot, contracts elsewhere), `base_size` coins,
    `quote_size` quote currency. `gapless` says that the venue's ids are consecutive, so that a missing one is a
    missing trade. `levels` is the depth of a snapshot a row, 0 for other layouts. `market` is spot, linear,
    inverse or contract, where the layout tells; `closes` says that a bar's time is its end; `exact` that a table
    has no other columns; `assumes` what the layout does not say and is taken for granted; `doubt` what a file's first
    rows have that does not go together.
    """

    name: str
    kind: int
    columns: Mapping[str, str]
    venue: str | None = None
    order: ColumnOrder = ColumnOrder.AS_FILED
    gapless: bool = False
    levels: int = 0
    market: str | None = None
    closes: bool = False
    exact: bool = False
    assumes: str = ""
    doubt: str = ""

    @property
    def read(self) -> dict[str, str]:
        """The roles that are read and their columns; others only tell one layout from another."""
        return {role: column for role, column in self.columns.items() if role not in _TELLING}


_TELLING = ("order", "cost", "best", "first", "last", "cap", "count", "buys_quote")
_OHLC = {"open": "open", "high": "high", "low": "low", "close": "close"}
_KLINES = _OHLC | {"time": "open_time", "size": "volume"}
_TARDIS = {"time": "timestamp", "venue": "exchange", "symbol": "symbol"}
_HOME = {"time": "timestamp", "symbol": "symbol", "base_size": "home_notional"}
_BYTIME = ColumnOrder.BY_TIME

LAYOUTS: tuple[Layout, ...] = (
    Layout("bitFlyer executions (CSV)", TRADE, {
        "id": "id", "time": "exec_date", "side": "side", "price": "price", "size": "size",
        "symbol": "product_code", "venue": "domain"}, "bitflyer", ColumnOrder.BY_ID),
    Layout("bitFlyer executions (parquet)", TRADE, {
        "id": "id", "time": "ts_ms", "side": "side", "price": "price", "size": "size",
        "order": "taker_order"}, "bitflyer"),
    Layout("bitFlyer ticker (CSV)", QUOTE, {
        "time": "timestamp", "bid": "best_bid", "ask": "best_ask", "bid_size": "best_bid_size",
        "ask_size": "best_ask_size", "state": "status", "symbol": "product_code",
        "venue": "domain"}, "bitflyer"),
    Layout("Binance spot trades (REST)", TRADE, {
        "id": "id", "price": "price", "size": "qty", "time": "time", "maker": "is_buyer_maker",
        "cost": "quote_qty", "best": "is_best_match"}, "binance", gapless=True, market="spot"),
    Layout("Binance trades", TRADE, {
        "id": "id", "price": "price", "size": "qty", "time": "time", "maker": "is_buyer_maker",
        "cost": "quote_qty"}, "binance", gapless=True,
        assumes="with a header: USD-margined futures; without: spot, as the venue's archives are"),
    Layout("Binance aggTrades", TRADE, {
        "id": "agg_trade_id", "price": "price", "size": "quantity", "time": "transact_time",
        "maker": "is_buyer_maker", "first": "first_trade_id"}, "binance", gapless=True,
        assumes="with a header: USD-margined futures; without: spot, as the venue's archives are"),
    Layout("Binance aggTrades (REST)", TRADE, {
        "id": "a", "price": "p", "size": "q", "time": "t", "maker": "m", "first": "f"}, "binance", gapless=True,
        assumes="USD-margined futures where nothing tells, as with a header"),
    Layout("Binance bookTicker", QUOTE, {
        "bid": "best_bid_price", "bid_size": "best_bid_qty", "ask": "best_ask_price",
        "ask_size": "best_ask_qty", "time": "transaction_time"}, "binanceusdm"),
    Layout("Binance klines", BAR, _KLINES | {
        "buys": "taker_buy_volume", "end": "close_time"}, "binance", _BYTIME,
        assumes="with a header: USD-margined futures; without: spot, as the venue's archives are"),
    Layout("Binance klines (parquet)", BAR, _KLINES | {"buys": "taker_buy_volume"}, "binance", _BYTIME),
    Layout("Tardis trades", TRADE, _TARDIS | {
        "id": "id", "side": "side", "price": "price", "size": "amount"}),
    Layout("Tardis quotes", QUOTE, _TARDIS | {
        "ask_size": "ask_amount", "ask": "ask_price", "bid": "bid_price", "bid_size": "bid_amount"}),
    Layout("Tardis incremental book", DEPTH, _TARDIS | {
        "snapshot": "is_snapshot", "side": "side", "price": "price", "size": "amount",
        "message": "local_timestamp"}),
    Layout("Bybit and BitMEX trades", TRADE, _HOME | {
        "side": "side", "price": "price", "id": "trd_match_id", "count": "foreign_notional"},
        market="contract", assumes="coins are those of homeNotional"),
    Layout("BitMEX bars", BAR, _HOME | _OHLC | {"count": "foreign_notional"}, "bitmex", _BYTIME,
        market="contract", closes=True, assumes="coins are those of homeNotional"),
    Layout("Bybit spot trades", TRADE, {
        "id": "id", "time": "timestamp", "price": "price", "size": "volume", "side": "side"}, "bybit",
        market="spot", exact=True),
    Layout("Coinbase trades", TRADE, {
        "id": "trade_id", "time": "time", "price": "price", "size": "size", "maker_side": "side"}, "coinbase",
        market="spot", exact=True, assumes="side is the maker's, as the venue's interface has it"),
    Layout("HTX candles", BAR, _OHLC | {
        "time": "id", "base_size": "amount", "cost": "vol", "count": "count"}, "htx", _BYTIME,
        assumes="coins are those of amount"),
    Layout("CoinMarketCap", BAR, _OHLC | {
        "time": "time_open", "quote_size": "volume", "cap": "market_cap"}, None, _BYTIME,
        assumes="volume is quote currency; a bar's time is timeOpen"),
    Layout("CoinMarketCap (old)", BAR, _OHLC | {
        "time": "date", "quote_size": "volume", "cap": "market_cap"}, None, _BYTIME,
        assumes="volume is quote currency"),
    Layout("ccxt trades", TRADE, {
        "id": "id", "time": "timestamp", "side": "side", "price": "price", "size": "amount", "cost": "cost",
        "symbol": "symbol"}),
    Layout("freqtrade trades", TRADE, {
        "id": "id", "time": "timestamp", "side": "side", "price": "price", "size": "amount", "cost": "cost"}),
)  # fmt: skip
"""Tables whose columns have names, the first that fits."""

ALIASES: dict[str, tuple[str, ...]] = {
    "time": ("open_time", "time_period_start", "period_start", "start_time", "time_open", "start_at", "start",
             "begins_at", "window_start", "candle_begin_time", "candle_date_time_utc", "timestamp", "time",
             "ts", "date", "datetime",
             "date_time", "gmt_time", "utc_time", "time_utc", "utc", "local_time", "unix", "unix_timestamp",
             "unix_time", "epoch", "ts_ms", "ts_us", "ts_ns", "timestamp_ms", "t", "trade_time", "transact_time",
             "created_at", "created_time", "exec_date", "bucket", "minute", "dt", "ticks", "index_level_0", "index",
             "unnamed_0", "started_at", "candle_time", "bar_time", "unixtime", "mts", "datum", "zeit", "fecha", "data",
             "дата", "время", "时间", "日期", "日付", "日時", ""),
    "date": ("date", "day", "time", "timestamp", "дата", "datum", "日期"),
    "clock": ("time", "timestamp", "clock", "hour", "minute", "время", "zeit"),
    "open": ("open", "o", "open_price", "price_open", "first", "opening_price", "open_px", "eroffnung", "eroffn",
             "apertura", "abertura", "ouv", "ouverture", "открытие", "откр", "开盘", "开盘价", "始値"),
    "high": ("high", "h", "high_price", "price_high", "max", "high_px", "hoch", "maximo", "maxima", "massimo",
             "plus_haut", "haut", "максимум", "макс", "最高", "最高价", "高値"),
    "low": ("low", "l", "low_price", "price_low", "min", "low_px", "tief", "minimo", "minima", "plus_bas", "bas",
            "минимум", "мин", "最低", "最低价", "安値"),
    "close": ("close", "c", "close_price", "price_close", "last", "close_last", "trade_price", "close_px",
              "price", "zuletzt", "schluss", "schlusskurs", "ultimo", "dernier", "cloture", "закрытие", "цена",
              "收盘", "收盘价", "終値"),
    "size": ("volume", "v", "size", "qty", "quantity", "amount", "vol", "sz", "last_qty", "volume_traded",
             "candle_acc_trade_volume", "trade_volume", "volumen", "объем", "объём", "成交量", "出来高"),
    "base_size": ("base_volume", "base_vol", "base_token_volume", "volume_base", "home_notional", "volumefrom",
                  "volume_from"),
    "quote_size": ("quote_volume", "quote_vol", "usd_volume", "volume_quote", "quote_asset_volume", "quote_qty",
                   "volumeto", "volume_to",
                   "turnover", "sum", "foreign_notional", "volume_currency", "vol_ccy_quote", "quote_av", "money",
                   "dollar_volume", "cost", "candle_acc_trade_price"),
    "coin_size": ("vol_ccy", "volume_ccy"),
    "tick_size": ("tickvol", "tick_volume"),
    "price": ("price", "p", "px", "last_price", "trade_price", "rate"),
    "side": ("side", "taker_side", "direction", "aggressor", "aggressor_side", "trade_type", "taker_order_type",
             "type", "ask_bid", "buy_sell", "bs", "taker"),
    "maker_side": ("maker_side",),
    "buyer": ("buy", "is_buy", "buyer", "is_buyer", "taker_is_buyer", "is_buyer_taker", "is_taker_buyer"),
    "maker": ("is_buyer_maker", "buyer_maker", "buyer_is_maker", "is_bid_maker", "m", "sell", "is_sell", "seller"),
    "id": ("id", "trade_id", "tid", "global_trade_id", "sequential_id", "trd_match_id", "exec_id", "execution_id",
           "match_id"),
    "bid": ("bid", "bid_price", "best_bid", "best_bid_price", "bid_px"),
    "ask": ("ask", "ask_price", "best_ask", "best_ask_price", "ask_px"),
    "bid_size": ("bid_size", "bid_qty", "bid_amount", "bid_volume", "best_bid_size", "best_bid_qty", "bid_sz"),
    "ask_size": ("ask_size", "ask_qty", "ask_amount", "ask_volume", "best_ask_size", "best_ask_qty", "ask_sz"),
    "buys": ("taker_buy_volume", "taker_buy_base_volume", "taker_buy_base_asset_volume", "buy_volume"),
    "end": ("close_time", "time_close", "end_time", "period_end", "time_period_end", "end_at", "end",
            "close_date", "end_date", "bar_end", "candle_end_time"),
    "symbol": ("symbol", "pair", "inst_id", "instrument", "instrument_name", "market", "ticker", "product_code",
               "product_id"),
    "venue": ("exchange", "venue"),
}  # fmt: skip
"""Plain names that a column of a role may have, where no row of `LAYOUTS` fits; the first that is there."""

GENERIC = (
    ("bars", BAR, ("time", "open", "high", "low", "close"), ("buys", "end", "symbol", "venue")),
    ("quotes", QUOTE, ("time", "bid", "ask"), ("bid_size", "ask_size", "symbol", "venue")),
    ("trades", TRADE, ("time", "price", "size"),
     ("side", "maker_side", "buyer", "maker", "id", "symbol", "venue")),
)  # fmt: skip
"""(name, kind, roles that must be there, roles that may be)."""

SIZES = ("size", "base_size", "quote_size", "tick_size")
_SNAPSHOT_LEVEL = re.compile(r"asks\[(\d+)\]\.price")
_NUMBERED = re.compile(r"^\d+[a-z]?[.)] +")
_ACCENTS = re.compile("(?<=[a-z])[\u0300-\u036f]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@lru_cache(1024)
def plain(column: str) -> str:
    """A column's name without what people decorate it with: `isBuyerMaker`, `<OPEN>`, `Volume (BTC)`, `Último`.

    Letters of other scripts stay where there are none of ours.
    """
    ascii_part = next((part for part in column.split("/") if part.isascii() and part.strip()), "")
    column = (
        ascii_part if "/" in column and not column.isascii() and ascii_part else column
    )  # said in two languages
    words = _CAMEL.sub("_", _NUMBERED.sub("", column.strip())).lower()
    words = unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFKD", words)))
    ours = re.sub(r"[^0-9a-z]+", "_", words).strip("_")
    return ours if re.search("[a-z]", ours) else re.sub(r"[\W_]+", "_", words).strip("_")


def named(layout: Layout, columns: Sequence[str]) -> Layout | None:
    """A row of the table of layouts with the columns of a file; None if the file lacks some."""
    present = {plain(c): c for c in reversed(columns)}
    if not all(name in present for name in layout.columns.values()):
        return None
    if layout.exact and len(columns) != len(layout.columns):
        return None
    return replace(layout, columns={role: present[name] for role, name in layout.columns.items()})


def snapshot(columns: Sequence[str]) -> Layout | None:
    """Tardis' snapshots of any depth: a row is a book."""
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
