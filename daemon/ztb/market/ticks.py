"""Ticks: everything that happens at the market, as rows of one fixed layout.

A block is a one-dimensional array of `TICK`, in arrival order. One row is one tick: a trade, a top of book,
one level of a depth message, or a bar. Field names overlap where kinds exclude each other, so that kernels
read like their formulas.

| kind  | price       | size            | bid/open | ask/high | bid_size/low | ask_size/buy_volume        | span_ns |
|-------|-------------|-----------------|----------|----------|--------------|----------------------------|---------|
| TRADE | trade price | traded quantity |          |          |              |                            |         |
| QUOTE | mid         |                 | best bid | best ask | bid quantity | ask quantity               |         |
| DEPTH | level price | quantity there  |          |          |              |                            |         |
| BAR   | close       | volume          | open     | high     | low          | taker buys, NaN if unknown | length  |

`ts_ns` is event time: the running maximum of exchange time, nanoseconds since 1970; a bar's is its close.
`side` is +1 if a buyer took (TRADE) or the level is a bid (DEPTH), -1 if a seller took or an ask, 0 unknown.
Quantities are in base currency, prices in quote currency for one unit of base.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, IntFlag

import numpy as np
from numpy.typing import NDArray


class TickKind(IntEnum):
    TRADE = 0
    QUOTE = 1
    DEPTH = 2
    BAR = 3


class Flag(IntFlag):
    NONE = 0
    GAP = 1  # data is missing between the row before and this one
    SNAPSHOT = 2  # DEPTH: forget the book before this row
    LAST = 4  # DEPTH: the last row of one message; the book is consistent after it
    NO_TIME = 8  # the venue gave no time; ts_ns is the running maximum
    TAINTED = 16  # not to be trained on (stale feed, reconnect, clock fault)


TICK: np.dtype[np.void] = np.dtype(
    {
        "names": [
            "ts_ns", "kind", "side", "flags", "span_ns", "price", "size",
            "bid", "ask", "bid_size", "ask_size", "open", "high", "low", "buy_volume",
        ],
        "formats": ["<i8", "u1", "i1", "<u2", "<i8", "<f8", "<f8"] + ["<f8"] * 8,
        "offsets": [0, 8, 9, 10, 16, 24, 32, 40, 48, 56, 64, 40, 48, 56, 64],
        "itemsize": 72,
    }
)  # fmt: skip

Ticks = NDArray[np.void]
"""A block: shape (n,), dtype TICK."""

TRADE = int(TickKind.TRADE)
QUOTE = int(TickKind.QUOTE)
DEPTH = int(TickKind.DEPTH)
BAR = int(TickKind.BAR)
GAP = int(Flag.GAP)
SNAPSHOT = int(Flag.SNAPSHOT)
LAST = int(Flag.LAST)


def join_ticks(blocks: Sequence[Ticks]) -> Ticks:
    """One block of several, in order. (numpy's concatenate would repack the overlapping fields.)"""
    return np.concatenate([_raw(block) for block in blocks]).view(TICK) if blocks else empty_ticks(0)


def take_ticks(ticks: Ticks, index: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Ticks:
    """Rows of a block. (Indexing a block by an array would leave its padding bytes to chance.)"""
    return _raw(ticks)[index].view(TICK)


def _raw(block: Ticks) -> NDArray[np.void]:
    if block.dtype != TICK:
        repacked, block = block, empty_ticks(len(block))
        block[:] = repacked
    return np.ascontiguousarray(block).view(f"V{TICK.itemsize}")


def plain_ticks(block: Ticks) -> Ticks:
    """`block` as compiled code takes it, which does not look: TICK, contiguous, writeable; copied if it is not."""
    plain = block.dtype == TICK and block.flags.c_contiguous and block.flags.writeable
    return block if plain else join_ticks([block])


def empty_ticks(n: int) -> Ticks:
    """A zeroed block of `n` rows."""
    return np.zeros(n, TICK)
