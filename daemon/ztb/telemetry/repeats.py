"""Keeps a storm of the same line from drowning the others."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(slots=True)
class _Window:
    since_s: float
    seen: int = 0


class RepeatLimit:
    """Lets `allowed` lines of a kind through in each window of `window_s`; says afterwards how many it left out.

    Remembers `kinds` kinds; of more, the one that began longest ago is forgotten (and its count told).
    """

    def __init__(self, allowed: int = 10, window_s: float = 10.0, kinds: int = 512) -> None:
        self._allowed = allowed
        self._window_s = window_s
        self._kinds = kinds
        self._windows: OrderedDict[Hashable, _Window] = OrderedDict()

    def admit(self, kind: Hashable, now_s: float) -> bool:
        """Whether a line of `kind` may be written now. Call `left_out` before."""
        window = self._windows.setdefault(kind, _Window(now_s))
        window.seen += 1
        return window.seen <= self._allowed

    def left_out(self, now_s: float) -> list[tuple[Hashable, int]]:
        """Kinds whose window has ended, with the number of lines left out in it."""
        ended: list[tuple[Hashable, int]] = []
        while self._windows:
            kind, window = next(iter(self._windows.items()))
            if now_s - window.since_s < self._window_s and len(self._windows) <= self._kinds:
                break
            del self._windows[kind]
            if window.seen > self._allowed:
                ended.append((kind, window.seen - self._allowed))
        return ended
