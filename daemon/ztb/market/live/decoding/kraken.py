"""Kraken, spot: docs.kraken.com/api, websocket v2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from ztb.market.live.decoding.formats import SNAPSHOT, BookUpdate, MessageFormat, Told, iso_ms
from ztb.market.live.messages import Touch, Trade


class _KrakenTrade(
    Struct, gc=False, rename={"market": "symbol", "size": "qty", "id": "trade_id", "time": "timestamp"}
):
    market: str
    side: Literal["buy", "sell"]
    price: float
    size: float
    id: int
    time: str


class _KrakenTouch(
    Struct, gc=False, rename={"market": "symbol", "bid_size": "bid_qty", "ask_size": "ask_qty"}
):
    market: str
    bid: float
    bid_size: float
    ask: float
    ask_size: float


class _KrakenLevel(Struct, array_like=False, gc=False):
    price: float
    qty: float


class _KrakenBook(Struct, gc=False, rename={"market": "symbol", "time": "timestamp"}):
    market: str
    bids: list[_KrakenLevel]
    asks: list[_KrakenLevel]
    time: str = ""


class _KrakenTrades(Struct, tag_field="channel", tag="trade", gc=False):
    data: list[_KrakenTrade]
    type: Literal["snapshot", "update"]


class _KrakenTouches(Struct, tag_field="channel", tag="ticker", gc=False):
    data: list[_KrakenTouch]
    type: Literal["snapshot", "update"]


class _KrakenBooks(Struct, tag_field="channel", tag="book", gc=False):
    data: list[_KrakenBook]
    type: Literal["snapshot", "update"]


class _KrakenNamed(Struct):
    symbol: str = ""


class _KrakenHead(Struct):
    channel: str = ""
    data: list[_KrakenNamed] = []


def _is_kraken(channel: str) -> Callable[[_KrakenHead, str], bool]:
    return lambda head, name: head.channel == channel and any(row.symbol == name for row in head.data)


def _kraken_trades(m: _KrakenTrades, name: str) -> Told:
    if not m.data or m.data[0].market != name:
        return None
    return [
        Trade(id=str(t.id), ms=iso_ms(t.time), side=1 if t.side == "buy" else -1, price=t.price, size=t.size)
        for t in m.data
    ]


def _kraken_touch(m: _KrakenTouches, name: str) -> Told:
    touch = m.data[0] if m.data else None
    if touch is None or touch.market != name:
        return None
    return Touch(touch.bid, touch.bid_size, touch.ask, touch.ask_size)


def _kraken_depth(m: _KrakenBooks, name: str) -> Told:
    book = m.data[0] if m.data else None
    if book is None or book.market != name:
        return None
    if m.type == "snapshot":
        return SNAPSHOT
    bids, asks = ([(level.price, level.qty) for level in side] for side in (book.bids, book.asks))
    return BookUpdate(bids, asks, iso_ms(book.time))


KRAKEN = {
    "trades": MessageFormat(_KrakenTrades, _kraken_trades, _KrakenHead, _is_kraken("trade"), named="symbol"),
    "quotes": MessageFormat(_KrakenTouches, _kraken_touch, _KrakenHead, _is_kraken("ticker"), named="symbol"),
    # Ten levels are what ccxt asks for.
    "depth": MessageFormat(
        _KrakenBooks, _kraken_depth, _KrakenHead, _is_kraken("book"), keep=10, named="symbol"
    ),
}
