"""Binance websocket recordings: lines of `<local nanoseconds> <message>`, and a REST snapshot of the book.

Depth follows Binance's rules ("How to manage a local order book correctly"): differences wait for the
snapshot, those that it already holds are dropped, the rest applied in order; a missing one is flagged GAP.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from ztb.errors import DataError
from ztb.market.importers.chunk import NO_TIME_NS, Chunk
from ztb.market.importers.files import ReadProgress, blame, plain_bytes
from ztb.market.importers.timeunit import TimeUnit
from ztb.market.issues import IssueSink
from ztb.market.ticks import DEPTH, GAP, LAST, QUOTE, SNAPSHOT, TRADE, empty_ticks

_CHUNK_ROWS = 32_768
_MOST_WAITING = 10_000
_BLOCK = 1 << 20

Levels = list[tuple[float, float]]
Row = tuple[float, int, int, int, float, float, float, float, int, int]
"""Time in the venue's unit or -1, kind, side, flags, four values of the kind, trade id or -1, line."""


class _Data(msgspec.Struct):
    """Fields of trade, bookTicker and depth messages, under Binance's one-letter names."""

    e: str = ""
    E: int = -1
    T: int = -1
    s: str = ""
    p: float = math.nan
    q: float = math.nan
    t: int = -1
    m: bool = False
    M: bool | None = None
    U: int = -1
    u: int = -1
    pu: int = -1
    b: float | Levels = math.nan
    B: float = math.nan
    a: float | Levels = math.nan
    A: float = math.nan


class _Message(msgspec.Struct):
    """A stream's message, or the answer of the depth request (which has no `stream`)."""

    stream: str = ""
    data: _Data | None = None
    lastUpdateId: int = -1  # noqa: N815 (the venue's name)
    E: int = -1
    T: int = -1
    bids: Levels = msgspec.field(default_factory=list[tuple[float, float]])
    asks: Levels = msgspec.field(default_factory=list[tuple[float, float]])


@dataclass(slots=True)
class Tape:
    """One pass through a recording; `symbol` and `venue` are known once messages were seen."""

    path: Path
    symbol: str | None = None
    venue: str | None = None
    last_update: int = -1
    snapshot: int = -1
    latest: int = -1
    waiting: list[tuple[_Data, int]] = field(default_factory=list[tuple[_Data, int]])
    rows: list[Row] = field(default_factory=list[Row])

    def chunks(self, progress: ReadProgress, witness: IssueSink) -> Iterator[Chunk]:
        """Chunks of trades, quotes and depth in the order received; other lines are malformed."""
        unit = TimeUnit(str(self.path))
        decode = msgspec.json.Decoder(_Message, strict=False).decode
        number = read = 0
        for number, line in enumerate(_lines(self.path, progress), 1):
            try:
                message = decode(line.partition(b" ")[2])
            except (msgspec.DecodeError, UnicodeDecodeError):
                witness.malformed(number, line.decode("utf-8", errors="replace"))
                continue
            read += 1
            self._take(message, number, witness)
            if len(self.rows) >= _CHUNK_ROWS:
                yield self._chunk(unit, read)
                read = 0
        if self.waiting:
            witness.remark(f"{self.path}: {len(self.waiting)} depth messages had no snapshot to apply to")
        yield self._chunk(unit, read)

    def _take(self, message: _Message, line: int, witness: IssueSink) -> None:
        if message.data is None:
            if message.lastUpdateId >= 0:
                self._book(message, line)
            return
        data = message.data
        self._name(data)
        self.latest = max(self.latest, data.T, data.E)
        if data.e == "trade":
            side = -1 if data.m else 1
            self.rows.append((data.T, TRADE, side, 0, data.p, data.q, 0.0, 0.0, data.t, line))
        elif data.e == "depthUpdate":
            self._difference(data, line)
        elif data.e in ("", "bookTicker") and isinstance(data.b, float) and isinstance(data.a, float):
            quote = (data.b, data.a, data.B, data.A)
            self.rows.append((_time(data), QUOTE, 0, 0, *quote, -1, line))
        else:
            witness.remark(f"messages of stream {message.stream} are left out")

    def _name(self, data: _Data) -> None:
        if self.symbol is None:
            self.symbol = data.s
        elif data.s != self.symbol:
            raise DataError(f"{self.path}: holds {self.symbol} and {data.s}: split it, one for each symbol")
        if self.venue is None and (data.e != "" or data.M is not None):
            futures = data.pu >= 0 or data.e == "bookTicker" or (data.e == "trade" and data.M is None)
            spot = data.M is not None or (data.e == "depthUpdate" and data.pu < 0)
            self.venue = "binanceusdm" if futures else "binance" if spot else None

    def _difference(self, data: _Data, line: int) -> None:
        if self.snapshot < 0:
            self.waiting = self.waiting[-_MOST_WAITING:]
            self.waiting.append((data, line))
            return
        if data.u <= self.snapshot:
            return
        follows = data.pu == self.last_update if data.pu >= 0 else self.last_update + 1 == data.U
        first = self.last_update == self.snapshot and self.snapshot + 1 >= data.U
        self._levels(
            time=_time(data), bids=data.b, asks=data.a, flags=0 if follows or first else GAP, line=line
        )
        self.last_update = data.u

    def _book(self, message: _Message, line: int) -> None:
        time = max(message.T, message.E)
        self.snapshot = self.last_update = message.lastUpdateId
        self._levels(
            time=time if time > 0 else self.latest,
            bids=message.bids,
            asks=message.asks,
            flags=SNAPSHOT,
            line=line,
        )
        waiting, self.waiting = self.waiting, []
        for data, at in waiting:
            self._difference(data, at)

    def _levels(self, time: int, bids: float | Levels, asks: float | Levels, flags: int, line: int) -> None:
        """Rows of one depth message: `flags` go to its first row, LAST to its last."""
        sides = ((1, bids), (-1, asks))
        found = [(side, level) for side, levels in sides if isinstance(levels, list) for level in levels]
        for i, (side, (price, size)) in enumerate(found):
            marks = (flags if i == 0 else 0) | (LAST if i == len(found) - 1 else 0)
            self.rows.append((time, DEPTH, side, marks, price, size, 0.0, 0.0, -1, line))

    def _chunk(self, unit: TimeUnit, read: int) -> Chunk:
        # Times in milli- or microseconds and ids are below 2**53: float64 holds them exactly.
        table = np.array(self.rows, np.float64).reshape(-1, 10)
        self.rows = []
        ticks = empty_ticks(len(table))
        kinds = table[:, 1]
        first = int(table[0, 9]) if len(table) else 0
        ticks["ts_ns"] = np.where(
            table[:, 0] > 0, unit.to_ns(table[:, 0].astype(np.int64), first), NO_TIME_NS
        )
        ticks["kind"], ticks["side"], ticks["flags"] = kinds, table[:, 2], table[:, 3]
        quotes = kinds == QUOTE
        ticks["price"] = np.where(quotes, 0.0, table[:, 4])
        ticks["size"] = np.where(quotes, 0.0, table[:, 5])
        for i, name in enumerate(("bid", "ask", "bid_size", "ask_size")):
            ticks[name] = np.where(quotes, table[:, 4 + i], 0.0)
        return Chunk(ticks, table[:, 9].astype(np.int64), read, table[:, 8].astype(np.int64))


def _time(data: _Data) -> int:
    return data.T if data.T > 0 else data.E


def _lines(path: Path, progress: ReadProgress) -> Iterator[bytes]:
    with blame(path), plain_bytes(path, progress) as stream:
        rest = b""
        while block := stream.read(_BLOCK):
            *lines, rest = (rest + block).split(b"\n")
            yield from lines
        if rest:
            yield rest
