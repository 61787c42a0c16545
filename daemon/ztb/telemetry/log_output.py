"""Writes log lines from a thread of its own, so that nobody waits for a reader who does not read."""

from __future__ import annotations

import atexit
import contextlib
import io
import queue
from typing import TextIO

from ztb.utils.background import background_thread

_WAITING_LINES = 2_000
_LEAVING_S = 1.0


class BackgroundStream(io.TextIOBase):
    """A text stream whose `write` never blocks: beyond 2,000 waiting writes it drops the newest and counts them."""

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self._waiting: queue.Queue[str | None] = queue.Queue(_WAITING_LINES)
        self.dropped = 0
        self._thread = background_thread(self._write_lines, "ztb-logs")
        self._thread.start()
        atexit.register(self.close)

    def write(self, text: str, /) -> int:
        try:
            self._waiting.put_nowait(text)
        except queue.Full:
            self.dropped += 1
        return len(text)

    def close(self) -> None:
        """Write what is waiting, for a second at most. May be called again."""
        if not self.closed:
            super().close()
            self._end()

    def _end(self) -> None:
        try:
            self._waiting.put(None, timeout=_LEAVING_S)
        except queue.Full:
            return
        self._thread.join(_LEAVING_S)

    def _write_lines(self) -> None:
        told = 0
        while (text := self._waiting.get()) is not None:
            dropped = self.dropped - told
            told += dropped
            note = f'{{"event": "log_lines_dropped", "count": {dropped}}}\n' if dropped else ""
            with contextlib.suppress(OSError, ValueError):  # whoever read has gone
                self._target.write(note + text)
                self._target.flush()
