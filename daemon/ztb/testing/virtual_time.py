"""Time in tests: a clock that stands until it is moved, and an event loop whose clock jumps from timer to timer."""

from __future__ import annotations

import asyncio
import gc
import itertools
import math
import selectors
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, TypeVarTuple, cast


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
_Ts = TypeVarTuple("_Ts")
_EPOCH_NS = 1_700_000_000_000_000_000
_WORD = 2**64 - 1


_COLLECTED_S = 3600.0


class _Idle(selectors.DefaultSelector):
    """Instead of waiting for the next timer, moves the clock to it. Sockets and threads are still waited for.

    Garbage is collected on the way if it `collects`: what its end sets going is of the same moment in each run.
    """

    def __init__(self, collects: bool) -> None:
        super().__init__()
        self.skipped_s = 0.0
        self._collects_s = _COLLECTED_S if collects else math.inf

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0.0 if timeout is not None else None)
        if not ready and timeout is not None and timeout > 0.0:
            self.skipped_s += timeout
            if self.skipped_s >= self._collects_s:
                self._collects_s = self.skipped_s + _COLLECTED_S
                gc.collect()
        return ready


class Schedule:
    """The order of things that may happen in any: choice after choice, each drawn from `seed` and its number alone.

    `only`: by number, the choices that are not the first of what there was; all others are. `taken` are those of this
    run, from which `only` makes it again; it is kept where `keep`. `mark` is of all that there was to choose from: two
    runs that differ differ in it.
    """

    def __init__(self, seed: int, only: Mapping[int, int] | None = None, keep: bool = False) -> None:
        self.seed = seed
        self.made = 0
        self.mark = 0
        self.taken: dict[int, int] = {}
        self._only = only
        self._keep = keep
        self._mixed = _mixed(seed)

    def choose(self, among: int) -> int:
        """The place of what comes next, of so many that may."""
        self.made += 1
        self.mark = _mixed(self.mark ^ among)
        if self._only is not None:
            place = self._only.get(self.made, 0) % among
        else:
            place = _mixed(self._mixed + self.made) % among
        if place and self._keep:
            self.taken[self.made] = place
        return place


def _mixed(number: int) -> int:
    """64 bits that look like chance (splitmix64)."""
    z = (number + 0x9E3779B97F4A7C15) & _WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _WORD
    return z ^ (z >> 31)


class _Drawn(deque[asyncio.Handle]):
    """Callbacks that are ready, of which `schedule` says which one runs next: as a loop may run them, and never does by
    itself.
    """

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self._schedule = schedule

    def popleft(self) -> asyncio.Handle:
        if len(self) > 1:
            self.rotate(-self._schedule.choose(len(self)))
        return super().popleft()


class _Task(asyncio.Task[Any]):
    """A task that hashes by its number: by its address, a set of tasks would have another order in each run."""

    def __init__(
        self, number: int, coro: Any, loop: asyncio.AbstractEventLoop, context: Context | None
    ) -> None:
        self._number = number
        super().__init__(coro, loop=loop, context=context)

    def __hash__(self) -> int:
        return self._number


class _Future(asyncio.Future[Any]):
    """The same of a future."""

    def __init__(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        self._number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


_TOGETHER_S = 1e-3
_THREAD_STEPS, _THREAD_STEP_S = 8, 0.002


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time` starts at 0 and moves only when every task waits; then to the next timer at once.

    With a `schedule`, which of the callbacks that are ready runs next is drawn from it, timers of one millisecond among
    them, and when work given to a thread begins and ends: one seed, one schedule. Without one it is first come, first
    served, as ever, and such work is done at once.
    """

    def __init__(self, schedule: Schedule | None = None) -> None:
        self._idle = _Idle(collects=schedule is not None)
        super().__init__(self._idle)
        self._schedule = schedule
        self._numbers = itertools.count(1)
        self.set_task_factory(self._numbered_task)
        if schedule is not None:
            cast(Any, self)._ready = _Drawn(schedule)

    def _numbered_task(
        self, loop: asyncio.AbstractEventLoop, coro: Any, context: Context | None = None
    ) -> asyncio.Future[Any]:
        """Of a set of tasks, as task groups have, each run cancels them in the same order."""
        return _Task(next(self._numbers), coro, loop, context)

    def create_future(self) -> asyncio.Future[Any]:
        return _Future(next(self._numbers), self)

    def time(self) -> float:
        return self._idle.skipped_s

    def now_ns(self) -> int:
        """The same moment as wall time, nanoseconds since 1970."""
        return _EPOCH_NS + round(self._idle.skipped_s * 1e9)

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As ever, but with a schedule at the end of the millisecond: all timers of one ring together."""
        if self._schedule is not None and math.isfinite(when):
            place = math.ceil(when / _TOGETHER_S)
            # Rounded it may be a bit earlier, and who waits until its time is over would wait at one moment for ever.
            when = place * _TOGETHER_S if place * _TOGETHER_S >= when else (place + 1) * _TOGETHER_S
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        """As of a thread that takes a drawn time: what it does happens at one moment, and is told of at a later one.

        No thread is used: the clock would go on meanwhile by as much as happens to be free.
        """
        future: asyncio.Future[_T] = self.create_future()
        self.call_later(self._thread_s(), self._work, future, lambda: func(*args))
        return future

    def _work(self, future: asyncio.Future[_T], work: Callable[[], _T]) -> None:
        """Do it now, and tell of it later."""
        tell: Callable[[], None]
        try:
            tell = partial(future.set_result, work())
        except Exception as error:  # noqa: BLE001 (as a thread's: the caller's affair)
            tell = partial(future.set_exception, error)
        self.call_later(self._thread_s(), lambda: None if future.done() else tell())

    def _thread_s(self) -> float:
        return 0.0 if self._schedule is None else self._schedule.choose(_THREAD_STEPS) * _THREAD_STEP_S


def run_virtual(main: Coroutine[Any, Any, _T], seed: int | Schedule | None = None) -> _T:
    """Run `main` to its end on a loop of its own with virtual time, in the order that `seed` draws."""
    schedule = Schedule(seed) if isinstance(seed, int) else seed
    with (
        nullcontext() if schedule is None else _uncollected(),
        asyncio.Runner(loop_factory=partial(VirtualTimeLoop, schedule)) as runner,
    ):
        return runner.run(main)


@contextmanager
def _uncollected() -> Generator[None]:
    """Garbage from before stays until after, and none is collected by itself."""
    collects = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if collects:
            gc.enable()
