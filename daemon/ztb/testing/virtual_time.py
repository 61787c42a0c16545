"""Time in tests: a clock that stands until it is moved, and an event loop whose clock jumps from timer to timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar


@dataclass(slots=True)
class VirtualClock:
    """Stands at `at_ns` until it is moved."""

    at_ns: int = 1_700_000_000_000_000_000

    def now_ns(self) -> int:
        """Nanoseconds since 1970."""
        return self.at_ns

    def advance(self, seconds: float) -> None:
        """Move on."""
        self.at_ns += round(seconds * 1e9)


_T = TypeVar("_T")
_EPOCH_NS = 1_700_000_000_000_000_000


class _Idle(selectors.DefaultSelector):
    """Instead of waiting for the next timer, moves the clock to it. Sockets and threads are still waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0.0 if timeout is not None else None)
        if not ready and timeout is not None and timeout > 0.0:
            self.skipped_s += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time` starts at 0 and moves only when every task waits; then to the next timer at once."""

    def __init__(self) -> None:
        self._idle = _Idle()
        super().__init__(self._idle)

    def time(self) -> float:
        return self._idle.skipped_s

    def now_ns(self) -> int:
        """The same moment as wall time, nanoseconds since 1970."""
        return _EPOCH_NS + round(self._idle.skipped_s * 1e9)


def run_virtual(main: Coroutine[Any, Any, _T]) -> _T:
    """Run `main` to its end on a loop of its own with virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
