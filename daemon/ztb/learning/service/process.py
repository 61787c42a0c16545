"""Learning in a process of its own: the daemon's way. Trading never waits for it; a replay may, to let it follow."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.learning.gate.candidate import Candidate
from ztb.learning.online import LearnerCounts, transition_of
from ztb.learning.process.messages import NEVER, Completed, LearnerReport
from ztb.learning.process.supervisor import Event, LearnerProcess
from ztb.learning.service.base import LearnerBase
from ztb.learning.service.hyperparameter_schedule import HyperparameterSchedule
from ztb.learning.service.promotion import Promotion
from ztb.market.ticks import Ticks
from ztb.trading.decided import Decided

_GIVE_WAY_S = 0.002
_STOP_S = 5.0  # for the learner to end by itself
SET_BACK = "learner_set_back"
"""Kind of the note that says from which transition on the learner had gone back to what serves in an era."""
_LOST = ("learner_died", "learner_hung")
_ALARMING = (*_LOST, "learner_not_started")
_FAILURES = 3  # in a row, after which a replay does not wait for the learner any more


def _said(event: Event) -> str:
    """An event in the learner's life, in words."""
    told = event.detail
    again = f"it is started again in {told['restart_in_s']:g} s; trading goes on with what serves"
    match event.kind:
        case "learner_hung":
            return f"the learner showed no sign of life while {told['doing']}, and was ended: {again}"
        case "learner_died":
            return f"the learner died (exit {told['exit']}: {told['said']}): {again}"
        case _:
            return f"the learner cannot be started ({told['why']}): {again}"


@dataclass(frozen=True, slots=True)
class Pace:
    """A replay is faster than any learner: it waits while `most_waiting` transitions or more wait to be learnt
    from, and at its end at most `drain_s` seconds for the rest. A live run has no pace.
    """

    most_waiting: int
    drain_s: float = 60.0


class ProcessLearning(LearnerBase):
    """Hands transitions to the learner process, and takes reports, candidates and verdicts when they are there.

    Everything is polled: after each decision, and every `watch_every_s` by the task `run` in between, both on the
    event loop and so between two decisions. The gate runs where the learner does. What happens to the learner is
    journaled as notes; trading goes on with the generation that serves.
    """

    def __init__(
        self,
        promotion: Promotion,
        process: LearnerProcess,
        least_waiting: int,
        watch_every_s: float,
        clock: Callable[[], float],
        pace: Pace | None,
        guide: HyperparameterSchedule | None = None,
        updater_state: dict[str, Any] | None = None,
        updates: int = 0,
    ) -> None:
        """`least_waiting`: transitions that make an update; fewer wait for the next for ever. `updater_state`: what
        the learner starts from, after so many `updates`; None: the learner makes that itself.
        """
        self.updates = updates
        self._updater_state = updater_state
        self.process = process
        super().__init__(promotion, guide or HyperparameterSchedule(promotion.note))
        self._least_waiting = least_waiting
        self._watch_every_s = watch_every_s
        self._clock = clock
        self._pace = pace
        self._now_ns = 0
        self._watch_at = 0.0
        self._finished = False

    def begin(self, ts_ns: int, origin: str) -> None:
        """See `Learning`."""
        self._now_ns = ts_ns
        self.promotion.begin(ts_ns, origin, self._updater_state, self.process)
        self._watch()

    def ticks(self, ticks: Ticks, view: NDArray[np.void]) -> None:
        """See `Learning`; what finds no room is dropped and counted."""
        if self.process.feed is not None:
            self.process.feed.ticks(ticks, view)

    def decided(self, decision: int, features: NDArray[np.float32], tainted: bool) -> None:
        """See `Learning`."""
        if self.process.feed is not None:
            self.process.feed.decided(decision, features, tainted)

    def completed(
        self, before: Decided, generation: int, reward: float, tainted: bool, after: Decided
    ) -> None:
        """See `Learning`; never waits. An update or a candidate of earlier may have arrived."""
        self.promotion.follow(after, reward)
        self._guide.see(after.mid)
        if self.frozen:
            return
        transition = transition_of(before, generation, reward, tainted)
        value = float(after.action.value or 0.0)
        if not self._guide.paused:
            self.process.push(
                Completed(
                    transition=transition,
                    next_value=value,
                    serving=self.generation,
                    decision=after.decision,
                    ts_ns=after.ts_ns,
                    guidance=self._guide.guidance,
                )
            )
        self._now_ns = after.ts_ns
        self._poll()

    @property
    def process_ids(self) -> tuple[int, ...]:  # type: ignore[override]
        return () if self.process.pid is None else (self.process.pid,)

    @property
    def waiting(self) -> int:  # type: ignore[override]
        return self.process.waiting

    @property
    def doing(self) -> str:  # type: ignore[override]
        return self.process.doing

    @property
    def dropped(self) -> int:  # type: ignore[override]
        return self.process.counts.dropped

    @property
    def left_out(self) -> LearnerCounts:  # type: ignore[override]
        return self.process.left_out

    def checkpoint(self) -> None:
        """The learner's last state is kept as a generation, without a trial."""
        state = self.process.state()
        if state["updater"] is not None:
            self.promotion.keep(state["updater"]["weights"], state["updates"], state["updater"])

    async def run(self) -> None:
        """Look after the process until the end; see the class."""
        while not self._finished:
            self._poll()
            await asyncio.sleep(self._watch_every_s)

    async def settle(self) -> None:
        """In a replay, wait for a learner that is behind, unless it only ever fails; else for nothing but the disk."""
        await self.promotion.store.settle()
        if self._pace is not None:
            most = self._pace.most_waiting
            await self._until(lambda: self.process.waiting < most, math.inf)

    async def finish(self) -> None:
        """Take what the learner still owes where there is a pace, and let it end; both within bounds."""
        if self._pace is not None:
            await self._until(self._drained, self._pace.drain_s)
        await self._until(self.process.ask_to_stop, _STOP_S)
        self.close()

    def close(self) -> None:
        """End the learner at once; nothing of it is left."""
        self._finished = True
        self.process.close()

    def _drained(self) -> bool:
        if self.process.waiting >= self._least_waiting:
            return False
        self._poll()  # a report comes before its transitions are given back: there will be no other
        return True

    async def _until(self, done: Callable[[], bool], most_s: float) -> None:
        """Poll until `done`, for `most_s` seconds, or until the learner has failed too often to be waited for."""
        self._poll()
        deadline = self._clock() + most_s
        while not done() and self.process.counts.failures < _FAILURES and self._clock() < deadline:
            await asyncio.sleep(_GIVE_WAY_S)
            self._poll()

    def _poll(self) -> None:
        """Everything that may have happened since the last time. Never waits."""
        now = self._clock()
        if now >= self._watch_at:
            self._watch_at = now + self._watch_every_s
            self._watch()
        verdicts = list(self.process.verdicts())  # before the reports, which were sent before them
        for report in self.process.reports():
            self._take(report)
        for verdict in verdicts:
            self.promotion.conclude(verdict)

    def _watch(self) -> None:
        for event in self.process.watch():
            self.promotion.note(event.kind, event.detail)
            if event.kind in _ALARMING:
                self.promotion.alert(event.kind, _said(event))
            if event.kind in _LOST:
                self.promotion.lost()

    def _take(self, report: LearnerReport) -> None:
        self.updates = report.update
        if report.set_back != NEVER:
            self.promotion.note(SET_BACK, {"before_decision": report.set_back, "era": report.era})
        if report.dropped is not None:
            self.promotion.dropped(report.dropped, report.decision, report.era)
        if report.stats is not None:
            self.promotion.record(
                update=report.update,
                ts_ns=self._now_ns,
                decisions=report.decision,
                stats=report.stats,
                mean_reward=report.mean_reward,
            )
        if report.candidate == 0:
            return
        state = self.process.candidate(report.candidate)
        if state is None:
            self.promotion.note("candidate_superseded", {"update": report.update})
            return
        updater = state["updater"]
        self.promotion.made(
            Candidate(
                number=report.update,
                weights=updater["weights"],
                trained_to=report.decision,
                trained_to_ns=report.ts_ns,
                mean_reward=report.mean_reward,
                updater_state=updater,
                era=state["era"],
            )
        )
