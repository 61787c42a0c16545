"""Time in tests: a clock that stands until it is moved, and an event loop whose clock jumps from timer to timer."""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np


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


class _Drawn(deque[asyncio.Handle]):
    """Callbacks that are ready, of which the next one is drawn: as a loop may run them, and never does by itself."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._draw = np.random.default_rng(seed)

    def popleft(self) -> asyncio.Handle:
        if len(self) > 1:
            self.rotate(-int(self._draw.integers(len(self))))
        return super().popleft()


_TOGETHER_S = 1e-3


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time` starts at 0 and moves only when every task waits; then to the next timer at once.

    With a `seed`, which of the callbacks that are ready runs next is drawn from it, timers within a millisecond of each
    other among them: one seed, one schedule. Without one it is first come, first served, as ever.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._idle = _Idle()
        super().__init__(self._idle)
        if seed is not None:
            inside = cast(Any, self)
            inside._ready, inside._clock_resolution = _Drawn(seed), _TOGETHER_S

    def time(self) -> float:
        return self._idle.skipped_s

    def now_ns(self) -> int:
        """The same moment as wall time, nanoseconds since 1970."""
        return _EPOCH_NS + round(self._idle.skipped_s * 1e9)


def run_virtual(main: Coroutine[Any, Any, _T], seed: int | None = None) -> _T:
    """Run `main` to its end on a loop of its own with virtual time, in the order that `seed` draws."""
    with asyncio.Runner(loop_factory=partial(VirtualTimeLoop, seed)) as runner:
        return runner.run(main)
