"""Messages of a venue: trades, a touch, a book's best levels; and how ccxt's structures become them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ztb.market.live.client import Row

_SIDES = {"buy": 1, "sell": -1}


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One trade: the venue's id where it has one, milliseconds since 1970 or 0, the taker's side (1, -1, 0 unknown).

    `size` is in the venue's unit of quantity. What is not told is NaN.
    """

    id: str | None
    ms: int
    side: int
    price: float
    size: float


class Touch(msgspec.Struct, frozen=True, gc=False):
    """The best bid and ask with their quantities, in the venue's unit; `ms` is 0 where the venue tells no time."""

    bid: float
    bid_size: float
    ask: float
    ask_size: float
    ms: int = 0


Levels = Mapping[float, float]
"""Price to quantity, best first."""


class BestLevels(msgspec.Struct, frozen=True, gc=False):
    """The best levels of a book."""

    bids: Levels
    asks: Levels
    ms: int = 0


def trade_of(row: Row) -> Trade:
    """ccxt's trade."""
    key = row.get("id")
    return Trade(
        id=None if key is None else str(key),
        ms=_whole(row.get("timestamp")),
        side=_SIDES.get(str(row.get("side")), 0),
        price=_number(row.get("price")),
        size=_number(row.get("amount")),
    )


def touch_of(row: Row) -> Touch:
    """ccxt's ticker. Quantities that the venue does not tell are 0."""
    sizes = (row.get("bidVolume") or 0.0, row.get("askVolume") or 0.0)
    ms = _whole(row.get("timestamp"))
    return Touch(
        bid=_number(row.get("bid")), bid_size=sizes[0], ask=_number(row.get("ask")), ask_size=sizes[1], ms=ms
    )


def best_of(row: Row, most: int) -> BestLevels:
    """The best `most` levels a side of ccxt's book."""
    return BestLevels(_side(row["bids"], most), _side(row["asks"], most), _whole(row.get("timestamp")))


def touch_in(best: BestLevels) -> Touch | None:
    """The touch of a book, None if a side is empty."""
    if not best.bids or not best.asks:
        return None
    (bid, bid_size), (ask, ask_size) = next(iter(best.bids.items())), next(iter(best.asks.items()))
    return Touch(bid=bid, bid_size=bid_size, ask=ask, ask_size=ask_size, ms=best.ms)


def _side(levels: Sequence[Sequence[float]], most: int) -> dict[float, float]:
    return {level[0]: level[1] for level in levels[:most] if level[1]}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _whole(value: Any) -> int:
    return int(value or 0)
