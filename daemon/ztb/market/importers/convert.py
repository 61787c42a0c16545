"""Rows of a recognised table, as ticks. One function a kind; whole batches at a time.

Rows of depth are messages first: which belong together, where a book starts anew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztb.errors import DataError
from ztb.market.importers.chunk import Chunk, join
from ztb.market.importers.columns import TimeUnit, floats, identities, one_value, sides, times, truths
from ztb.market.importers.layouts import Layout
from ztb.market.ticks import BAR, DEPTH, LAST, QUOTE, SNAPSHOT, TRADE, empty_ticks, take_ticks


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


_QUOTED = re.compile(r"'(.*?)'", re.DOTALL)
_BAR_FIELDS = (("open", "open"), ("high", "high"), ("low", "low"), ("price", "close"), ("size", "size"))


@dataclass(slots=True)
class Converter:
    """Turns one file's batches into chunks, in order; keeps what must be remembered between batches."""

    where: str
    layout: Layout
    unit: TimeUnit
    row: int = 1
    symbol: str | None = None
    venue: str | None = None
    messages: DepthMessages = field(default_factory=DepthMessages)

    def convert(self, batch: Any) -> Chunk:
        """The chunk of a pyarrow record batch; DataError if its values are none of the layout's."""
        self._see_names(batch)
        build = {TRADE: self._trades, QUOTE: self._quotes, DEPTH: self._depth, BAR: self._bars}
        try:
            chunk = build[self.layout.kind](batch)
        except pa.ArrowException as error:
            row, value = _culprit(batch, str(error))
            raise DataError(
                f"{self.where}: row {self.row + row}: {value} is no number or time: mend or remove the row"
            ) from error
        self.row += batch.num_rows
        return chunk

    def finish(self) -> Chunk | None:
        """What was held back for the end of a message."""
        return self.messages.finish()

    def _see_names(self, batch: Any) -> None:
        for role in ("symbol", "venue"):
            if role in self.layout.columns:
                name = one_value(self._column(batch, role), self.where, role)
                before = getattr(self, role)
                if before is None:
                    setattr(self, role, name)
                elif name is not None and name != before:
                    one_value(pa.array([before, name]), self.where, role)

    def _column(self, batch: Any, role: str) -> Any:
        return batch.column(self.layout.columns[role])

    def _floats(self, batch: Any, role: str, missing: float = 0.0) -> NDArray[np.float64]:
        if role not in self.layout.columns:
            return np.full(batch.num_rows, missing)
        return floats(self._column(batch, role))

    def _start(self, batch: Any, kind: int) -> Chunk:
        ticks = empty_ticks(batch.num_rows)
        ticks["kind"] = kind
        ticks["ts_ns"] = times(self._column(batch, "time"), self.unit, self.row)
        return Chunk(ticks, np.arange(self.row, self.row + len(ticks), dtype=np.int64), len(ticks))

    def _trades(self, batch: Any) -> Chunk:
        chunk = self._start(batch, TRADE)
        chunk.ticks["price"] = self._floats(batch, "price")
        chunk.ticks["size"] = self._floats(batch, "size")
        if "maker" in self.layout.columns:
            chunk.ticks["side"] = np.where(truths(self._column(batch, "maker")), -1, 1)
        elif "side" in self.layout.columns:
            chunk.ticks["side"] = sides(self._column(batch, "side"))
        if "id" in self.layout.columns:
            chunk.ids = identities(self._column(batch, "id"))
        return chunk

    def _quotes(self, batch: Any) -> Chunk:
        chunk = self._start(batch, QUOTE)
        for role in ("bid", "ask", "bid_size", "ask_size"):
            chunk.ticks[role] = self._floats(batch, role)
        if "state" in self.layout.columns:
            chunk.halted = ~np.isin(self._column(batch, "state").to_pylist(), ("RUNNING", ""))
        return chunk

    def _bars(self, batch: Any) -> Chunk:
        chunk = self._start(batch, BAR)
        for name, role in _BAR_FIELDS:
            chunk.ticks[name] = self._floats(batch, role)
        chunk.ticks["buy_volume"] = self._floats(batch, "buys", np.nan)
        if "end" in self.layout.columns:
            ends = times(self._column(batch, "end"), self.unit, self.row)
            # The venue writes the last instant of the bar; its length is one unit more.
            chunk.ticks["span_ns"] = ends - chunk.ticks["ts_ns"] + self.unit.factor
        return chunk

    def _depth(self, batch: Any) -> Chunk:
        chunk = self._start(batch, DEPTH)
        if self.layout.levels:
            return self._books(batch, chunk)
        chunk.ticks["price"] = self._floats(batch, "price")
        chunk.ticks["size"] = self._floats(batch, "size")
        chunk.ticks["side"] = sides(self._column(batch, "side"))
        chunk.ticks["flags"] = np.where(truths(self._column(batch, "snapshot")), SNAPSHOT, 0)
        chunk.ids = identities(self._column(batch, "message"))
        return self.messages.add(chunk)

    def _books(self, batch: Any, start: Chunk) -> Chunk:
        names = [f"{side}{i}" for i in range(self.layout.levels) for side in ("ask", "bid")]
        prices = np.stack([self._floats(batch, f"{name}.price") for name in names], axis=1)
        sizes = np.stack([self._floats(batch, f"{name}.amount") for name in names], axis=1)
        directions = np.array([1 if name.startswith("bid") else -1 for name in names], np.int8)
        chunk = snapshot_rows(start, directions, prices, sizes)
        crossed = crossed_books(directions, prices)
        chunk.crossed = np.repeat(crossed, len(names)).reshape(prices.shape)[~np.isnan(prices)]
        return chunk


def _culprit(batch: Any, message: str) -> tuple[int, str]:
    """(row of the batch, value) that a failed conversion complains of; row 0 if the message does not say."""
    value = next(iter(_QUOTED.findall(message)), None)
    texts = [column for column in batch.columns if pa.types.is_string(column.type)]
    rows = [column.to_pylist().index(value) for column in texts if value in column.to_pylist()]
    return (min(rows), repr(value)) if rows else (0, message)
