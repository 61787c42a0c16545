"""Rows of a recognised table, as ticks. One function a kind; whole batches at a time."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ztb.errors import DataError
from ztb.market.chunk import Chunk
from ztb.market.columns import floats, identities, one_value, sides, times, truths
from ztb.market.depth import DepthMessages, crossed_books, snapshot_rows
from ztb.market.layouts import Layout
from ztb.market.ticks import BAR, DEPTH, QUOTE, SNAPSHOT, TRADE, empty_ticks
from ztb.market.timeunit import TimeUnit

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
