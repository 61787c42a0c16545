"""Recorded history as a source of blocks, with progress and a prefix that is only looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from ztb.market.history import History
from ztb.market.ticks import Ticks


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
