"""How long to wait before trying again: longer each time, never in step with others."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Waits that double from `first_s` up to `most_s`, each scaled by a factor between a half and one.

    `uniform` draws from [0, 1).
    """

    def __init__(self, first_s: float, most_s: float, uniform: Callable[[], float]) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._uniform = uniform
        self._failures = 0

    def next_s(self) -> float:
        """Seconds to wait after one more failure."""
        whole = min(self._most_s, self._first_s * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return whole * (0.5 + 0.5 * self._uniform())

    def reset(self) -> None:
        """It works again."""
        self._failures = 0
