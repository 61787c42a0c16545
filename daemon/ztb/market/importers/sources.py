"""Files as sources of chunks, whatever they are: what a stream asks of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ztb.market.importers.chunk import Chunk, join
from ztb.market.importers.convert import Converter
from ztb.market.importers.files import FileFormat, ReadProgress, sniff
from ztb.market.importers.layouts import ColumnOrder
from ztb.market.importers.tables import BATCH_ROWS, Table, batches, open_table
from ztb.market.importers.tape import Tape
from ztb.market.importers.timeunit import LATEST_NS, TimeUnit
from ztb.market.instrument import Instrument
from ztb.market.issues import IssueSink
from ztb.market.recording import RecordingReader
from ztb.market.report import DataReport
from ztb.market.symbols import symbol_in_name
from ztb.market.ticks import BAR, QUOTE, TRADE
from ztb.market.venues import NAMES

SORTED_ROWS = 1_000_000
"""Bars and batched executions are sorted in files of up to this many rows; larger ones must be in order."""

_TELLING = 3


@dataclass(slots=True)
class SourceFacts:
    """Facts that a file tells of itself. `rank` orders streams at equal times: books before quotes before trades.

    `market`: spot, linear, inverse or contract, where it tells; `coins`: quantities are coins whatever the market
    counts; `closes`: a bar's time is its end.
    """

    path: Path
    layout: str
    rank: int
    order: ColumnOrder = ColumnOrder.AS_FILED
    gapless: bool = False
    venue: str | None = None
    symbol: str | None = None
    layout_venue: str | None = None
    instrument: Instrument | None = None
    market: str | None = None
    coins: bool = False
    closes: bool = False


class TableFile(Protocol):
    """One file: its facts (names complete once a chunk was read) and its chunks, from the start each time."""

    @property
    def facts(self) -> SourceFacts: ...

    def chunks(self, progress: ReadProgress, witness: IssueSink) -> Iterator[Chunk]:
        """The file's rows in file order; DataError where it is damaged."""
        ...


@dataclass(slots=True)
class SpareRows:
    """Room for rows of all files, kept from when they were looked at until they are read."""

    left: int = SORTED_ROWS


Malformed = Callable[[int, str], None]


@dataclass(slots=True)
class TableSource:
    """A table of any format. What its first pass has taken apart serves the second one too, where there is room."""

    table: Table
    latest_ns: int = LATEST_NS
    spare: SpareRows = field(default_factory=SpareRows)
    facts: SourceFacts = field(init=False)
    _kept: list[tuple[list[tuple[int, str]], Any]] = field(
        default_factory=list[tuple[list[tuple[int, str]], Any]]
    )
    _looked_at: bool = False

    def __post_init__(self) -> None:
        table, layout = self.table, self.table.layout
        self.facts = SourceFacts(
            path=table.path,
            layout=layout.name,
            rank=(2, 1, 0, 3)[layout.kind],
            order=layout.order,
            gapless=layout.gapless,
            symbol=table.symbol,
            layout_venue=layout.venue,
            market=table.market or layout.market,
            closes=layout.closes,
            coins="size" not in layout.columns and layout.kind in (TRADE, BAR),
        )

    def chunks(self, progress: ReadProgress, witness: IssueSink) -> Iterator[Chunk]:
        where = str(self.table.path)
        unit = TimeUnit(where, self.latest_ns)
        converter = Converter(where, self.table.layout, unit, witness.remark)
        for batch in self._batches(progress, witness.malformed):
            chunk = converter.convert(batch)
            self.facts.symbol, self.facts.venue = converter.symbol or self.table.symbol, converter.venue
            yield chunk
        rest = converter.finish()
        if rest is not None:
            yield rest

    def _batches(self, progress: ReadProgress, malformed: Malformed) -> Iterator[Any]:
        if self._kept:
            kept, self._kept = self._kept[::-1], []
            while kept:
                faults, batch = kept.pop()
                for row, text in faults:
                    malformed(row, text)
                yield batch
        elif self._looked_at:
            yield from batches(self.table, progress, malformed)
        else:
            self._looked_at = True
            yield from self._keeping(progress, malformed)

    def _keeping(self, progress: ReadProgress, malformed: Malformed) -> Iterator[Any]:
        """The file's batches; once all have been asked for they are kept, if there is room."""
        kept: list[tuple[list[tuple[int, str]], Any]] = []
        faults: list[tuple[int, str]] = []

        def heard(row: int, text: str) -> None:
            faults.append((row, text))
            malformed(row, text)

        rows = 0
        for batch in batches(self.table, progress, heard):
            rows += batch.num_rows
            if rows <= self.spare.left:
                kept.append((faults, batch))
                faults = []
            yield batch
        if rows <= self.spare.left and not faults:
            self.spare.left -= rows
            self._kept = kept


@dataclass(slots=True)
class TapeSource:
    """A recording of websocket messages."""

    path: Path
    facts: SourceFacts = field(init=False)

    def __post_init__(self) -> None:
        self.facts = SourceFacts(self.path, "Binance websocket recording", 0, gapless=True)

    def chunks(self, progress: ReadProgress, witness: IssueSink) -> Iterator[Chunk]:
        """Trades, quotes and depth in the order received."""
        tape = Tape(self.path)
        for chunk in tape.chunks(progress, witness):
            self.facts.symbol, self.facts.venue = tape.symbol, tape.venue
            yield chunk


@dataclass(slots=True)
class RecordingSource:
    """A recording of our own; its rows are as clean as when they were recorded."""

    path: Path
    facts: SourceFacts = field(init=False)

    def __post_init__(self) -> None:
        instrument = RecordingReader(self.path).header().instrument
        self.facts = SourceFacts(
            self.path,
            "ztb recording",
            0,
            venue=instrument.venue,
            symbol=instrument.symbol,
            instrument=instrument,
        )

    def chunks(self, progress: ReadProgress, witness: IssueSink) -> Iterator[Chunk]:
        """Frames, in the order written."""
        reader, row = RecordingReader(self.path), 1
        for ticks, _ in reader.frames(progress):
            yield Chunk(ticks, np.arange(row, row + len(ticks), dtype=np.int64), len(ticks))
            row += len(ticks)
        if reader.torn:
            witness.torn(reader.torn)


def open_source(path: Path, latest_ns: int = LATEST_NS, spare: SpareRows | None = None) -> TableFile:
    """`path` as a source, told by its content; DataError if it is nothing known.

    Later than `latest_ns` is no time; `spare` is shared by files that are read together.
    """
    form = sniff(path)
    if form is FileFormat.TAPE:
        return TapeSource(path)
    if form is FileFormat.RECORDING:
        return RecordingSource(path)
    named = symbol_in_name(path.name, NAMES)
    table = open_table(path, form, None if named is None else named.pair)
    return TableSource(table, latest_ns, spare or SpareRows())


def ordered(
    source: TableFile, progress: ReadProgress, witness: IssueSink, report: DataReport
) -> Iterator[Chunk]:
    """The source's chunks in the order of its layout; files too large to be sorted come as they are.

    Rows of one time that follow each other are never in two chunks, where the order is that of time.
    """
    chunks = source.chunks(progress, witness)
    if source.facts.order is ColumnOrder.AS_FILED:
        first = next(chunks, None)
        if first is None:
            return
        if _is_newest_first(first):
            yield from _slices(_turned(chain((first,), chunks), report))
            yield from chunks
            return
        yield first
        yield from chunks
        return
    held: list[Chunk] = []
    for chunk in chunks:
        held.append(chunk)
        if sum(len(c.ticks) for c in held) > SORTED_ROWS:
            yield from _whole_times(chain(held, chunks))
            return
    if held:
        yield from _whole_times(_slices(_sorted(join(held), source.facts.order, report)))


def _is_newest_first(chunk: Chunk) -> bool:
    """True if trades or quotes come as venues answer with them: the newest first."""
    times, kinds = chunk.ticks["ts_ns"], chunk.ticks["kind"]
    if len(times) < _TELLING or not np.isin(kinds, (TRADE, QUOTE)).all():
        return False
    steps = np.diff(times)
    return bool((times >= 0).all() and (steps <= 0).all() and (steps < 0).any())


def _turned(chunks: Iterator[Chunk], report: DataReport) -> Chunk:
    """A file's rows, oldest first. Of one too large for that the rest is as filed, and is refused for its times."""
    held: list[Chunk] = []
    for chunk in chunks:
        held.append(chunk)
        if sum(len(c.ticks) for c in held) > SORTED_ROWS:
            break
    report.note("rows were newest first in a file and have been turned around")
    whole = join(held)
    return whole.take(np.arange(len(whole.ticks) - 1, -1, -1))


def _whole_times(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    held: Chunk | None = None
    for chunk in chunks:
        if held is not None and len(held.ticks) and len(chunk.ticks):
            last = held.ticks["ts_ns"][-1]
            if chunk.ticks["ts_ns"][0] == last:
                others = np.flatnonzero(held.ticks["ts_ns"] != last)
                cut = int(others[-1]) + 1 if len(others) else 0
                chunk = join((held.take(slice(cut, None)), chunk))
                chunk.read -= held.read
                held = held.take(slice(0, cut))
        if held is not None:
            yield held
        held = chunk
    if held is not None:
        yield held


def _sorted(chunk: Chunk, order: ColumnOrder, report: DataReport) -> Chunk:
    key = chunk.ids if order is ColumnOrder.BY_ID and chunk.ids is not None else chunk.ticks["ts_ns"]
    back = int((key < np.maximum.accumulate(key)).sum())
    if back == 0:
        return chunk
    report.out_of_order += back
    report.note("rows were out of order in a file and have been sorted")
    return chunk.take(np.argsort(key, kind="stable"))


def _slices(chunk: Chunk) -> Iterator[Chunk]:
    for at in range(0, len(chunk.ticks), BATCH_ROWS):
        piece = chunk.take(slice(at, at + BATCH_ROWS))
        piece.read = len(piece.ticks)
        yield piece
