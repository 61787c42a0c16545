"""Recorded history as a source of blocks, as fast as it is read or at the speed of life."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np

from ztb.errors import DataError, UsageError
from ztb.market.history import History
from ztb.market.ticks import BAR, Ticks
from ztb.ports import Source

_ROWS = 65_536
_HOUR_NS = 3_600_000_000_000


class HistorySource:
    """Blocks of `rows` rows of a history; `on_progress` hears the fraction done after each."""

    def __init__(
        self, history: History, rows: int, on_progress: Callable[[float], None] | None = None
    ) -> None:
        self.history = history
        self.instrument = history.instrument
        self._rows = rows
        self._on_progress = on_progress

    async def blocks(self) -> AsyncIterator[Ticks]:
        """The whole history, in order."""
        for block in self.history.blocks(self._rows):
            yield block
            if self._on_progress is not None:
                self._on_progress(self.history.progress())


def trading_start(history: History, pretrain_ns: int) -> int:
    """The moment from which a run trades: `pretrain_ns` after the first tick (a bar's opening), or 0.

    DataError if the data end before it.
    """
    if pretrain_ns == 0:
        return 0
    start = last = 0
    for block in history.blocks(_ROWS):
        first = block[0]
        opening = int(first["span_ns"]) if first["kind"] == BAR else 0
        start = start or int(first["ts_ns"]) - opening + pretrain_ns + 1
        last = int(block["ts_ns"][-1])
        if last >= start:
            return start
    left_ns = pretrain_ns - (start - last)
    raise DataError(
        f"--pretrain: a span of {pretrain_ns / _HOUR_NS:g} hours leaves nothing to trade on, for the data hold "
        f"{left_ns / _HOUR_NS:g}: give a shorter one, more data, or none"
    )


_STEP_S = 0.02  # rows due within it come together


def parse_speed(text: str) -> float | None:
    """`max` is None: as fast as it goes; otherwise how many times faster than it happened. UsageError if neither."""
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed < float("inf"):
        raise UsageError(f"--speed {text!r}: give a number above 0, such as 1 or 60, or max")
    return speed


class PacedSource:
    """The blocks of `source`, each row when it is due: `speed` times as fast as it happened, from the first row on."""

    def __init__(
        self,
        source: Source,
        speed: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`clock` in seconds."""
        self.instrument = source.instrument
        self._source = source
        self._ns_per_s = speed * 1e9
        self._clock = clock
        self._sleep = sleep

    async def blocks(self) -> AsyncIterator[Ticks]:
        """See `ports.Source`."""
        start: tuple[float, int] | None = None
        async for block in self._source.blocks():
            times = block["ts_ns"]
            if start is None:
                start = self._clock(), int(times[0])
            begun, first_ns = start
            row = 0
            while row < len(block):
                due_s = begun + (int(times[row]) - first_ns) / self._ns_per_s
                await self._sleep(max(0.0, due_s - self._clock()))
                until_ns = first_ns + int((self._clock() - begun + _STEP_S) * self._ns_per_s)
                end = max(row + 1, int(np.searchsorted(times, until_ns, side="right")))
                yield block[row:end]
                row = end
