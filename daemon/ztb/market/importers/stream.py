"""A stream: one or several files of the same layout, read one after the other as if they were one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztb.errors import DataError
from ztb.market.importers.clean import Cleaner, CleaningTerms
from ztb.market.importers.files import ReadProgress
from ztb.market.importers.increments import PREFIX_ROWS
from ztb.market.importers.sources import SourceFacts, TableFile, ordered
from ztb.market.importers.validation import faults
from ztb.market.issues import ReportingSink
from ztb.market.report import DataReport
from ztb.market.ticks import BAR, Ticks, empty_ticks, join_ticks, take_ticks

_SILENCE_NS = 5 * 60 * 10**9
_SILENCE_SPACINGS = 20
_ENOUGH_STEPS = 3
_SHORTEST_NS, _DAY_NS = 10**9, 86_400 * 10**9
# The last instant of a bar is one unit of its file before the next: a nano-, micro-, millisecond or second.
_INSTANTS_NS = (1, 10**3, 10**6, 10**9)
_MOST = 0.9


@dataclass(slots=True)
class Probe:
    """A file's first rows that can be true, at most PREFIX_ROWS; `ts_ns` is the venue's, a bar's its open."""

    source: TableFile
    prefix: Ticks

    @property
    def facts(self) -> SourceFacts:
        """Facts that the file tells of itself."""
        return self.source.facts

    @property
    def first_ns(self) -> int:
        """First time in the file, -1 if the prefix has none."""
        timed = self.prefix["ts_ns"][self.prefix["ts_ns"] >= 0]
        return int(timed[0]) if len(timed) else -1

    @property
    def bars(self) -> bool:
        """True if the file holds bars."""
        return bool(self.prefix["kind"][0] == BAR)


def probe(source: TableFile) -> Probe:
    """Read the first rows of a file; DataError if none of its rows can be true."""
    heard = ReportingSink()
    report = heard.report
    found = [empty_ticks(0)]
    for chunk in ordered(source, ReadProgress(), heard, report):
        bad = np.zeros(len(chunk.ticks), np.bool_)
        for reason, mask in faults(chunk):
            bad |= mask
            if mask.any():
                report.drop(reason, int(mask.sum()), f"row {chunk.rows[int(np.argmax(mask))]}: {reason}")
        found.append(take_ticks(chunk.ticks, ~bad)[:PREFIX_ROWS])
        if sum(len(ticks) for ticks in found) >= PREFIX_ROWS:
            break
    prefix = join_ticks(found)[:PREFIX_ROWS]
    if len(prefix) == 0:
        why = "; ".join(report.examples.values()) or "it has none"
        raise DataError(f"{source.facts.path}: no row can be used ({why}): fetch or export it again")
    return Probe(source, prefix)


def bar_length(first: Probe) -> int:
    """Nanoseconds a bar of the file lasts: its commonest step, or what the close times of a few bars say."""
    steps = np.abs(np.diff(first.prefix["ts_ns"]))
    if len(steps) < _ENOUGH_STEPS and (first.prefix["span_ns"] > 0).any():
        steps = first.prefix["span_ns"]
    lengths, counts = np.unique(steps[steps > 0], return_counts=True)
    if len(lengths) == 0:
        raise DataError(f"{first.facts.path}: a single bar does not tell how long bars are: give more rows")
    length = int(lengths[np.argmax(counts)])
    if length < _SHORTEST_NS:
        raise DataError(
            f"{first.facts.path}: its bars would last {length / 1e6:g} ms: its times are in another unit than they "
            "look: write them as 2024-01-31 12:00"
        )
    return length


def opening_shift(first: Probe, length: int) -> int:
    """Nanoseconds to add to a bar's time for its opening: 0, or less where a file gives the end of each bar.

    That shows by name, or by times one instant short of the next bar: 23:59:59.999, 12:59:59.
    """
    times = first.prefix["ts_ns"][first.prefix["ts_ns"] >= 0]
    whole = min(length, _DAY_NS)
    if not (times % whole == 0).any():
        for instant in _INSTANTS_NS:
            if np.mean((times + instant) % whole == 0) > _MOST:
                return instant - length
    return -length if first.facts.closes else 0


def silence_limit(first: Probe) -> int:
    """Nanoseconds without a row that count as a gap: 5 minutes, or 20 usual spacings of a thin market."""
    times = first.prefix["ts_ns"][first.prefix["ts_ns"] >= 0]
    if len(times) < 2:
        return _SILENCE_NS
    return max(_SILENCE_NS, _SILENCE_SPACINGS * int(times.max() - times.min()) // (len(times) - 1))


@dataclass(slots=True)
class Stream:
    """Files of one layout in order of their first times `firsts`, held to the same terms."""

    sources: Sequence[TableFile]
    firsts: Sequence[int]
    terms: CleaningTerms

    def pieces(self, report: DataReport, progress: Sequence[ReadProgress]) -> Iterator[Ticks]:
        """Clean rows of rising event time, in pieces of any length; `progress` has one entry a source."""
        cleaner = Cleaner(self.terms, report)
        following = [*self.firsts[1:], None]
        for source, seen, next_ns in zip(self.sources, progress, following, strict=True):
            cleaner.new_file(str(source.facts.path), next_ns)
            clean = cleaner.clean if source.facts.instrument is None else cleaner.recorded
            for chunk in ordered(source, seen, cleaner, report):
                yield from (ticks for ticks in clean(chunk) if len(ticks))
            seen.done = source.facts.path.stat().st_size
        last = cleaner.finish()
        if len(last):
            yield last


def timed_part(ticks: Ticks, start_ns: int | None, end_ns: int | None) -> Ticks:
    """Rows that begin (a bar: at its open) at or after `start_ns` and before `end_ns`."""
    begins: NDArray[np.int64] = ticks["ts_ns"] - ticks["span_ns"]
    low = 0 if start_ns is None else int(np.searchsorted(begins, start_ns, side="left"))
    high = len(ticks) if end_ns is None else int(np.searchsorted(begins, end_ns, side="left"))
    return ticks[low:high]
