"""A clock to inject that stands until it is moved."""

from __future__ import annotations

from dataclasses import dataclass


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
