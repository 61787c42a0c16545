"""Leaves before the kernel's killer comes: a run that nears its memory limit ends cleanly, with everything saved."""

from __future__ import annotations

from collections.abc import Callable

import psutil

from ztb.errors import ResourceError

_LEAVE = 0.95
_PROCESS = psutil.Process()


def resident_bytes() -> int:
    """Resident memory of this process; a learner process has its own."""
    return int(_PROCESS.memory_info().rss)


class MemoryGuard:
    """Called now and then; ResourceError (exit 75) at 95 % of `limit_gb` (10⁹ bytes)."""

    def __init__(self, limit_gb: float, measure: Callable[[], int] = resident_bytes) -> None:
        self._limit = limit_gb * 1e9
        self._measure = measure

    def __call__(self) -> None:
        used = self._measure()
        if used > _LEAVE * self._limit:
            raise ResourceError(
                f"memory: {used / 1e9:.2f} GB of limits.max_memory_gb = {self._limit / 1e9:.2f} are in use; the run "
                "ended cleanly and what was done is kept. Raise the limit (ZTB_MAX_MEMORY_GB), or use smaller batches"
            )
