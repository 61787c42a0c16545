"""Clocks to inject: the wall, and one that stands until it is moved."""

from __future__ import annotations

import time
from dataclasses import dataclass


class WallClock:
    """The machine's own time."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970."""
        return time.time_ns()  # noqa: TID251 (this is the clock that is injected)


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
