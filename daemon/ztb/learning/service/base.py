"""The learner as the engine sees it, and the base of both ways of learning."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from ztb.learning.benchmarks import BenchmarkTracker
from ztb.learning.online import LearnerCounts
from ztb.learning.service.hyperparameter_schedule import HyperparameterSchedule
from ztb.learning.service.promotion import Promotion
from ztb.market.ticks import Ticks
from ztb.trading.course import UNALARMED, Lookout
from ztb.trading.decided import Decided

BY_HAND, NOT_HELPING, NEAR_A_LIMIT = "by_hand", "not_helping", "near_a_limit"
"""Why learning rests: somebody wants it to, it is clear that it hurts, a limit on losses is near or reached."""


class Learning:
    """The calls that the engine makes to a learner; the base class does not learn."""

    generation = 0
    updates = 0
    relief: LearnerBase | None = None
    """The part that can make the learner need less memory."""
    process_ids: tuple[int, ...] = ()
    """Processes that learn for this one."""
    waiting = 0
    """Transitions that wait for an update."""
    dropped = 0
    """Transitions that never reached the learner, for want of room."""
    doing = ""
    """Occupation of a learner in a process of its own, in a word."""
    left_out = LearnerCounts()
    """Counts of what the learner left out of training."""
    paused = False
    """True while learning rests for want of memory."""
    freezes: frozenset[str] = frozenset()
    """Why learning is told to rest; what serves goes on serving."""

    @property
    def frozen(self) -> bool:
        """True if learning is told to rest."""
        return bool(self.freezes)

    hears = False
    """True if it is told of ticks and decisions."""

    def patience(self, decision: int, rows: int) -> int:
        """Number of decisions, from number `decision` on, of which nothing can come but of the last: it may hear of
        them when that is made. With the ticks, `rows` at most.
        """
        return sys.maxsize

    @property
    def lookout(self) -> Lookout:
        """Ends a stretch after a decision of which an alarm comes."""
        return UNALARMED

    def freeze(self, why: str, frozen: bool) -> None:
        """Let learning rest because of `why`, or no longer because of that."""

    def begin(self, ts_ns: int, origin: str) -> None:
        """Before the first decision: `origin` says where generation 0 came from."""

    async def run(self) -> None:
        """A task beside the engine's, for what cannot wait for the next decision; ends after `finish`."""

    def ticks(self, ticks: Ticks, view: NDArray[np.void]) -> None:
        """Rows (n,) are about to happen; `view` (1,) is the market before them. Copy what is to be kept."""

    def followed(
        self, ticks: Ticks, ends: NDArray[np.int64], features: NDArray[np.float32], tainted: NDArray[np.bool_]
    ) -> None:
        """As `ticks` and `decided` by turns: rows (n,) have happened, and K decisions, each after so many of them.

        `features` (K, F), `tainted` (K,).
        """

    def decided(self, decision: int, features: NDArray[np.float32], tainted: bool) -> None:
        """Decision number `decision` was made after the last of the ticks, on normalised `features` (F,).

        `tainted`: the ticks since the decision before are not to be trained on.
        """

    def completed(
        self, before: Decided, generation: int, reward: float, tainted: bool, after: Decided
    ) -> None:
        """The decision `before` is complete: it earned `reward` by the time of `after`."""

    def heed(self, helping: BenchmarkTracker) -> None:
        """Take in whether it has helped so far, after each decision."""

    async def settle(self) -> None:
        """Called between segments: wait where the background cannot keep up."""

    async def finish(self) -> None:
        """The ticks have ended: take what the learner still owes, within bounds, and let it end."""

    def close(self) -> None:
        """Leave nothing behind, whatever happened. May be called again."""


class LearnerBase(Learning):
    """Learning whose generations `promotion` carries out, guided by `guide`; told to, it freezes itself when it is
    clear that it hurts.
    """

    def __init__(self, promotion: Promotion, guide: HyperparameterSchedule) -> None:
        self.promotion = promotion
        self._guide = guide

    hears = True

    def patience(self, decision: int, rows: int) -> int:
        """See `Learning`."""
        return 0

    @property
    def paused(self) -> bool:  # type: ignore[override]
        """See `Learning`."""
        return self._guide.paused

    @property
    def relief(self) -> LearnerBase:  # type: ignore[override]
        """See `Learning`. No attribute: what refers to itself would keep its process's pipes until it is collected."""
        return self

    def shrink(self, used_gb: float) -> None:
        """See `guards.Relief`."""
        self._guide.shrink(used_gb)

    def pause(self, used_gb: float) -> None:
        """See `guards.Relief`."""
        self._guide.pause(used_gb)
        self.checkpoint()

    def resume(self, used_gb: float) -> None:
        """See `guards.Relief`."""
        self._guide.resume(used_gb)

    def checkpoint(self) -> None:
        """Save what was learnt since the last candidate."""

    @property
    def freezes(self) -> frozenset[str]:  # type: ignore[override]
        """See `Learning`; a freeze lets no promotion through either (`Promotion.conclude`)."""
        return self.promotion.freezes

    def freeze(self, why: str, frozen: bool) -> None:
        """See `Learning`."""
        if frozen is not (why in self.promotion.freezes):
            self.promotion.freezes ^= {why}

    @property
    def generation(self) -> int:  # type: ignore[override]
        return self.promotion.policy.info.number

    def heed(self, helping: BenchmarkTracker) -> None:
        """See `Learning`."""
        if not self.promotion.stop_if_not_helping or self.frozen or helping.answer != "hurts":
            return
        self.freeze(NOT_HELPING, True)
        self.promotion.note("learning_frozen", {"reason": NOT_HELPING, **helping.learning.facts()})
