"""Learns again what a start's learner learnt, in step with the repetition, and holds it against the journal.

A learner's window hears of the market in step with it or, in a process, when a transition comes; so does this one.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from ztb.config import recorded_config
from ztb.learning.generations import ServedPolicy
from ztb.learning.online import Dropped, Updated, transition_of, update_row
from ztb.learning.recent import RecentRollouts
from ztb.learning.regime import ScheduledOptions, guided
from ztb.learning.service.initial_policy import InitialPolicy
from ztb.ledger.records import UpdateRow
from ztb.market.ticks import Ticks, join_ticks
from ztb.runtime.build.context import RunContext
from ztb.runtime.build.learning_setup import guide_of, learner_settings, online_learner, recent_rollouts
from ztb.runtime.verify.record import LearnerRecord, RecordedStart, learner_record
from ztb.runtime.verify.swaps import KeptSwaps, RecordedGenerations, Relearnt
from ztb.trading.decided import Decided
from ztb.trading.policy.weights import Weights, weights_sha256


class WindowFeed(Protocol):
    """The ticks and decisions told as to a learner; `follow`: a transition comes, completed by a decision."""

    def ticks(self, ticks: Ticks, view: NDArray[np.void]) -> None: ...

    def decided(self, decision: int, features: NDArray[np.float32], tainted: bool) -> None: ...

    def follow(self, decision: int) -> None: ...


class InStep:
    """As `InlineLearning` tells its window. `piece`: decisions after which the gate has it cut."""

    def __init__(self, recent: RecentRollouts, piece: int) -> None:
        self._recent = recent
        self._piece = piece

    def ticks(self, ticks: Ticks, view: NDArray[np.void]) -> None:
        """See `WindowFeed`."""
        self._recent.window.add(ticks, view)

    def decided(self, decision: int, features: NDArray[np.float32], tainted: bool) -> None:
        """See `WindowFeed`."""
        self._recent.window.decide(features, tainted)

    def follow(self, decision: int) -> None:
        """See `WindowFeed`."""
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
        """See `WindowFeed`."""
        while self._skips and self._skips[0] <= self._rows:
            self._skips.popleft()
            self._follows = False
        if not self._follows:
            self._since, self._view = [], view.copy()
        self._since.append(join_ticks([ticks]))
        self._rows += len(ticks)

    def decided(self, decision: int, features: NDArray[np.float32], tainted: bool) -> None:
        """See `WindowFeed`."""
        self._follows = decision not in self._unheard
        if self._follows:
            ticks = join_ticks(self._since)
            self._moments.append(
                _Moment(
                    decision=decision, ticks=ticks, view=self._view, features=features.copy(), tainted=tainted
                )
            )
            self._since, self._view = [], None

    def follow(self, decision: int) -> None:
        """See `WindowFeed`."""
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


_State: TypeAlias = tuple[Weights, Mapping[str, Any] | None]


class Relearning(KeptSwaps):
    """A learner told again what it was told then, beside what served, which is swapped in as recorded."""

    def __init__(
        self,
        start: RecordedStart,
        kept: RecordedGenerations,
        context: RunContext,
        policy: ServedPolicy,
        origin: InitialPolicy,
        schema_hash: str,
    ) -> None:
        super().__init__(start, kept, policy)
        config = recorded_config(start.made_of, f"start {start.number}")
        assembly, past = replace(context.assembly, config=config), context.past
        settings = learner_settings(assembly, policy.shape, schema_hash)
        recent = recent_rollouts(assembly, settings)
        self._record = record = learner_record(start)
        self._learner = online_learner(
            assembly=assembly,
            settings=settings,
            origin=origin,
            recent=recent,
            made=past.updates if past else 0,
        )
        self._options = (settings.ppo, *settings.profiles)
        self._guide = guide_of(config.online.profile, lambda _kind, _detail: None)
        piece = config.gate.piece_decisions
        self._hearing: WindowFeed = (
            InStep(recent, piece) if record.inline else ThroughMemory(recent, piece, record)
        )
        self._last: int | None = None
        self._generations = {made.update: made.row.generation for made in record.made if not made.kept}
        first = self._learner.updater.state() if record.inline else origin.updater_state
        self._states: dict[int, _State] = {self.generation: (origin.weights, first)}
        self._again: dict[int, UpdateRow] = {}
        self._candidates: dict[int, str] = {}
        self._weights: dict[int, set[str]] = defaultdict(
            set
        )  # after each update; and after going back, if it did
        self._digest()

    def ticks(self, ticks: Ticks, view: NDArray[np.void]) -> None:
        """See `Learning`."""
        self._hearing.ticks(ticks, view)

    def decided(self, decision: int, features: NDArray[np.float32], tainted: bool) -> None:
        """See `Learning`."""
        super().decided(decision, features, tainted)
        self._hearing.decided(decision, features, tainted)

    def completed(
        self, before: Decided, generation: int, reward: float, tainted: bool, after: Decided
    ) -> None:
        """See `Learning`."""
        decision, learner = after.decision, self._learner
        self._guide.see(after.mid)
        if not self._reaches(decision):
            return
        guidance = ScheduledOptions(self._guide.guidance.profile, self._record.halvings[decision])
        learner.updater.reconfigure(guided(self._options, guidance))
        transition = transition_of(before, generation, reward, tainted)
        value = float(after.action.value or 0.0)
        drop = learner.updates + 1 in self._record.dropped
        done = learner.add(transition, value, self._record.serving[decision], drop)
        if isinstance(done, Dropped):
            self._digest()
        elif done is not None:
            self._take(done, after)

    def _reaches(self, decision: int) -> bool:
        """True if the learner gets the transition, with all that it hears before it."""
        learnt = decision not in self._record.unlearnt
        if self._record.inline:
            self._go_back(decision)
            self._hearing.follow(decision)
            if not learnt:
                self._learner.interrupt()
        elif learnt:
            if self._last is not None and decision != self._last + 1:
                self._learner.interrupt()
            self._last = decision
            self._go_back(decision)
            self._hearing.follow(decision)
        return learnt

    def _go_back(self, decision: int) -> None:
        generation = self._record.set_backs.get(decision)
        if generation is not None:
            state = self._states.get(generation) or self._kept.state(generation)
            if decision in self._record.anew:
                self._learner.begin_anew(state[0])
            else:
                self._learner.set_back(*state)
            self._digest()

    def _take(self, updated: Updated, after: Decided) -> None:
        self._again[updated.update] = update_row(
            update=updated.update,
            ts_ns=after.ts_ns,
            decisions=after.decision,
            stats=updated.stats,
            mean_reward=updated.mean_reward,
        )
        self._digest()
        if updated.candidate is None:
            return
        self._candidates[updated.update] = weights_sha256(updated.candidate)
        generation = self._generations.get(updated.update)
        if generation in self._record.targets:
            self._states[generation] = updated.candidate, self._learner.updater.state()

    def _digest(self) -> None:
        self._weights[self._learner.updates].add(weights_sha256(self._learner.updater.weights()))

    def relearnt(self) -> Relearnt:
        """A comparison of what was made now with what was made then. DataError: what was kept is not what was made."""
        present = self._kept.present()
        for same, made in enumerate(self._record.made):
            now = self._weights[made.update] if made.kept else {self._candidates.get(made.update, "")}
            if made.update > self._learner.updates:
                return Relearnt(same, self._same_updates, unmade=made.name)
            if made.row.weights_sha256 not in now:
                said = f"weights {made.row.weights_sha256} then, {', '.join(now) or 'none'} now"
                return Relearnt(same, self._same_updates, f"{made.name}: {said}")
            if made.row.generation in present:
                self._kept.generation(made.row.generation)
        return self._compare_updates()

    @property
    def _same_updates(self) -> int:
        return sum(self._same(row) for row in self._record.updates)

    def _same(self, row: UpdateRow) -> bool:
        """But for the moment, which is that of the report where the learner has a process of its own."""
        again = self._again.get(row.number)
        return again is not None and msgspec.structs.replace(again, ts_ns=row.ts_ns) == row

    def _compare_updates(self) -> Relearnt:
        """Their statistics, whether a candidate came of them or not."""
        generations = len(self._record.made)
        for row in self._record.updates:
            if row.number > self._learner.updates:
                return Relearnt(generations, self._same_updates, unmade=f"update {row.number}")
            if not self._same(row):
                return Relearnt(generations, self._same_updates, f"update {row.number}: its statistics")
        return Relearnt(generations, self._same_updates)
