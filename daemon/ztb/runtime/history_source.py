"""Recorded history as a source of blocks, with progress and a prefix that is only looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from ztb.errors import DataError
from ztb.market.history import History
from ztb.market.ticks import BAR, Ticks

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
