"""Depth tables as messages: which rows belong together, where a book starts anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztb.market.chunk import Chunk, join
from ztb.market.ticks import DEPTH, LAST, SNAPSHOT, empty_ticks, take_ticks


@dataclass(slots=True)
class DepthMessages:
    """Rows of one message share a message id. The last message of a batch waits for the next batch."""

    held: Chunk | None = None
    in_snapshot: bool = False

    def add(self, chunk: Chunk) -> Chunk:
        """Rows of complete messages, flagged. `flags` come with SNAPSHOT on each row of a snapshot."""
        if self.held is not None:
            chunk = join([self.held, chunk])
        assert chunk.ids is not None
        starts = np.flatnonzero(np.diff(chunk.ids)) + 1
        last_start = int(starts[-1]) if len(starts) else 0
        self.held = chunk.take(slice(last_start, None))
        self.held.read = 0
        return self._flag(chunk.take(slice(0, last_start)))

    def finish(self) -> Chunk | None:
        """The message that was waiting, now complete."""
        held, self.held = self.held, None
        return None if held is None else self._flag(held)

    def _flag(self, chunk: Chunk) -> Chunk:
        if len(chunk.ticks) == 0:
            return chunk
        assert chunk.ids is not None
        snapshot = (chunk.ticks["flags"] & SNAPSHOT) != 0
        before = np.concatenate(([self.in_snapshot], snapshot[:-1]))
        ends = np.concatenate((np.diff(chunk.ids) != 0, [True]))
        chunk.ticks["flags"] = np.where(snapshot & ~before, SNAPSHOT, 0) | np.where(ends, LAST, 0)
        self.in_snapshot = bool(snapshot[-1])
        chunk.ids = None
        return chunk


def snapshot_rows(
    start: Chunk, sides: NDArray[np.int8], prices: NDArray[np.float64], sizes: NDArray[np.float64]
) -> Chunk:
    """Depth rows of whole books: `sides` (m,), `prices` and `sizes` (n, m), NaN where a book is thinner.

    Row i of `start` gives the time and the file row of book i. A book's first row is flagged SNAPSHOT, its
    last LAST.
    """
    n, m = prices.shape
    ticks = empty_ticks(n * m).reshape(n, m)
    ticks["kind"] = DEPTH
    ticks["ts_ns"] = start.ticks["ts_ns"][:, None]
    ticks["side"] = sides
    ticks["price"] = prices
    ticks["size"] = sizes
    there = ~np.isnan(prices)
    books = np.arange(n)
    ticks["flags"][books, np.argmax(there, axis=1)] |= SNAPSHOT
    ticks["flags"][books, m - 1 - np.argmax(there[:, ::-1], axis=1)] |= LAST
    return Chunk(
        take_ticks(ticks.reshape(-1), there.reshape(-1)),
        np.repeat(start.rows, m).reshape(n, m)[there],
        start.read,
    )


def crossed_books(sides: NDArray[np.int8], prices: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) True for a book whose best bid is not below its best ask; `prices` as in `snapshot_rows`."""
    bids = np.where(sides > 0, np.nan_to_num(prices, nan=-np.inf), -np.inf).max(axis=1)
    asks = np.where(sides < 0, np.nan_to_num(prices, nan=np.inf), np.inf).min(axis=1)
    return np.asarray(bids >= asks)
