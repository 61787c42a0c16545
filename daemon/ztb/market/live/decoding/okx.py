"""OKX: www.okx.com/docs-v5, order book trading, market data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

from ztb.market.live.decoding.formats import SNAPSHOT, BookUpdate, Fit, MessageFormat, Told
from ztb.market.live.messages import Touch, Trade


class _OkxArgument(Struct, gc=False):
    channel: str
    instId: str  # noqa: N815 (the venue's name)


class _OkxTrade(Struct, gc=False, rename={"id": "tradeId", "price": "px", "size": "sz", "ms": "ts"}):
    id: str
    price: float
    size: float
    side: Literal["buy", "sell"]
    ms: int


_OkxLevel: TypeAlias = tuple[float, float, str, str]


class _OkxBook(Struct, gc=False, rename={"ms": "ts", "last": "seqId", "previous": "prevSeqId"}):
    bids: list[_OkxLevel]
    asks: list[_OkxLevel]
    ms: int
    last: int | None = None
    previous: int | None = None


class _OkxTrades(Struct, gc=False):
    arg: _OkxArgument
    data: list[_OkxTrade]


class _OkxBooks(Struct, gc=False):
    arg: _OkxArgument
    data: list[_OkxBook]
    action: Literal["snapshot", "update", ""] = ""


class _OkxHead(Struct):
    arg: _OkxArgument
    data: msgspec.Raw


def _is_okx(channel: str) -> Callable[[Any, str], bool]:
    return lambda message, name: message.arg.channel == channel and message.arg.instId == name


def _okx_trades(m: _OkxTrades, name: str) -> Told:
    if m.arg.channel != "trades" or m.arg.instId != name:
        return None
    return [
        Trade(id=t.id, ms=t.ms, side=1 if t.side == "buy" else -1, price=t.price, size=t.size) for t in m.data
    ]


def _okx_touch(m: _OkxBooks, name: str) -> Told:
    book = m.data[0] if m.data else None
    if m.arg.channel != "bbo-tbt" or m.arg.instId != name or book is None or not book.bids or not book.asks:
        return None
    return Touch(*book.bids[0][:2], *book.asks[0][:2], book.ms)


def _okx_depth(m: _OkxBooks, name: str) -> Told:
    if m.arg.channel != "books" or m.arg.instId != name:
        return None
    if m.action != "update" or len(m.data) != 1:
        return SNAPSHOT
    book = m.data[0]
    return BookUpdate(
        bids=book.bids, asks=book.asks, ms=book.ms, first=None, last=book.last, previous=book.previous
    )


def _okx_fits(nonce: int | None, update: BookUpdate) -> Fit:
    return Fit.NEXT if update.previous in (None, -1, nonce) else Fit.GAP


OKX = {
    "trades": MessageFormat(_OkxTrades, _okx_trades, _OkxHead, _is_okx("trades")),
    "quotes": MessageFormat(_OkxBooks, _okx_touch, _OkxHead, _is_okx("bbo-tbt")),
    "depth": MessageFormat(_OkxBooks, _okx_depth, _OkxHead, _is_okx("books"), _okx_fits),
}
