"""How a learner's window hears of the market: in step with it, or, in a process, when a transition comes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ztb.learning.recent import RecentRollouts
from ztb.market.ticks import Ticks, join_ticks
from ztb.runtime.repetition.learner_record import LearnerRecord


class Hearing(Protocol):
    """What is told as to a learner; `follow`: a transition comes, completed by a decision."""

    def ticks(self, ticks: Ticks, view: NDArray[np.void]) -> None: ...

    def decided(self, decision: int, features: NDArray[np.float32], tainted: bool) -> None: ...

    def follow(self, decision: int) -> None: ...


class InStep:
    """As `InlineLearning` tells its window. `piece`: decisions after which the gate has it cut."""

    def __init__(self, recent: RecentRollouts, piece: int) -> None:
        self._recent = recent
        self._piece = piece

    def ticks(self, ticks: Ticks, view: NDArray[np.void]) -> None:
        """See `Hearing`."""
        self._recent.window.add(ticks, view)

    def decided(self, decision: int, features: NDArray[np.float32], tainted: bool) -> None:
        """See `Hearing`."""
        self._recent.window.decide(features, tainted)

    def follow(self, decision: int) -> None:
        """See `Hearing`."""
        if decision % self._piece == 0:
            self._recent.advance()


@dataclass(frozen=True, slots=True)
class _Moment:
    """A decision and the ticks before it; `view`: the market before those, where a window begins with it."""

    decision: int
    ticks: Ticks
    view: NDArray[np.void] | None
    features: NDArray[np.float32]
    tainted: bool


class ThroughMemory:
    """As `FeedWriter` and `FeedReader` between them tell the window of a learner in a process."""

    def __init__(self, recent: RecentRollouts, piece: int, record: LearnerRecord) -> None:
        self._recent = recent
        self._piece = piece
        self._unheard = record.unheard
        self._skips = deque(record.skips)
        self._rows = 0
        self._since: list[Ticks] = []
        self._view: NDArray[np.void] | None = None
        self._follows = False
        self._moments: deque[_Moment] = deque()
        self._told: int | None = None

    def ticks(self, ticks: Ticks, view: NDArray[np.void]) -> None:
        """See `Hearing`."""
        while self._skips and self._skips[0] <= self._rows:
            self._skips.popleft()
            self._follows = False
        if not self._follows:
            self._since, self._view = [], view.copy()
        self._since.append(join_ticks([ticks]))
        self._rows += len(ticks)

    def decided(self, decision: int, features: NDArray[np.float32], tainted: bool) -> None:
        """See `Hearing`."""
        self._follows = decision not in self._unheard
        if self._follows:
            ticks = join_ticks(self._since)
            self._moments.append(_Moment(decision, ticks, self._view, features.copy(), tainted))
            self._since, self._view = [], None

    def follow(self, decision: int) -> None:
        """See `Hearing`."""
        window = self._recent.window
        while self._moments and self._moments[0].decision <= decision:
            moment = self._moments.popleft()
            if moment.view is not None:
                window.restart()
            window.add(moment.ticks, window.start.view if moment.view is None else moment.view)
            window.decide(moment.features, moment.tainted)
            self._told = moment.decision
        if self._told is not None and self._told % self._piece == 0:
            self._recent.advance()
