"""One stream's rows made fit to trade on: judged, deduplicated, on event time and increments, gaps marked.

What becomes of a row depends on it and on rows before it, never on where a file or a batch ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ztb.errors import DataError
from ztb.market.importers.chunk import Chunk, join, to_coins
from ztb.market.importers.increments import PREFIX_ROWS, Grid, Spacing, price_fields, snap
from ztb.market.importers.validation import (
    CONTRADICTION,
    EMPTY_ROW,
    ID_WINDOW,
    NO_TRADE,
    Mask,
    choose,
    faults,
    repeats,
    without,
)
from ztb.market.report import DataReport
from ztb.market.ticks import GAP, QUOTE, TRADE, Flag, Ticks, empty_ticks
from ztb.market.venues import Unit

_SMALL_STEP_NS = 60 * 10**9
_BAD_START = 10
_BAD_SHARE = 0.01
_NO_TIME = int(Flag.NO_TIME)


@dataclass(frozen=True, slots=True)
class CleaningTerms:
    """The rules that a stream is held to. `lot` None: quantities need not be multiples.

    `bar_ns` is the length of bars, 0 for ticks; `silence_ns` the time without a row that counts as a gap;
    `unit` what quantities count; `shift_ns` what is added to a bar's time for its opening; `given` says that the
    tick size was told, not inferred.
    """

    tick: Grid
    lot: Grid | None
    bar_ns: int
    silence_ns: int
    gapless: bool
    unit: Unit
    shift_ns: int
    given: bool


@dataclass(slots=True)
class Cleaner:
    """State of one stream between chunks; `file` is what its rows come from now."""

    terms: CleaningTerms
    report: DataReport
    file: str = ""
    rows_seen: int = 0
    rows_bad: int = 0
    last_ns: int = -1
    last_bar_ns: int = -1
    last_id: int = -1
    file_bar_ns: int = -1
    next_file_ns: int | None = None
    held: Chunk | None = None
    held_before: Mask = field(default_factory=lambda: np.zeros(0, np.bool_))
    id_floor: int = -1
    ids_rise: bool = True
    halts: int = 0
    spacing: Spacing = field(default_factory=Spacing)
    recent_ids: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def clean(self, chunk: Chunk) -> Sequence[Ticks]:
        """Rows of `chunk` that stand, on event time; DataError naming file and row where they cannot."""
        self.report.rows += chunk.read
        chunk = self._judge(chunk)
        if not self.terms.unit.plain:
            to_coins(chunk.ticks, self.terms.unit)
        if self.terms.bar_ns:
            if self.terms.shift_ns:
                chunk.ticks["ts_ns"] += np.where(chunk.ticks["ts_ns"] >= 0, self.terms.shift_ns, 0)
            return self._bars(chunk)
        chunk = self._times(self._unique(chunk))
        self._increments(chunk)
        return (chunk.ticks,)

    def finish(self) -> Ticks:
        """The rows held back for a later file."""
        held, self.held = self.held, None
        if held is None or len(held.ticks) == 0:
            return empty_ticks(0)
        self._close_bars(held, self.terms.bar_ns)
        return held.ticks

    def recorded(self, chunk: Chunk) -> Sequence[Ticks]:
        """Rows of our own recording, which were clean when they were written; only time must not fall."""
        ticks = chunk.ticks
        self.report.rows += chunk.read
        latest = np.maximum.accumulate(np.concatenate(([self.last_ns], ticks["ts_ns"])))[1:]
        self.report.out_of_order += int((ticks["ts_ns"] < latest).sum())
        self.report.no_time += int(((ticks["flags"] & _NO_TIME) != 0).sum())
        self.report.gaps += int(((ticks["flags"] & GAP) != 0).sum())
        ticks["ts_ns"] = latest
        self.last_ns = int(latest[-1])
        return (ticks,)

    def new_file(self, file: str, next_ns: int | None = None) -> None:
        """Rows come from `file` from now on; the one after it begins at `next_ns` (None: there is none)."""
        self.file = file
        self.rows_seen = self.rows_bad = 0
        self.next_file_ns = None if next_ns is None else next_ns + self.terms.shift_ns
        self.file_bar_ns = -1
        self.held_before = np.ones(0 if self.held is None else len(self.held.ticks), np.bool_)
        # What an earlier file has covered comes again in files that overlap.
        self.id_floor = self.last_id if self.ids_rise else -1

    def malformed(self, row: int, text: str) -> None:
        """A row of the file that could not be taken apart into fields."""
        self.rows_bad += 1
        self.report.rows += 1
        self.report.drop("malformed row", 1, f"{self.file}: row {row}: malformed: {text[:80]!r}")

    def torn(self, size: int) -> None:
        """The file, a recording, ends in `size` bytes of a frame that was cut."""
        self.report.torn += size
        self.report.note(f"{self.file}: its last frame was cut short, {size} bytes are left out")

    def remark(self, text: str) -> None:
        """Something about the file that belongs in the report."""
        self.report.note(text)

    def _fault(self, row: int, reason: str) -> DataError:
        return DataError(f"{self.file}: row {row}: {reason}")

    def _drop(self, chunk: Chunk, reason: str, mask: Mask) -> None:
        row = int(chunk.rows[int(np.argmax(mask))])
        self.report.drop(reason, int(mask.sum()), f"{self.file}: row {row}: {reason}")

    def _judge(self, chunk: Chunk) -> Chunk:
        bad = np.zeros(len(chunk.ticks), np.bool_)
        halted, blank = bad.copy(), bad.copy()
        for reason, mask in faults(chunk):
            fresh = mask & ~bad & ~halted & ~blank
            if fresh.any():
                self._drop(chunk, reason, fresh)
                if reason == "market halted":
                    halted |= fresh
                elif reason in (NO_TRADE, EMPTY_ROW):
                    blank |= fresh
                else:
                    bad |= fresh
        self._refuse_rotten(chunk, bad)
        self.rows_seen += len(bad)
        out = bad | halted | blank
        if not out.any():
            return chunk
        halts = self.halts + np.cumsum(halted)[~out]
        chunk = without(chunk, out)
        resumed = np.diff(halts, prepend=self.halts) > 0
        if len(halts):
            self.halts = int(halts[-1])
        chunk.ticks["flags"][resumed] |= GAP
        self.report.gaps += int(resumed.sum())
        return chunk

    def _refuse_rotten(self, chunk: Chunk, bad: Mask) -> None:
        so_far = self.rows_bad + np.cumsum(bad)
        allowed = _BAD_START + _BAD_SHARE * (self.rows_seen + np.arange(1, len(bad) + 1))
        self.rows_bad += int(bad.sum())
        if (so_far > allowed).any():
            at = int(np.argmax(so_far > allowed))
            example = next(iter(self.report.examples.values()))
            raise self._fault(
                int(chunk.rows[at]),
                f"{int(so_far[at])} bad rows up to here, more than {_BAD_START} and 1 % (first: {example}): "
                "this is no market data or the layout is another: mend or leave out the file",
            )

    def _bars(self, chunk: Chunk) -> list[Ticks]:
        """Bars in order of time, one for each; those that a later file may tell anew wait for it."""
        self._refuse_disorder(chunk)
        if len(chunk.ticks) == 0:
            return []
        ready: list[Ticks] = []
        before = np.zeros(len(chunk.ticks), np.bool_)
        if self.held is not None and len(self.held.ticks):
            ready += self._release(self.held, self.held_before, int(chunk.ticks["ts_ns"][0]))
        if len(self.held_before):
            before = np.concatenate((self.held_before, before))
            assert self.held is not None
            chunk = join((self.held, chunk))
            order = np.argsort(chunk.ticks["ts_ns"], kind="stable")
            chunk, before = chunk.take(order), before[order]
        late = chunk.ticks["ts_ns"] <= self.last_bar_ns
        if late.any():
            self._drop(chunk, "duplicate", late)
            chunk, before = chunk.take(~late), before[~late]
        chunk, before = self._once(chunk, before)
        self._increments(chunk)
        return ready + self._release(chunk, before, self.file_bar_ns + 1)

    def _release(self, chunk: Chunk, before: Mask, until: int) -> list[Ticks]:
        """Bars of `chunk` before `until` that no later file can tell anew, closed; the rest is held."""
        until = until if self.next_file_ns is None else min(until, self.next_file_ns)
        ready = int(np.searchsorted(chunk.ticks["ts_ns"], until, side="left"))
        # Copied: a view would keep the whole chunk.
        self.held = chunk.take(np.arange(ready, len(before)))
        self.held_before = before[ready:]
        if ready == 0:
            return []
        chunk = chunk.take(slice(0, ready))
        self._close_bars(chunk, self.terms.bar_ns)
        return [chunk.ticks]

    def _refuse_disorder(self, chunk: Chunk) -> None:
        opens = chunk.ticks["ts_ns"]
        latest = np.maximum.accumulate(np.concatenate(([self.file_bar_ns], opens)))
        if (opens < latest[:-1]).any():
            raise self._fault(
                int(chunk.rows[int(np.argmax(opens < latest[:-1]))]),
                "bar is older than the one before; the file is too large to be sorted here: sort it by time",
            )
        self.file_bar_ns = int(latest[-1])

    def _once(self, chunk: Chunk, before: Mask) -> tuple[Chunk, Mask]:
        """`chunk` with one row for each time, and which of its rows an earlier file told."""
        while (same := np.diff(chunk.ticks["ts_ns"]) == 0).any():
            # Pairs that share no row; what is left of three of a time meets again.
            firsts = np.flatnonzero(same & ~np.concatenate(([False], same[:-1])))
            reasons, losers = choose(chunk.ticks, firsts)
            for reason in np.unique(reasons):
                mask = np.zeros(len(chunk.ticks), np.bool_)
                mask[losers[reasons == reason]] = True
                self._drop(chunk, str(reason), mask)
            self._refuse_second_series(chunk, before, firsts, reasons == CONTRADICTION)
            kept = np.ones(len(chunk.ticks), np.bool_)
            kept[losers] = False
            chunk, before = chunk.take(kept), before[kept]
        return chunk, before

    def _refuse_second_series(
        self, chunk: Chunk, before: Mask, firsts: NDArray[np.int64], differ: Mask
    ) -> None:
        """Repeated bars with other prices are another series, unless they are few."""
        across = before[firsts] != before[firsts + 1]
        self.rows_bad += int(differ.sum())
        several = int((differ & across).sum()) > 0.5 * int(across.sum())
        rotten = self.rows_bad > _BAD_START + _BAD_SHARE * self.rows_seen
        if differ.any() and (several or rotten):
            at = int(firsts[int(np.argmax(differ))])
            where = "an earlier file has" if several else "another row has"
            raise self._fault(
                int(chunk.rows[at + 1]),
                f"{where} other prices for the same time: these are two series, such as trades and an index or two "
                "markets: name the files of one",
            )

    def _close_bars(self, chunk: Chunk, length: int) -> None:
        opens = chunk.ticks["ts_ns"]
        before = np.concatenate(
            ([opens[0] - length if self.last_bar_ns < 0 else self.last_bar_ns], opens[:-1])
        )
        missing = np.rint((opens - before) / length).astype(np.int64) - 1
        if (missing > 0).any():
            self._refuse_other_length(chunk, opens - before)
            chunk.ticks["flags"][missing > 0] |= GAP
            self.report.see_gap(int(missing.max()) * length, int((missing > 0).sum()))
            self.report.missing_bars += int(missing.sum())
        else:
            self.spacing = Spacing()
        self.last_bar_ns = int(opens[-1])
        chunk.ticks["span_ns"] = length
        chunk.ticks["ts_ns"] = opens + length

    def _refuse_other_length(self, chunk: Chunk, steps: NDArray[np.int64]) -> None:
        at = self.spacing.first_of_other_length(steps, self.terms.bar_ns)
        if at is not None:
            apart = f"{steps[at] / 1e9:g} s apart here and for a while, {self.terms.bar_ns / 1e9:g} s before"
            why = f"bars lie {apart}: these are bars of two lengths: name files of one"
            raise self._fault(int(chunk.rows[at]), why)

    def _unique(self, chunk: Chunk) -> Chunk:
        if chunk.ids is None or len(chunk.ids) == 0:
            return chunk
        known = chunk.ids >= 0
        repeated = np.zeros(len(known), np.bool_)
        repeated[known] = self._repeated(chunk.ids[known])
        if repeated.any():
            self._drop(chunk, "duplicate", repeated)
            chunk = chunk.take(~repeated)
        self._follow_ids(chunk)
        return chunk

    def _repeated(self, ids: NDArray[np.int64]) -> Mask:
        together = np.concatenate((self.recent_ids, ids))
        repeated = repeats(together)[len(self.recent_ids) :] | (ids <= self.id_floor)
        self.recent_ids = together[-ID_WINDOW:]
        return repeated

    def _follow_ids(self, chunk: Chunk) -> None:
        assert chunk.ids is not None
        places = np.flatnonzero(chunk.ids >= 0)
        if len(places) == 0:
            return
        ids = chunk.ids[places]
        step = np.diff(ids, prepend=self.last_id if self.last_id >= 0 else ids[0] - 1)
        self.ids_rise = self.ids_rise and bool((step > 0).all())
        self.last_id = int(ids[-1])
        missing = np.maximum(step - 1, 0)
        if self.terms.gapless and missing.any():
            chunk.ticks["flags"][places[missing > 0]] |= GAP
            self.report.gaps += int((missing > 0).sum())
            self.report.missing_ids += int(missing.sum())

    def _times(self, chunk: Chunk) -> Chunk:
        ticks = chunk.ticks
        untimed = ticks["ts_ns"] < 0
        if self.last_ns < 0 and untimed.any():
            early = np.logical_and.accumulate(untimed)
            if early.any():
                self._drop(chunk, "no time yet", early)
                return self._times(chunk.take(~early))
        if len(ticks) == 0:
            return chunk
        latest = np.maximum.accumulate(np.concatenate(([self.last_ns], ticks["ts_ns"])))
        self._steps_back(chunk, latest[:-1], untimed)
        ticks["flags"][untimed] |= _NO_TIME
        self.report.no_time += int(untimed.sum())
        ticks["ts_ns"] = latest[1:]
        self._silences(ticks, latest)
        self.last_ns = int(latest[-1])
        return chunk

    def _steps_back(self, chunk: Chunk, latest: NDArray[np.int64], untimed: Mask) -> None:
        step = np.where(untimed, 0, latest - chunk.ticks["ts_ns"])
        self.report.out_of_order += int((step > 0).sum())
        if (step > _SMALL_STEP_NS).any():
            at = int(np.argmax(step > _SMALL_STEP_NS))
            raise self._fault(
                int(chunk.rows[at]),
                f"time steps back by {step[at] / 1e9:.0f} s, more than venues do: sort the rows by time",
            )

    def _silences(self, ticks: Ticks, latest: NDArray[np.int64]) -> None:
        pause = np.diff(latest)
        if latest[0] < 0:
            pause[0] = 0
        silent = pause > self.terms.silence_ns
        if silent.any():
            fresh = silent & ((ticks["flags"] & GAP) == 0)
            ticks["flags"][silent] |= GAP
            self.report.see_gap(int(pause.max()), int(fresh.sum()))

    def _increments(self, chunk: Chunk) -> None:
        ticks = chunk.ticks
        for kind in np.unique(ticks["kind"]):
            of_kind = ticks["kind"] == kind
            rows = slice(None) if of_kind.all() else np.flatnonzero(of_kind)
            for name in price_fields(int(kind)):
                self._snap(chunk, rows, name, self.terms.tick)
            if kind == TRADE and self.terms.lot is not None:
                self._snap(chunk, rows, "size", self.terms.lot)
            if kind == QUOTE:
                ticks["price"][rows] = 0.5 * (ticks["bid"][rows] + ticks["ask"][rows])

    def _snap(self, chunk: Chunk, rows: slice | NDArray[np.int64], name: str, grid: Grid) -> None:
        values = chunk.ticks[name][rows]
        snapped, strays = snap(values, grid)
        if strays.any():
            at = int(np.argmax(strays))
            raise self._stray(int(chunk.rows[rows][at]), name, float(values[at]), grid)
        chunk.ticks[name][rows] = snapped

    def _stray(self, row: int, name: str, value: float, grid: Grid) -> DataError:
        what, called, option = ("price", "tick size", "--tick-size")
        if name == "size":
            what, called, option = ("quantity", "lot size", "--lot-size")
        origin = (
            "given" if self.terms.given and name != "size" else f"inferred from the first {PREFIX_ROWS} rows"
        )
        if not grid.binds:
            origin = f"to which prices without a grid are rounded, from the first {PREFIX_ROWS} rows"
        return self._fault(
            row,
            f"{what} {value!r} is no multiple of the {called} {grid.increment:f} {origin}: "
            f"give the right one with {option}",
        )
