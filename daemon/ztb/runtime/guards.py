"""Guards that hold a run back in time: its memory limit, and a market that cannot be seen well.

Memory is kept below its limit in steps, so that the kernel's killer never comes. New risk is held back while a stream
is stale, or the venue's clock is not ours.
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Protocol

import psutil

from ztb.errors import ResourceError
from ztb.execution.permission import Permission

if TYPE_CHECKING:
    from ztb.runtime.sources.live import LiveMarket

_SHRINK = (0.80, 0.83, 0.86)
_PAUSE = 0.90
_LEAVE = 0.95


class Relief(Protocol):
    """A part that can need less memory; `used_gb` (10⁹ bytes) is for the journal."""

    def shrink(self, used_gb: float) -> None:
        """Learn in smaller minibatches."""
        ...

    def pause(self, used_gb: float) -> None:
        """Save what was learnt, and stop learning."""
        ...

    def resume(self, used_gb: float) -> None:
        """Learn again."""
        ...


_process = cache(psutil.Process)  # its making asks for more than its memory does


def resident_bytes(others: Iterable[int] = ()) -> int:
    """Resident memory of this process, and what the processes `others` hold for themselves alone."""
    used = int(_process(os.getpid()).memory_info().rss)
    for pid in others:
        try:
            info = psutil.Process(pid).memory_info()
        except psutil.NoSuchProcess:
            continue
        used += int(info.rss) - int(info.shared)
    return used


def trim() -> None:
    """Give back to the system what nobody uses any more."""
    gc.collect()
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if give_back is not None:
        give_back(0)


class MemoryGuard:
    """Called now and then. Of `limit_gb` (10⁹ bytes): at 80 % it trims and lets `relief` shrink, and again at 83 and
    86; at 90 % learning is saved and paused until 80 % are left; at 95 % ResourceError (exit 75) ends the run.
    """

    def __init__(
        self,
        limit_gb: float,
        relief: Relief | None = None,
        measure: Callable[[], int] = resident_bytes,
        trim: Callable[[], None] = trim,
    ) -> None:
        self._limit = limit_gb * 1e9
        self._relief = relief
        self._measure = measure
        self._trim = trim
        self._shrunk = 0
        self._paused = False

    def __call__(self) -> None:
        used = self._measure()
        share = used / self._limit
        if share > _SHRINK[0]:
            self._tighten(used, share)
        elif self._paused and self._relief is not None:
            self._paused = False
            self._relief.resume(used / 1e9)

    def _tighten(self, used: int, share: float) -> None:
        """One step for each level that was passed for the first time."""
        relief = self._relief
        while self._shrunk < len(_SHRINK) and share > _SHRINK[self._shrunk]:
            self._shrunk += 1
            self._trim()
            if relief is not None:
                relief.shrink(used / 1e9)
        if share > _PAUSE and not self._paused and relief is not None:
            self._paused = True
            relief.pause(used / 1e9)
        if share > _LEAVE:
            raise ResourceError(
                f"memory: {used / 1e9:.2f} GB of limits.max_memory_gb = {self._limit / 1e9:.2f} are in use; the run "
                "ended cleanly and what was done is kept. Raise the limit (ZTB_MAX_MEMORY_GB), or use smaller batches"
            )


STALE, SKEWED, NOT_RECONCILED, NOT_ARMED = "stale market data", "clock skew", "not reconciled", "not armed"
"""What holds new risk back."""


class MarketGuard:
    """Called a few times a second; `permission` is the gate's."""

    def __init__(self, market: LiveMarket, permission: Permission, max_skew_ms: float) -> None:
        self._market = market
        self._permission = permission
        self._max_skew_ms = max_skew_ms

    def __call__(self) -> None:
        stale = [health.name for health in self._market.source.health if health.stale]
        self._hold(STALE, bool(stale), ", ".join(stale))
        skew_ms = self._market.source.clock.skew_ms or 0.0
        self._hold(SKEWED, abs(skew_ms) > self._max_skew_ms, f"the venue's is {skew_ms:+.0f} ms from ours")

    def _hold(self, name: str, wanted: bool, text: str) -> None:
        if wanted:
            self._permission.holds[name] = text
        else:
            self._permission.holds.pop(name, None)
