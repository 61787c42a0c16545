"""Guides the learner: the profile of the market's condition, and less of everything where memory is short.

Every change is journaled, and goes to the learner with the next transition, so that a replay repeats it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ztb.learning.regime import Regime, RegimeDetector, ScheduledOptions

PROFILES = tuple(Regime)
"""Place k of the learner's profiles is that of PROFILES[k - 1]; place 0 holds the configured options."""

Note = Callable[[str, Mapping[str, Any]], None]
"""Journals (kind, detail)."""


class HyperparameterSchedule:
    """`see` each decision; `guidance` is what its transition carries, and while `paused` there is nothing to carry.

    `detector` chooses the profile, if there is one; else it is `profile` throughout.
    """

    def __init__(
        self, note: Note, profile: str | None = None, detector: RegimeDetector | None = None
    ) -> None:
        self.paused = False
        self._note = note
        self._detector = detector
        self._profile = _place(detector.condition if detector else profile)
        self._halvings = 0

    @property
    def guidance(self) -> ScheduledOptions:
        return ScheduledOptions(self._profile, self._halvings)

    @property
    def detects(self) -> bool:
        """True if the market's condition chooses the profile."""
        return self._detector is not None

    def see(self, mid: float) -> None:
        """A decision was made at `mid`, quote currency."""
        detector = self._detector
        if detector is None:
            return
        before = detector.condition
        if detector.see(mid):
            self._profile = _place(detector.condition)
            figures = {"volatility_ratio": detector.ratio, "trend": detector.trend}
            self._note("condition", {"from": before, "to": detector.condition, **figures})

    def shrink(self, used_gb: float) -> None:
        """Memory is short: halve the minibatches."""
        self._halvings += 1
        self._note("memory_shrink", {"used_gb": used_gb, "halvings": self._halvings})

    def pause(self, used_gb: float) -> None:
        """Memory is shorter: learn no more for now."""
        self.paused = True
        self._note("memory_pause", {"used_gb": used_gb})

    def resume(self, used_gb: float) -> None:
        """There is room again."""
        self.paused = False
        self._note("memory_resume", {"used_gb": used_gb})


def _place(profile: str | None) -> int:
    return 0 if profile is None else 1 + PROFILES.index(Regime(profile))
