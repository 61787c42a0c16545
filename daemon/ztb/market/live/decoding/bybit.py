"""Bybit: bybit-exchange.github.io/docs/v5/websocket/public."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from ztb.market.live.decoding.formats import SNAPSHOT, BookUpdate, MessageFormat, Told
from ztb.market.live.messages import Trade


class _BybitTrade(Struct, gc=False, rename={"ms": "T", "side": "S", "size": "v", "price": "p", "id": "i"}):
    ms: int
    side: Literal["Buy", "Sell"]
    size: float
    price: float
    id: str


class _BybitTrades(Struct, gc=False):
    topic: str
    type: Literal["snapshot"]
    data: list[_BybitTrade]


class _BybitLevels(Struct, gc=False, rename={"bids": "b", "asks": "a"}):
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]


class _BybitBook(Struct, gc=False):
    topic: str
    type: Literal["snapshot", "delta"]
    ts: int
    data: _BybitLevels


class _BybitHead(Struct):
    topic: str = ""


def _bybit_trades(m: _BybitTrades, name: str) -> Told:
    if m.topic != f"publicTrade.{name}":
        return None
    return [
        Trade(id=t.id, ms=t.ms, side=1 if t.side == "Buy" else -1, price=t.price, size=t.size) for t in m.data
    ]


def _bybit_book(levels: int) -> Callable[[_BybitBook, str], Told]:
    def told(m: _BybitBook, name: str) -> Told:
        if m.topic != f"orderbook.{levels}.{name}":
            return None
        return SNAPSHOT if m.type == "snapshot" else BookUpdate(m.data.bids, m.data.asks, m.ts)

    return told


def _is_bybit(topic: str) -> Callable[[_BybitHead, str], bool]:
    return lambda head, name: head.topic == f"{topic}.{name}"


BYBIT = {
    "trades": MessageFormat(_BybitTrades, _bybit_trades, _BybitHead, _is_bybit("publicTrade")),
    "quotes": MessageFormat(_BybitBook, _bybit_book(1), _BybitHead, _is_bybit("orderbook.1")),
    "depth": MessageFormat(_BybitBook, _bybit_book(50), _BybitHead, _is_bybit("orderbook.50")),
}
