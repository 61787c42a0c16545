"""Coinbase: docs.cdp.coinbase.com, Advanced Trade websocket channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from ztb.market.live.decoding.formats import SNAPSHOT, BookUpdate, MessageFormat, Told, iso_ms
from ztb.market.live.messages import Touch, Trade


class _CoinbaseTrade(Struct, gc=False, rename={"market": "product_id", "id": "trade_id"}):
    market: str
    id: str
    price: float
    size: float
    side: Literal["BUY", "SELL"]
    time: str


class _CoinbaseTouch(
    Struct,
    gc=False,
    rename={
        "market": "product_id",
        "bid": "best_bid",
        "bid_size": "best_bid_quantity",
        "ask": "best_ask",
        "ask_size": "best_ask_quantity",
    },
):
    market: str
    bid: float
    bid_size: float
    ask: float
    ask_size: float


class _CoinbaseLevel(Struct, gc=False, rename={"price": "price_level", "size": "new_quantity"}):
    side: Literal["bid", "offer"]
    price: float
    size: float


class _CoinbaseTradesEvent(Struct, gc=False):
    trades: list[_CoinbaseTrade]


class _CoinbaseTouchEvent(Struct, gc=False):
    tickers: list[_CoinbaseTouch]


class _CoinbaseBookEvent(Struct, gc=False, rename={"market": "product_id"}):
    market: str
    type: Literal["snapshot", "update"]
    updates: list[_CoinbaseLevel]


class _CoinbaseTrades(Struct, tag_field="channel", tag="market_trades", gc=False):
    events: list[_CoinbaseTradesEvent]


class _CoinbaseTouches(Struct, tag_field="channel", tag="ticker", gc=False, rename={"time": "timestamp"}):
    time: str
    events: list[_CoinbaseTouchEvent]


class _CoinbaseBook(Struct, tag_field="channel", tag="l2_data", gc=False, rename={"time": "timestamp"}):
    time: str
    events: list[_CoinbaseBookEvent]


class _CoinbaseNamed(Struct):
    product_id: str = ""


class _CoinbaseHeadEvent(_CoinbaseNamed):
    trades: list[_CoinbaseNamed] = []
    tickers: list[_CoinbaseNamed] = []


class _CoinbaseHead(Struct):
    channel: str = ""
    events: list[_CoinbaseHeadEvent] = []


def _is_coinbase(channel: str) -> Callable[[_CoinbaseHead, str], bool]:
    def ours(head: _CoinbaseHead, name: str) -> bool:
        rows = (row for event in head.events for row in (event, *event.trades, *event.tickers))
        return head.channel == channel and any(row.product_id == name for row in rows)

    return ours


def _coinbase_trades(m: _CoinbaseTrades, name: str) -> Told:
    # Newest first in each event.
    rows = [trade for event in m.events for trade in reversed(event.trades)]
    if not rows or any(row.market != name for row in rows):
        return None
    return [
        Trade(id=t.id, ms=iso_ms(t.time), side=1 if t.side == "BUY" else -1, price=t.price, size=t.size)
        for t in rows
    ]


def _coinbase_touch(m: _CoinbaseTouches, name: str) -> Told:
    rows = [row for event in m.events for row in event.tickers]
    if not rows or any(row.market != name for row in rows):
        return None
    return Touch(
        bid=rows[-1].bid,
        bid_size=rows[-1].bid_size,
        ask=rows[-1].ask,
        ask_size=rows[-1].ask_size,
        ms=iso_ms(m.time),
    )


def _coinbase_depth(m: _CoinbaseBook, name: str) -> Told:
    if not m.events or any(event.market != name for event in m.events):
        return None
    if any(event.type == "snapshot" for event in m.events):
        return SNAPSHOT
    levels = [level for event in m.events for level in event.updates]
    bids = [(level.price, level.size) for level in levels if level.side == "bid"]
    asks = [(level.price, level.size) for level in levels if level.side == "offer"]
    return BookUpdate(bids, asks, iso_ms(m.time))


COINBASE = {
    "trades": MessageFormat(_CoinbaseTrades, _coinbase_trades, _CoinbaseHead, _is_coinbase("market_trades")),
    "quotes": MessageFormat(_CoinbaseTouches, _coinbase_touch, _CoinbaseHead, _is_coinbase("ticker")),
    "depth": MessageFormat(_CoinbaseBook, _coinbase_depth, _CoinbaseHead, _is_coinbase("l2_data")),
}
