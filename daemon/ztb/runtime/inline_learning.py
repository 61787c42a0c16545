"""Learning in step with the ticks: reproducible, the default of replay."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.learning.guidance import guided
from ztb.learning.online import OnlineLearner
from ztb.market.ticks import Ticks
from ztb.runtime.engine import Learning
from ztb.runtime.guide import Guide
from ztb.runtime.promotion import Candidate, Promotion, transition_of
from ztb.trading.lane import Decided
from ztb.trading.ppo.config import PPOConfig


class InlineLearning(Learning):
    """Feeds the learner and lets its candidates be judged, all between two decisions."""

    def __init__(
        self, promotion: Promotion, learner: OnlineLearner, guide: Guide, options: tuple[PPOConfig, ...]
    ) -> None:
        """`options`: what the guide chooses from."""
        self.guide = self._guide = guide
        guide.checkpoint = self._checkpoint
        self._promotion = promotion
        self._learner = learner
        self._options = options
        self._now_ns = 0

    @property
    def generation(self) -> int:  # type: ignore[override]
        return self._promotion.policy.info.number

    @property
    def updates(self) -> int:  # type: ignore[override]
        return self._learner.updates

    def begin(self, ts_ns: int, origin: str) -> None:
        """See `Learning`."""
        self._promotion.begin(ts_ns, origin, self._learner.updater.state())

    def ticks(self, ticks: Ticks, view: NDArray[np.void]) -> None:
        """See `Learning`."""
        if self._learner.recent is not None:
            self._learner.recent.window.add(ticks, view)

    def decided(self, decision: int, features: NDArray[np.float32], tainted: bool) -> None:
        """See `Learning`."""
        if self._learner.recent is not None:
            self._learner.recent.window.decide(features, tainted)

    def completed(
        self, before: Decided, generation: int, reward: float, tainted: bool, after: Decided
    ) -> None:
        """See `Learning`; an update, and with it a new generation, may come of it."""
        promotion = self._promotion
        promotion.remember(before.observation)
        self._now_ns = after.ts_ns
        self._guide.see(after.ts_ns, after.decision, after.mid)
        if self._guide.paused:
            self._learner.interrupt()
            return
        self._learner.updater.reconfigure(guided(self._options, self._guide.guidance))
        transition = transition_of(before, generation, reward, tainted)
        updated = self._learner.add(transition, float(after.action.value or 0.0), self.generation)
        if updated is None:
            return
        promotion.record(updated.update, after.ts_ns, after.decision, updated.stats, updated.mean_reward)
        if updated.candidate is not None:
            state = self._learner.updater.state()
            candidate = Candidate(updated.candidate, updated.update, updated.mean_reward, state)
            trial = promotion.trial(candidate)
            trial.advance(trial.remaining)
            promotion.conclude(candidate, trial, after.ts_ns)

    def _checkpoint(self) -> None:
        """What was learnt since the last generation is kept, without a trial."""
        updater = self._learner.updater
        self._promotion.keep(updater.weights(), self.updates, updater.state(), self._now_ns)

    async def settle(self) -> None:
        """Wait while more generations wait to be saved than the store holds."""
        await self._promotion.store.settle()
