"""A piece of one file after its layout is understood and before its rows are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ztb.market.ticks import BAR, QUOTE, Ticks, join_ticks, take_ticks
from ztb.market.venues import Unit

Index = NDArray[np.int64] | NDArray[np.bool_] | slice
_Scalar = TypeVar("_Scalar", bound=np.generic)
NO_TIME_NS = -1
"""`ts_ns` of a row to which the venue gave no time."""


@dataclass(slots=True)
class Chunk:
    """`ticks`: (n,) rows whose `ts_ns` is still the venue's own (a bar's: its open) or -1.

    `rows`: (n,) int64, the row of the file each came from, counted from 1 without a header.
    `ids`: (n,) int64 trade or message ids, or None; `halted`: (n,) bool, True while the venue did not trade.
    `crossed`: (n,) bool, True for rows of a book whose best bid is not below its best ask.
    `read`: how many rows of the file the piece stands for.
    """

    ticks: Ticks
    rows: NDArray[np.int64]
    read: int
    ids: NDArray[np.int64] | None = None
    halted: NDArray[np.bool_] | None = None
    crossed: NDArray[np.bool_] | None = None

    def take(self, index: Index) -> Chunk:
        """The piece that holds only the rows of `index`; it stands for as many file rows as this one."""
        return Chunk(
            ticks=take_ticks(self.ticks, index),
            rows=self.rows[index],
            read=self.read,
            ids=_taken(self.ids, index),
            halted=_taken(self.halted, index),
            crossed=_taken(self.crossed, index),
        )


def _taken(values: NDArray[_Scalar] | None, index: Index) -> NDArray[_Scalar] | None:
    return None if values is None else values[index]


def _joined(pieces: Sequence[NDArray[_Scalar] | None]) -> NDArray[_Scalar] | None:
    present = [piece for piece in pieces if piece is not None]
    return np.concatenate(present) if present else None


def join(chunks: Sequence[Chunk]) -> Chunk:
    """One piece of several of the same file."""
    return Chunk(
        ticks=join_ticks([c.ticks for c in chunks]),
        rows=np.concatenate([c.rows for c in chunks]),
        read=sum(c.read for c in chunks),
        ids=_joined([c.ids for c in chunks]),
        halted=_joined([c.halted for c in chunks]),
        crossed=_joined([c.crossed for c in chunks]),
    )


def to_coins(ticks: Ticks, unit: Unit) -> None:
    """Quantities become base currency, contracts of quote currency at each row's own price."""
    quotes, bars = ticks["kind"] == QUOTE, ticks["kind"] == BAR
    others = ~quotes

    def worth(price: NDArray[np.float64]) -> NDArray[np.float64]:
        return unit.quotes / price if unit.quotes else np.full(len(price), unit.coins)

    ticks["size"][others] *= worth(ticks["price"][others])
    ticks["bid_size"][quotes] *= worth(ticks["bid"][quotes])
    ticks["ask_size"][quotes] *= worth(ticks["ask"][quotes])
    ticks["buy_volume"][bars] *= worth(ticks["price"][bars])
