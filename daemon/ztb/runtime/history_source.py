"""Recorded history as a source of blocks, with progress and a prefix that is only looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from ztb.market.history import History
from ztb.market.ticks import BAR, Ticks


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
    """The moment from which a run trades: `pretrain_ns` after the first tick (a bar's opening), or 0."""
    if pretrain_ns == 0:
        return 0
    for block in history.blocks(1):
        first = block[0]
        opening = int(first["span_ns"]) if first["kind"] == BAR else 0
        return int(first["ts_ns"]) - opening + pretrain_ns + 1
    return 0
