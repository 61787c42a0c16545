"""Rows of a recognised table, as ticks. One function a kind; whole batches at a time.

Rows of depth are messages first: which belong together, where a book starts anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as arrow_compute
from numpy.typing import NDArray

from ztb.errors import DataError
from ztb.market.importers.chunk import Chunk, join
from ztb.market.importers.columns import floats, identities, one_value, sides, signs, truths
from ztb.market.importers.files import printable
from ztb.market.importers.layouts import Layout
from ztb.market.importers.timeunit import TimeUnit, is_text
from ztb.market.ticks import BAR, DEPTH, LAST, QUOTE, SNAPSHOT, TRADE, empty_ticks, take_ticks
from ztb.market.venues import venue_in_path, venue_known_as, venue_name

# Its stubs know fewer overloads than it has.
pc: Any = arrow_compute

_QUOTED = re.compile(r"'(.*?)'", re.DOTALL)
_PRICES = (("open", "open"), ("high", "high"), ("low", "low"), ("price", "close"))
_SIDES = (("side", sides, 1), ("maker_side", sides, -1), ("buyer", signs, 1), ("maker", signs, -1))
_NUMBERED = ("1", "2", "1.0", "2.0")
_SECOND_NS, _MINUTE_NS = 10**9, 60 * 10**9
_STAND_IN = 100_000.0
"""Quote currency that a bar is taken for where nothing tells its volume."""


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


@dataclass(slots=True)
class Converter:
    """Turns one file's batches into chunks, in order; keeps what must be remembered between batches.

    `remark` hears what was assumed of the file.
    """

    where: str
    layout: Layout
    unit: TimeUnit
    remark: Callable[[str], None]
    row: int = 1
    symbol: str | None = None
    venue: str | None = None
    messages: DepthMessages = field(default_factory=DepthMessages)

    def convert(self, batch: Any) -> Chunk:
        """The chunk of a pyarrow record batch; DataError if its values are none of the layout's."""
        if self.layout.doubt:
            self.remark(f"{self.where}: {self.layout.doubt}")
        self._see_names(batch)
        build = {TRADE: self._trades, QUOTE: self._quotes, DEPTH: self._depth, BAR: self._bars}
        try:
            chunk = build[self.layout.kind](batch)
        except pa.ArrowException as error:
            row, value = _culprit(batch, str(error))
            raise DataError(
                f"{self.where}: row {self.row + row}: {printable(value)} is no number or time: mend or remove the row"
            ) from error
        self.row += batch.num_rows
        return chunk

    def finish(self) -> Chunk | None:
        """The rows held back for the end of a message."""
        return self.messages.finish()

    def _see_names(self, batch: Any) -> None:
        for role in ("symbol", "venue"):
            if role in self.layout.columns:
                name = one_value(self._column(batch, role), self.where, role)
                before = getattr(self, role)
                if before is None:
                    setattr(self, role, name and printable(name))
                elif name is not None and printable(name) != before:
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
        ticks["ts_ns"] = self.unit.times(self._moments(batch), self.row)
        return Chunk(ticks, np.arange(self.row, self.row + len(ticks), dtype=np.int64), len(ticks))

    def _moments(self, batch: Any) -> Any:
        """The column of times, or day and clock of two columns as one."""
        if "date" not in self.layout.columns:
            return self._column(batch, "time")
        day, clock = (pc.cast(self._column(batch, role), pa.string()) for role in ("date", "clock"))
        return pc.binary_join_element_wise(pc.utf8_trim_whitespace(day), pc.utf8_trim_whitespace(clock), " ")

    def _trades(self, batch: Any) -> Chunk:
        chunk = self._start(batch, TRADE)
        chunk.ticks["price"] = self._floats(batch, "price")
        self._side(batch, chunk)
        if "signed_size" in self.layout.columns:
            signed = self._floats(batch, "signed_size")
            chunk.ticks["side"], chunk.ticks["size"] = np.sign(np.nan_to_num(signed)), np.abs(signed)
        else:
            chunk.ticks["size"] = self._sizes(batch, chunk.ticks["price"])
        if "id" in self.layout.columns:
            chunk.ids = identities(self._column(batch, "id"))
        return chunk

    def _side(self, batch: Any, chunk: Chunk) -> None:
        for role, read, sign in _SIDES:
            if role in self.layout.columns:
                column = self._column(batch, role)
                if role == "side" and len(column) and str(column[0].as_py()) in _NUMBERED:
                    sign = self._sign_of_numbers(column)
                chunk.ticks["side"] = found = sign * read(column)
                if (found == 0).any():
                    self._say_unknown(column.filter(pa.array(found == 0)))
                return
        if "signed_size" not in self.layout.columns:
            self.remark(f"{self.where}: nothing tells the taker's side of its trades")

    def _sign_of_numbers(self, column: Any) -> int:
        """The sign of sides of 1 and 2, once read as FIX has them, where 1 buys."""
        words = set(map(str, pc.unique(column).to_pylist()))
        if not words.issubset(_NUMBERED):
            return 1
        venue = venue_in_path(Path(self.where).parts[-2:], self.layout.venue)
        sells_first = venue is not None and venue_known_as(venue_name(venue)).sells_first
        taken = "seller and buyer" if sells_first else "buyer and seller"
        self.remark(f"{self.where}: 1 and 2 are taken for {taken}")
        return -1 if sells_first else 1

    def _say_unknown(self, column: Any) -> None:
        words = [str(word) for word in pc.unique(column).to_pylist() if word not in (None, "", 0)]
        if words:
            text = printable(words[0])[:40]
            self.remark(f"{self.where}: no taker's side is known by {text!r}: such trades have none")

    def _sizes(self, batch: Any, price: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) quantities as the layout counts them, save that quote currency is coins already."""
        columns = self.layout.columns
        for role in ("base_size", "size", "tick_size"):
            if role in columns:
                if role == "tick_size":
                    self.remark(
                        f"{self.where}: its volume counts changes of price, and is taken for a quantity"
                    )
                return self._floats(batch, role)
        if "quote_size" in columns:
            self.remark(
                f"{self.where}: {columns['quote_size']!r} is quote currency, divided by the price for coins"
            )
            return self._floats(batch, "quote_size") / np.where(price > 0, price, np.nan)
        self.remark(
            f"{self.where}: nothing tells the volume: {_STAND_IN:,.0f} of quote currency a bar is assumed"
        )
        return _STAND_IN / np.where(price > 0, price, np.nan)

    def _quotes(self, batch: Any) -> Chunk:
        chunk = self._start(batch, QUOTE)
        for role in ("bid", "ask", "bid_size", "ask_size"):
            chunk.ticks[role] = self._floats(batch, role)
        if "state" in self.layout.columns:
            chunk.halted = ~np.isin(self._column(batch, "state").to_pylist(), ("RUNNING", ""))
        return chunk

    def _bars(self, batch: Any) -> Chunk:
        chunk = self._start(batch, BAR)
        for name, role in _PRICES:
            chunk.ticks[name] = self._floats(batch, role)
        chunk.ticks["size"] = self._sizes(batch, chunk.ticks["price"])
        chunk.ticks["buy_volume"] = self._floats(batch, "buys", np.nan)
        if "end" in self.layout.columns:
            ends = self.unit.times(self._column(batch, "end"), self.row)
            # Most venues write the last instant of the bar, in their own unit.
            spans = ends - chunk.ticks["ts_ns"]
            spans += -spans % _SECOND_NS
            chunk.ticks["span_ns"] = spans + np.where((spans + _SECOND_NS) % _MINUTE_NS == 0, _SECOND_NS, 0)
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
    texts = [column.to_pylist() for column in batch.columns if is_text(column.type)]
    rows = [column.index(value) for column in texts if value in column]
    return (min(rows), repr(value)) if rows else (0, message)
