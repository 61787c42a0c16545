"""Learning in step with the ticks: reproducible, the default of replay."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from ztb.learning.candidate_evaluation import CandidateEvaluation
from ztb.learning.gate.candidate import Candidate, Verdict
from ztb.learning.online import Dropped, LearnerCounts, OnlineLearner, Restart, Updated, transition_of
from ztb.learning.regime import guided
from ztb.learning.service.base import LearnerBase
from ztb.learning.service.hyperparameter_schedule import HyperparameterSchedule
from ztb.learning.service.promotion import Promotion
from ztb.market.ticks import Ticks
from ztb.trading.course import Lookout
from ztb.trading.decided import Decided
from ztb.trading.ppo.config import PPOOptions


class InlineLearning(LearnerBase):
    """Feeds the learner and lets its candidates be judged, all between two decisions."""

    def __init__(
        self,
        promotion: Promotion,
        learner: OnlineLearner,
        contest: CandidateEvaluation,
        guide: HyperparameterSchedule,
        options: tuple[PPOOptions, ...],
    ) -> None:
        """`options`: what the guide chooses from."""
        self._options = options
        super().__init__(promotion, guide)
        self._learner = learner
        self._contest = contest
        self._verdicts: deque[Verdict] = deque()
        self._era = 0

    @property
    def updates(self) -> int:  # type: ignore[override]
        return self._learner.updates

    @property
    def waiting(self) -> int:  # type: ignore[override]
        return self._learner.waiting

    @property
    def left_out(self) -> LearnerCounts:  # type: ignore[override]
        return self._learner.counts

    def begin(self, ts_ns: int, origin: str) -> None:
        """See `Learning`."""
        self.promotion.begin(ts_ns, origin, self._learner.updater.state(), self)

    def ticks(self, ticks: Ticks, view: NDArray[np.void]) -> None:
        """See `Learning`."""
        if self._learner.recent is not None:
            self._learner.recent.window.add(ticks, view)

    def patience(self, decision: int, rows: int) -> int:
        """See `Learning`: until the next update, the next look of the gate, or what may come at any decision."""
        recent, promotion = self._learner.recent, self.promotion
        if recent is not None and not recent.window.has_room(rows):
            return 0
        if self._contest.has_pieces or self._guide.detects or promotion.stop_if_not_helping:
            return 1
        return min(self._learner.patience, self._contest.patience(decision))

    @property
    def lookout(self) -> Lookout:
        """See `Learning`."""
        return self.promotion.alarms.lookout

    def followed(
        self, ticks: Ticks, ends: NDArray[np.int64], features: NDArray[np.float32], tainted: NDArray[np.bool_]
    ) -> None:
        """See `Learning`."""
        if self._learner.recent is not None:
            self._learner.recent.window.follow(ticks, ends, features, tainted)

    def decided(self, decision: int, features: NDArray[np.float32], tainted: bool) -> None:
        """See `Learning`."""
        if self._learner.recent is not None:
            self._learner.recent.window.decide(features, tainted)

    def completed(
        self, before: Decided, generation: int, reward: float, tainted: bool, after: Decided
    ) -> None:
        """See `Learning`; an update, a candidate, a verdict, an alarm may come of it."""
        self.promotion.follow(after, reward)
        judge = self._contest.rest if self.frozen else self._contest.follow
        self._carry_out(judge(after.decision))
        self._guide.see(after.mid)
        if self.frozen or self._guide.paused:
            self._learner.interrupt()
            return
        self._learner.updater.reconfigure(guided(self._options, self._guide.guidance))
        transition = transition_of(before, generation, reward, tainted)
        done = self._learner.add(transition, float(after.action.value or 0.0), self.generation)
        if isinstance(done, Dropped):
            self.promotion.dropped(done, after.decision, self._era)
            self._carry_out([])
        elif done is not None:
            self._take(done, after)

    def _take(self, updated: Updated, after: Decided) -> None:
        promotion = self.promotion
        promotion.record(
            update=updated.update,
            ts_ns=after.ts_ns,
            decisions=after.decision,
            stats=updated.stats,
            mean_reward=updated.mean_reward,
        )
        if updated.candidate is None:
            return
        candidate = Candidate(
            number=updated.update,
            weights=updated.candidate,
            trained_to=after.decision,
            trained_to_ns=after.ts_ns,
            mean_reward=updated.mean_reward,
            updater_state=self._learner.updater.state(),
            era=self._era,
        )
        if promotion.made(candidate):
            self._carry_out(self._contest.submit(candidate))

    def _carry_out(self, verdicts: list[Verdict]) -> None:
        """Verdicts, and those that come of a promotion: who tests against another incumbent has to go."""
        self._verdicts.extend(verdicts)
        while self._verdicts:
            self.promotion.conclude(self._verdicts.popleft())

    def serve(self, serving: Candidate, restart: Restart) -> None:
        """See `ToldWhoServes`."""
        self._era = serving.era
        self._learner.restart(restart, serving.weights, serving.updater_state)
        self._verdicts.extend(self._contest.serve(serving, restart))

    def checkpoint(self) -> None:
        """Keep what was learnt since the last generation, without a trial."""
        updater = self._learner.updater
        self.promotion.keep(updater.weights(), self.updates, updater.state())

    async def settle(self) -> None:
        """Wait while more generations wait to be saved than the store holds."""
        await self.promotion.store.settle()
