"""Binance, spot and USD-margined futures: developers.binance.com, web-socket streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from ztb.market.live.decoding.formats import BookUpdate, Fit, MessageFormat, Told
from ztb.market.live.messages import Touch, Trade


class _BinanceTrade(
    Struct,
    tag_field="e",
    tag="trade",
    gc=False,
    rename={"market": "s", "id": "t", "price": "p", "size": "q", "ms": "T", "buyer_rests": "m"},
):
    market: str
    id: int
    price: float
    size: float
    ms: int
    buyer_rests: bool


class _BinanceTouch(
    Struct,
    gc=False,
    rename={
        "market": "s",
        "bid": "b",
        "bid_size": "B",
        "ask": "a",
        "ask_size": "A",
        "number": "u",
        "ms": "E",
        "event": "e",
    },
):
    market: str
    number: int
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    ms: int = 0
    event: Literal["bookTicker"] = "bookTicker"


class _BinanceDepth(
    Struct,
    tag_field="e",
    tag="depthUpdate",
    gc=False,
    rename={"market": "s", "ms": "E", "first": "U", "last": "u", "previous": "pu", "bids": "b", "asks": "a"},
):
    market: str
    ms: int
    first: int
    last: int
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]
    previous: int | None = None


class _BinanceHead(Struct, rename={"event": "e", "market": "s"}):
    event: str = "bookTicker"  # the one that does not say what it is
    market: str = ""


def _binance_trade(m: _BinanceTrade, name: str) -> Told:
    side = -1 if m.buyer_rests else 1
    return [Trade(id=str(m.id), ms=m.ms, side=side, price=m.price, size=m.size)] if m.market == name else None


def _binance_touch(m: _BinanceTouch, name: str) -> Told:
    return (
        Touch(bid=m.bid, bid_size=m.bid_size, ask=m.ask, ask_size=m.ask_size, ms=m.ms)
        if m.market == name
        else None
    )


def _binance_depth(m: _BinanceDepth, name: str) -> Told:
    return (
        BookUpdate(bids=m.bids, asks=m.asks, ms=m.ms, first=m.first, last=m.last, previous=m.previous)
        if m.market == name
        else None
    )


def _is_binance(event: str) -> Callable[[_BinanceHead, str], bool]:
    return lambda head, name: head.event == event and head.market == name


def _binance_fits(nonce: int | None, update: BookUpdate) -> Fit:
    """Binance's own rules for a local book; futures tell the number of the change before."""
    first, last = update.first, update.last
    if nonce is None or first is None or last is None:
        return Fit.GAP
    if update.previous is None:
        return Fit.OLD if last <= nonce else Fit.NEXT if first <= nonce + 1 else Fit.GAP
    return Fit.OLD if last < nonce else Fit.NEXT if first <= nonce or update.previous == nonce else Fit.GAP


BINANCE = {
    "trades": MessageFormat(_BinanceTrade, _binance_trade, _BinanceHead, _is_binance("trade")),
    "quotes": MessageFormat(_BinanceTouch, _binance_touch, _BinanceHead, _is_binance("bookTicker")),
    "depth": MessageFormat(
        _BinanceDepth, _binance_depth, _BinanceHead, _is_binance("depthUpdate"), _binance_fits
    ),
}
