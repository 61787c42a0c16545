"""History of a venue into recordings, page by page: whatever ends it, the next call goes on where it stopped.

Only what is complete is written: trades of whole milliseconds, bars that have closed. The last row therefore says
where to go on, without a duplicate and without a hole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ztb.errors import DataError
from ztb.market.instrument import Instrument
from ztb.market.live.client import Bar
from ztb.market.live.messages import Trade
from ztb.market.live.missed_trades import trades_page
from ztb.market.live.rest import Rest
from ztb.market.live.rows import bar_rows, trade_rows
from ztb.market.live.trade_ids import TradeIds, id_number
from ztb.market.recording import RecordingReader, RecordingWriter
from ztb.market.ticks import BAR, GAP, Ticks

What = Literal["trades", "bars"]

_PAGE = 500
# Some venues look no further than an hour from where they are asked to begin.
_WINDOW_MS = 3_600_000
_DENSE_SHARE = 0.9
_DAY_MS = 86_400_000
# Bars that every venue looks ahead from where it is asked to begin.
_LEAST_WINDOW = 100


@dataclass(frozen=True, slots=True)
class DownloadRange:
    """A range to fetch: rows from `start_ms` to before `until_ms`. `span_ms`: how long a bar lasts.

    `unit` is base currency in one unit of the venue's quantities; `timeframe` is ccxt's.
    """

    instrument: Instrument
    what: What
    start_ms: int
    until_ms: int
    timeframe: str
    span_ms: int
    unit: float


@dataclass(slots=True)
class Fetched:
    """The outcome of a download: rows written now, gaps found, where the data end."""

    rows: int = 0
    gaps: int = 0
    missing: int = 0
    resumed_ms: int | None = None
    end_ms: int = 0


class Download:
    """Fetches `wanted` into `folder`, a recording for each call. `progress` hears the moment reached, milliseconds.

    DataError if the folder holds something else, or data that begin later than wanted.
    """

    def __init__(
        self, rest: Rest, wanted: DownloadRange, folder: Path, progress: Callable[[int], None]
    ) -> None:
        self.fetched = Fetched()
        self._rest = rest
        self._wanted = wanted
        self._progress = progress
        self._next_ms = wanted.start_ms
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{self._resume(sorted(folder.glob('*.ticks'))):06}.ticks"
        self._writer: RecordingWriter | None = None
        self._last_id: int | None = None
        self._window_ms = 0
        self._due_ms = 0

    async def run(self) -> Fetched:
        """Fetch to the end. VenueError if the venue gives up; what was fetched until then is kept."""
        try:
            await (self._trades() if self._wanted.what == "trades" else self._bars())
        finally:
            if self._writer is not None:
                self._writer.close()
        self.fetched.end_ms = self._next_ms if self._wanted.what == "trades" else self._due_ms
        return self.fetched

    def _resume(self, paths: Sequence[Path]) -> int:
        """Go on after what lies there; returns the number of the next file."""
        first_ns, last_ns = 0, 0
        for path in paths:
            rows = 0
            for ticks in self._recorded(path):
                first_ns = first_ns or int(ticks["ts_ns"][0] - ticks["span_ns"][0])
                last_ns = int(ticks["ts_ns"][-1])
                rows += len(ticks)
            if rows == 0:
                path.unlink()  # a crash left its only frame cut short
        if first_ns and self._wanted.start_ms < first_ns // 1_000_000 - max(self._wanted.span_ms, _WINDOW_MS):
            raise DataError(f"{paths[0]}: begins later than --from: name another --out")
        if last_ns:
            # A bar's row is at its close, where the next one opens.
            self._next_ms = last_ns // 1_000_000 + (0 if self._wanted.what == "bars" else 1)
            self.fetched.resumed_ms = self._next_ms
        return 1 + max((int(path.stem) for path in paths if path.stem.isdecimal()), default=0)

    def _recorded(self, path: Path) -> Iterator[Ticks]:
        """The frames of a file; DataError if it holds anything but what is wanted."""
        reader, wanted = RecordingReader(path), self._wanted
        instrument = reader.header().instrument
        same = (instrument.venue, instrument.symbol) == (wanted.instrument.venue, wanted.instrument.symbol)
        for ticks, _ in reader.frames():
            bars = bool(ticks["kind"][0] == BAR)
            if (
                not same
                or bars != (wanted.what == "bars")
                or (bars and ticks["span_ns"][0] != wanted.span_ms * 1_000_000)
            ):
                raise DataError(f"{path}: holds other data than are asked for: name another --out")
            yield ticks

    async def _trades(self) -> None:
        """Pages in order. The trades of a page's last millisecond wait for the next page, which may hold more."""
        known, held = TradeIds(), list[Trade]()
        while self._next_ms < self._wanted.until_ms:
            page = await trades_page(self._rest, self._wanted.instrument.symbol, self._next_ms)
            fresh = known.unseen(page)
            known.see(fresh)
            held += fresh
            if fresh:
                last_ms = held[-1].ms
                self._write_trades([trade for trade in held if trade.ms < last_ms])
                held = [trade for trade in held if trade.ms == last_ms]
                self._reach(last_ms)
            else:
                self._write_trades(held)
                held = []
                self._reach(self._next_ms + (1 if page else _WINDOW_MS))

    def _write_trades(self, trades: Sequence[Trade]) -> None:
        wanted = [trade for trade in trades if trade.ms < self._wanted.until_ms]
        if any(trade.id is None for trade in wanted):
            raise DataError(
                f"{self._wanted.instrument.venue}: gives trades no ids, so that none can be told from another: "
                "download bars"
            )
        ticks = trade_rows(wanted, self._wanted.unit)
        numbers = [id_number(trade) for trade in wanted]
        if len(ticks) == len(wanted):
            self._mark_gaps(ticks, numbers)
        self._write(ticks)

    def _mark_gaps(self, ticks: Ticks, numbers: Sequence[int | None]) -> None:
        """Mark a jump as a gap, where ids are numbers that rise by one for the most part."""
        if not numbers or None in numbers:
            return
        ids = np.array(numbers, np.int64)
        steps = np.diff(ids, prepend=ids[0] - 1 if self._last_id is None else self._last_id)
        self._last_id = int(ids[-1])
        if np.count_nonzero(steps == 1) < _DENSE_SHARE * len(steps):
            return
        for row in np.flatnonzero(steps > 1):
            self._note_gap(int(steps[row]) - 1)
            ticks["flags"][row] |= GAP

    async def _bars(self) -> None:
        """Pages in order. An empty one says nothing of what comes later: many venues look no further than a window."""
        wanted = self._wanted
        self._next_ms = self._due_ms = -(-self._next_ms // wanted.span_ms) * wanted.span_ms
        while self._next_ms < wanted.until_ms:
            page = await self._bars_page(self._next_ms, wanted.timeframe)
            due = [bar for bar in page if self._next_ms <= bar[0] <= wanted.until_ms - wanted.span_ms]
            if due:
                self._window_ms = max(self._window_ms, int(due[-1][0]) + wanted.span_ms - self._next_ms)
                self._write_bars(due)
            elif page and page[-1][0] > wanted.until_ms - wanted.span_ms:
                self._reach(wanted.until_ms)
            else:
                self._reach(await self._after_nothing())

    def _write_bars(self, due: Sequence[Bar]) -> None:
        wanted = self._wanted
        opens = np.array([bar[0] for bar in due], np.int64)
        steps = np.diff(opens, prepend=self._due_ms - wanted.span_ms) // wanted.span_ms
        ticks = bar_rows(due, wanted.span_ms * 1_000_000, wanted.unit)
        for row in np.flatnonzero(steps > 1):
            self._note_gap(int(steps[row]) - 1)
            ticks["flags"][row] |= GAP
        self._write(ticks)
        self._due_ms = int(opens[-1]) + wanted.span_ms
        self._reach(self._due_ms)

    async def _after_nothing(self) -> int:
        """The time to ask from next, when the venue told no bar: no further than it surely looked.

        Where it has bars of a day, those say how long there is nothing.
        """
        wanted, day = self._wanted, self._next_ms // _DAY_MS * _DAY_MS
        step = self._next_ms + max(self._window_ms, _LEAST_WINDOW * wanted.span_ms)
        if (
            wanted.span_ms >= _DAY_MS
            or "1d" not in (self._rest.client.timeframes or {})
            or step - day < _DAY_MS
        ):
            return step
        days = [int(bar[0]) for bar in await self._bars_page(day, "1d") if bar[0] + _DAY_MS > self._next_ms]
        # Some venues begin their days at another hour than midnight.
        return max(step, min(days) - _DAY_MS if days else day + _LEAST_WINDOW * _DAY_MS)

    async def _bars_page(self, since_ms: int, timeframe: str) -> list[Bar]:
        symbol = self._wanted.instrument.symbol
        page = await self._rest.call(lambda client: client.fetch_ohlcv(symbol, timeframe, since_ms, _PAGE))
        return sorted(page, key=lambda bar: bar[0])

    def _write(self, ticks: Ticks) -> None:
        """Write rows as one frame, so that a crash keeps all of them or none."""
        if len(ticks) == 0:
            return
        if self._writer is None:
            self._writer = RecordingWriter(self._path, self._wanted.instrument)
        self._writer.append(ticks, ticks["ts_ns"])
        self._writer.flush()
        self.fetched.rows += len(ticks)

    def _note_gap(self, missing: int) -> None:
        self.fetched.gaps += 1
        self.fetched.missing += missing

    def _reach(self, moment_ms: int) -> None:
        self._next_ms = moment_ms
        self._progress(moment_ms)
