"""Recorded market history: files in, one stream of clean ticks of one instrument out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ztb.errors import DataError
from ztb.market.importers.clean import CleaningTerms
from ztb.market.importers.describe import describe, notes, price_grid, select, unit_of
from ztb.market.importers.files import ReadProgress, blame
from ztb.market.importers.given import Given
from ztb.market.importers.increments import Grid, infer_lot_size
from ztb.market.importers.merge import in_blocks, merge
from ztb.market.importers.sources import SpareRows, open_source
from ztb.market.importers.stream import (
    Probe,
    Stream,
    bar_length,
    opening_shift,
    probe,
    silence_limit,
    timed_part,
)
from ztb.market.importers.timeunit import LATEST_NS
from ztb.market.instrument import Instrument
from ztb.market.report import DataReport
from ztb.market.ticks import BAR, QUOTE, TRADE, TickKind, Ticks

SHIPPED = Path(__file__).parent / "shipped" / "coinbase_BTCUSD_1h_20170701-20191017.csv.zst"
"""Hourly BTC/USD bars of Coinbase, 2017-07-01 to 2019-10-17; see the README beside it."""

YEAR_NS = 366 * 86_400 * 10**9
"""How far beyond the present a time may lie: further is no time."""

_NO_DATA = re.compile(
    r"^\.|^README|^LICEN[CS]E|^looks\.jsonl$|\.(md|py|html|sha256|CHECKSUM|part)$", re.IGNORECASE
)


def open_history(
    paths: Sequence[Path] | None,
    *,
    symbol: str | None = None,
    tick_size: Decimal | None = None,
    lot_size: Decimal | None = None,
    venue: str | None = None,
    maker_fee: Decimal | None = None,
    taker_fee: Decimal | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
    latest_ns: int = LATEST_NS,
) -> History:
    """The history in `paths`: files, or folders whose files are taken in sorted order; none: the shipped one.

    What is not given is inferred and named in `instrument.inferred`. Rows begin (a bar: opens) at or after
    `start_ns` and before `end_ns`; later than `latest_ns` is no time. Raises DataError naming the file where content
    cannot be used, UsageError for a symbol that cannot be split.
    """
    given = Given(symbol, tick_size, lot_size, venue, maker_fee, taker_fee)
    spare = SpareRows()
    opened = [probe(open_source(path, latest_ns, spare)) for path in expand(paths or [SHIPPED])]
    probes = select(opened, given)
    groups = _streams(probes)
    firsts = [group[0] for group in groups]
    instrument = describe(firsts, given)
    bar_ns = _bar_length(probes)
    streams = [
        Stream([p.source for p in g], [p.first_ns for p in g], _terms(g[0], instrument, given, bar_ns))
        for g in groups
    ]
    told = tuple(notes(firsts, instrument, given))
    return History(
        instrument=instrument,
        bar_ns=bar_ns,
        streams=streams,
        span=_Span(start_ns, end_ns),
        given=given,
        told=told,
    )


def expand(paths: Sequence[Path]) -> list[Path]:
    """Files named or found in the folders named; DataError for a path that is neither."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.is_file() and not _NO_DATA.search(p.name))
            inside = [p for p in inside if not _beside_futures(p, inside)]
            if not inside:
                raise DataError(f"{path}: holds no files of market data: name the files or their folder")
            files += inside
        elif path.exists():
            files.append(path)
        else:
            raise DataError(f"{path}: no such file or folder: check the path")
    return files


_BESIDE = re.compile(r"-[0-9a-zA-Z]+-(mark|index|premiumIndex|funding_rate)\.")


def _beside_futures(path: Path, others: Sequence[Path]) -> bool:
    """True if a file is what freqtrade keeps beside a contract's bars: mark prices, funding rates."""
    kind = _BESIDE.search(path.name)
    pair = path.name[: kind.start()] if kind else ""
    return kind is not None and any(p.name.startswith(pair + "-") and "-futures." in p.name for p in others)


def _streams(probes: Sequence[Probe]) -> list[list[Probe]]:
    """Files of one layout together, by their first time; streams by rank, which breaks ties of time."""

    def stream(p: Probe) -> tuple[int, str]:
        return p.facts.rank, p.facts.layout

    ordered = sorted(probes, key=lambda p: (*stream(p), p.first_ns))
    return [list(group) for _, group in groupby(ordered, key=stream)]


def _bar_length(probes: Sequence[Probe]) -> int | None:
    lengths = {bar_length(p): p for p in probes if p.bars}
    if len(lengths) > 1 or (lengths and not all(p.bars for p in probes)):
        names = ", ".join(p.facts.path.name for p in probes[:6])
        raise DataError(
            f"bars of one length cannot be read together with other bars or ticks ({names}): name fewer files"
        )
    return next(iter(lengths), None)


def _terms(first: Probe, instrument: Instrument, given: Given, bar_ns: int | None) -> CleaningTerms:
    unit, grid = unit_of(first, instrument), price_grid(first)
    sizes_bind = given.lot_size is None and unit.plain and not first.facts.coins and bar_ns is None
    lot = infer_lot_size(first.prefix) if sizes_bind else None
    return CleaningTerms(
        tick=Grid(instrument.tick_size, binds=given.tick_size is not None or grid.binds),
        lot=Grid(instrument.lot_size) if lot is not None and lot.binds else None,
        bar_ns=bar_ns or 0,
        silence_ns=silence_limit(first),
        gapless=first.facts.gapless,
        unit=unit,
        shift_ns=0 if bar_ns is None else opening_shift(first, bar_ns),
        given=given.tick_size is not None,
    )


# Prices traded or quoted at the touch; depth far from it says nothing of the range.
_RANGE = {TRADE: ("price", "price"), QUOTE: ("bid", "ask"), BAR: ("low", "high")}


_LEAP = 10.0  # times what is on both sides


def _see_leaps(
    report: DataReport, rows: Ticks, lowest: NDArray[np.float64], highest: NDArray[np.float64]
) -> None:
    """Count rows whose price is far from those before and after it; the ends of a piece have only one of them."""
    before, after = slice(None, -2), slice(2, None)
    above = highest[1:-1] > _LEAP * np.maximum(highest[before], highest[after])
    below = _LEAP * lowest[1:-1] < np.minimum(lowest[before], lowest[after])
    found = np.flatnonzero(above | below) + 1
    if len(found):
        row = int(found[0])
        price = highest[row] if above[row - 1] else lowest[row]
        report.see_leaps(
            len(found), f"{price:g} at {_moment(int(rows['ts_ns'][row]))}, {highest[row - 1]:g} before it"
        )


@dataclass(frozen=True, slots=True)
class _Span:
    start_ns: int | None
    end_ns: int | None

    def __str__(self) -> str:
        since = "" if self.start_ns is None else f"from --from {_moment(self.start_ns)} on"
        until = "" if self.end_ns is None else f"before --to {_moment(self.end_ns)}"
        return " and ".join(filter(None, (since, until)))


def _moment(ns: int) -> str:
    return str(np.datetime64(ns, "ns").astype("datetime64[s]"))


@dataclass
class History:
    """One instrument's ticks. `bar_ns` is the length of its bars, None for ticks; `told` what was assumed of it.

    `report` tells what was found so far; it starts anew with each call of `blocks`.
    """

    instrument: Instrument
    bar_ns: int | None
    streams: Sequence[Stream]
    span: _Span
    given: Given
    told: tuple[str, ...] = ()
    report: DataReport = field(default_factory=DataReport)
    _progress: list[list[ReadProgress]] = field(default_factory=list[list[ReadProgress]])

    @property
    def files(self) -> list[Path]:
        """The files, in the order in which they are read."""
        return [source.facts.path for stream in self.streams for source in stream.sources]

    @cached_property
    def _content(self) -> hashlib._Hash:  # pyright: ignore[reportPrivateUsage] (it has no public name)
        """Over the files' bytes."""
        total = hashlib.sha256()
        for path in self.files:
            with blame(path), path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        return total

    @property
    def content_digest(self) -> str:
        """sha256, hexadecimal, over the files' bytes alone: the same whatever part of them is read."""
        return self._content.hexdigest()

    @cached_property
    def digest(self) -> str:
        """sha256, hexadecimal, over the files' bytes and the options that change rows; not over names."""
        total = self._content.copy()
        contracts = [stream.terms.unit.quotes for stream in self.streams]
        options = (self.span.start_ns, self.span.end_ns, self.given.tick_size, self.given.lot_size, contracts)
        total.update("|".join(map(str, options)).encode())
        return total.hexdigest()

    def blocks(self, rows: int = 4096) -> Iterator[Ticks]:
        """Blocks of `rows` ticks (the last one shorter) in arrival order, from the start.

        `ts_ns` never falls. Raises DataError naming file, row and reason where the data cannot be traded on.
        """
        self._progress = [[ReadProgress() for _ in stream.sources] for stream in self.streams]
        self.report = DataReport(
            files=[str(path) for path in self.files],
            layouts=[stream.sources[0].facts.layout for stream in self.streams],
        )
        for text in self.told:
            self.report.note(text)
        pieces = [s.pieces(self.report, p) for s, p in zip(self.streams, self._progress, strict=True)]
        return in_blocks(self._seen(merge(pieces)), rows)

    def _seen(self, pieces: Iterator[Ticks]) -> Iterator[Ticks]:
        begins, ends = None, None
        for piece in pieces:
            begins = int(piece["ts_ns"][0] - piece["span_ns"][0]) if begins is None else begins
            ends = int(piece["ts_ns"][-1])
            ticks = timed_part(piece, self.span.start_ns, self.span.end_ns)
            if len(ticks):
                self._count(ticks)
                yield ticks
            if self.span.end_ns is not None and piece["ts_ns"][-1] - piece["span_ns"][-1] >= self.span.end_ns:
                break
        if self.report.ticks == 0 and begins is not None and ends is not None:
            raise DataError(
                f"{self.files[0]}: nothing lies {self.span}: the data begin at {_moment(begins)} and, as far as they "
                f"were read, go on to {_moment(ends)}"
            )

    def _count(self, ticks: Ticks) -> None:
        report = self.report
        report.ticks += len(ticks)
        report.first_ns = int(ticks["ts_ns"][0]) if report.first_ns is None else report.first_ns
        report.last_ns = int(ticks["ts_ns"][-1])
        counts = np.bincount(ticks["kind"], minlength=len(TickKind))
        for kind in np.flatnonzero(counts).tolist():
            report.kinds[TickKind(kind).name.lower()] += int(counts[kind])
            if kind in _RANGE:
                rows = ticks if counts[kind] == len(ticks) else ticks[ticks["kind"] == kind]
                lowest, highest = _RANGE[kind]
                low, high = float(rows[lowest].min()), float(rows[highest].max())
                report.see_range(low, high)
                if high > _LEAP * low:
                    _see_leaps(report, rows, lowest=rows[lowest], highest=rows[highest])

    def progress(self) -> float:
        """Share of the files' bytes that the running iteration has consumed, 0 to 1."""
        total = sum(path.stat().st_size for path in self.files)
        done = sum(p.bytes_read() for row in self._progress for p in row)
        return min(1.0, done / total) if total else 0.0
