"""Promotion of the learner's work, wherever it runs: updates journaled, verdicts carried out, generations swapped.

The same for a learner in step with the ticks and for one in a process of its own. What is swapped in is checked
again here, alarms are watched for after every decision, and what has been quarantined never serves.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from ztb.errors import InvariantError, UsageError
from ztb.learning.alarms import Alarms, Expectation
from ztb.learning.gate.candidate import SUPERSEDED, Candidate, Verdict, fault
from ztb.learning.generations import GenerationInfo, Lineage, ServedPolicy
from ztb.learning.online import Dropped, Restart, update_row
from ztb.learning.service.generation_store import PROMOTED, TESTING, GenerationStore
from ztb.ledger.journal import Journal
from ztb.ledger.records import GenerationRow, NoteRow, detail_text
from ztb.trading.decided import Decided
from ztb.trading.policy.network import weight_shapes
from ztb.trading.policy.weights import Weights
from ztb.trading.ppo.finite import unsound
from ztb.trading.ppo.rollout import UpdateStats


@dataclass(frozen=True, slots=True)
class DecisionPoint:
    """A moment of the run: event time, and the number of the last decision."""

    ts_ns: int
    decision: int


class _Made(NamedTuple):
    """A generation, and the candidate that it is of."""

    info: GenerationInfo
    candidate: Candidate


UPDATE_DROPPED, MADE_ANEW = "update_dropped", "learner_made_anew"
"""Kinds of the notes that an update was dropped since something was not finite, and that the learner begins anew from
a generation, as of an era."""
FROZEN = "frozen"
"""Reason for which a candidate that passed is not promoted: learning was frozen by then."""
_LINE = 8
"""Generations that served, kept in memory to go back to; older ones are on disk."""


class ToldWhoServes(Protocol):
    """A learner, or the process that it is in."""

    def serve(self, serving: Candidate, restart: Restart) -> object:
        """Another generation serves from the next decision on; how the learner is to go on."""


class Promotion:
    """Carries out verdicts and alarms, swaps the policy, journals, and hands generations to the store.

    `alert` (key, text) hears what somebody should look at. While anything `freezes`, nobody is promoted but by hand.
    """

    def __init__(
        self,
        policy: ServedPolicy,
        lineage: Lineage,
        alarms: Alarms,
        journal: Journal,
        store: GenerationStore,
        extra_state: Callable[[], dict[str, Any]],
        alert: Callable[[str, str], None],
        stop_if_not_helping: bool = False,
    ) -> None:
        self.policy = policy
        self.stop_if_not_helping = stop_if_not_helping
        self.store = store
        self.freezes: frozenset[str] = frozenset()
        self.alert = alert
        self._learner: ToldWhoServes | None = None
        self._lineage = lineage
        self.alarms = alarms
        self._journal = journal
        self._extra_state = extra_state
        self._shapes = weight_shapes(policy.shape, policy.make)
        self._pending: dict[int, _Made] = {}
        self._line: list[_Made] = []
        self._trails = [policy.info.number]  # the newest generation of each era
        self._now = DecisionPoint(0, -1)

    @property
    def _era(self) -> int:
        return len(self._trails) - 1

    def begin(
        self,
        ts_ns: int,
        origin: str,
        updater_state: dict[str, Any] | None = None,
        learner: ToldWhoServes | None = None,
    ) -> None:
        """Journal and save generation 0, made before the first decision; `origin` says how. `learner` hears of others
        that come to serve.
        """
        self._learner = learner
        info = self.policy.info
        self._line = [
            _Made(info, Candidate(0, info.weights, trained_to_ns=ts_ns, updater_state=updater_state))
        ]
        self._now = DecisionPoint(ts_ns, -1)
        if self._lineage.resumed:
            return
        self._lineage.served.append(info.number)
        self._write(info.number, "made", {"origin": origin})
        self._write(info.number, "promoted", {"origin": origin})
        self._save(self._line[-1], {}, (PROMOTED,))

    def save_serving(self) -> None:
        """Save what serves once more, with all that goes with it as it is now: where a restart will begin.

        A repetition of a recorded session serves what that kept, began nothing of its own, and has nothing to save.
        """
        if self._line:
            self._save(self._line[-1], {}, (PROMOTED,))

    def record(self, update: int, ts_ns: int, decisions: int, stats: UpdateStats, mean_reward: float) -> None:
        """Journal an update."""
        self._journal.append(
            update_row(update=update, ts_ns=ts_ns, decisions=decisions, stats=stats, mean_reward=mean_reward)
        )

    def note(self, kind: str, detail: Mapping[str, Any]) -> None:
        """Journal something that happened to the learner."""
        told = detail_text({**detail, "decision": self._now.decision})
        self._journal.append(NoteRow(self._now.ts_ns, kind, told))

    def dropped(self, dropped: Dropped, decision: int, era: int) -> None:
        """The learner, in `era`, dropped the update that `decision` completed: say so, and make it anew if need be."""
        facts = {"update": dropped.update, "after_decision": decision, "why": dropped.why}
        self.note(UPDATE_DROPPED, facts)
        self.alert(UPDATE_DROPPED, f"update {dropped.update} was dropped: {dropped.why}")
        if dropped.astray and era == self._era:
            self._make_anew()

    def _make_anew(self) -> None:
        """The learner has gone wrong: it begins anew from what serves, which is good; who is in test gives way."""
        good = self._line[-1]
        for number in list(self._pending):
            self.conclude(Verdict(number, False, SUPERSEDED))
        self._trails.append(good.info.number)
        self.note(MADE_ANEW, {"generation": good.info.number, "era": self._era})
        self.alert(
            MADE_ANEW, f"the learner had gone wrong and begins anew from generation {good.info.number}"
        )
        self._tell(replace(good.candidate, era=self._era, updater_state=None), Restart.ANEW)

    def made(self, candidate: Candidate) -> bool:
        """A candidate has been made: number, journal and save it. Whether it may be tested at all.

        One that could never trade, since a weight or a moment of its optimiser is not finite, is not saved.
        """
        info = self._lineage.make(self._trails[candidate.era], candidate.weights)
        made = _Made(info, candidate)
        detail = {"update": candidate.number, "mean_reward": candidate.mean_reward, **_training(candidate)}
        self._write(info.number, "made", detail)
        self._pending[candidate.number] = made
        wrong = fault(info.weights, self._shapes) or (
            "non_finite" if unsound(candidate.updater_state) else ""
        )
        if wrong:
            self.conclude(Verdict(candidate.number, False, wrong))
            return False
        self._save(made, {"mean_reward": candidate.mean_reward}, (TESTING,))
        if self._lineage.barred(info):
            self._lineage.quarantined.add(info.number)
            self.conclude(Verdict(candidate.number, False, "quarantined"))
            return False
        self._trails[candidate.era] = info.number
        return True

    def conclude(self, verdict: Verdict) -> None:
        """Carry a verdict out: promote its candidate, or go on with the incumbent. One long dealt with is no news.

        A pass that comes while learning is frozen is dropped, not held: it says that the candidate is better than what
        serves now, which nobody knows any more when the freeze is over, when the market and perhaps who serves (by
        hand) are others. The learner, which is no less advanced for it, makes the next candidate.
        """
        made = self._pending.pop(verdict.number, None)
        if made is None:
            return
        info = made.info
        reason = verdict.reason
        if verdict.passed:
            reason = fault(info.weights, self._shapes) or (FROZEN if self.freezes else reason)
        detail = {
            "reason": reason,
            "against": self.policy.info.number,
            "after_decision": self._now.decision,
            **_training(made.candidate),
            **verdict.figures,
        }
        passed = verdict.passed and reason == verdict.reason
        self._write(info.number, "promoted" if passed else "rejected", detail)
        self.store.concluded(info.number, passed)
        if passed:
            self._lineage.promoted += 1
            self._serve(made, _expectation(verdict.figures), probation=True)
        else:
            self._lineage.rejected += 1

    def keep(self, weights: Weights, update: int, updater_state: dict[str, Any]) -> None:
        """Journal and save what was learnt up to `update` as a generation that nobody tests: memory runs short.

        Not where it is not finite: then there is nothing worth keeping.
        """
        wrong = unsound([weights, updater_state])
        if wrong:
            self.alert(
                "not_kept", f"what was learnt up to update {update} is not finite, and is not kept: {wrong}"
            )
            return
        info = self._lineage.make(self._trails[-1], weights)
        kept = Candidate(
            number=update,
            weights=weights,
            trained_to=self._now.decision,
            trained_to_ns=self._now.ts_ns,
            updater_state=updater_state,
        )
        self._write(info.number, "made", {"update": update, "kept": "memory", **_training(kept)})
        self._save(_Made(info, kept), {}, ())

    def lost(self) -> None:
        """The learner that tested them is gone: nobody will hear of the candidates in test again."""
        for number in list(self._pending):
            self.conclude(Verdict(number, False, "learner_lost"))

    def follow(self, decided: Decided, reward: float) -> None:
        """A decision was made, and the one before earned `reward`: look for alarms, and roll back if there is one.

        InvariantError: the policy's output is not finite, and there is no generation to go back to.
        """
        self._now = DecisionPoint(decided.ts_ns, decided.decision)
        action = decided.action
        alarm = self.alarms.follow(decided.equity, reward, action.logprob, action.value)
        if alarm is None:
            return
        bad = self.policy.info.number
        self.note("alarm", {"alarm": alarm.kind, "generation": bad, **alarm.figures})
        self.alert(f"alarm_{alarm.kind}", f"alarm {alarm.kind} on generation {bad}")
        target = self._last_good()
        if target is None:
            raise InvariantError(
                f"alarm {alarm.kind}: generation {bad} is the first, there is none to go back to"
            )
        self._roll_back(target, {"reason": alarm.kind, **alarm.figures})

    def promote(self, generation: int, origin: str) -> None:
        """Serve `generation` from the next decision on, gate or no gate, because `origin` says so.

        UsageError: there is no such generation, it serves already, or it is in quarantine.
        """
        made = self._find(generation)
        if generation == self.policy.info.number:
            raise UsageError(f"generation {generation} serves already")
        self._pending.pop(made.candidate.number, None)
        self._lineage.promoted += 1
        self._write(
            generation, "promoted", {"reason": "manual", "origin": origin, **_training(made.candidate)}
        )
        self.store.concluded(generation, promoted=True)
        # Once more: retention may be taking the file that was read just now.
        self._save(made, {}, (PROMOTED,))
        self._serve(made, None, probation=True)

    def rollback(self, generation: int | None, origin: str) -> int:
        """Serve `generation` (None: the one that served before) from the next decision on; its number.

        What serves now and all that descends from it go into quarantine, and the learner back to where
        `generation` was made. UsageError: there is none to go back to.
        """
        bad = self.policy.info.number
        target = self._last_good() if generation is None else self._find(generation)
        if target is None:
            raise UsageError(f"generation {bad} is the first that served, there is none to go back to")
        if target.info.number in self._lineage.descent(bad):
            raise UsageError(f"generation {target.info.number} serves now, or descends from what does")
        self._roll_back(target, {"reason": "manual", "origin": origin})
        return target.info.number

    def _roll_back(self, target: _Made, detail: Mapping[str, Any]) -> None:
        """Quarantine what serves with its descent, set the learner back, serve `target`."""
        bad = self.policy.info.number
        gone = self._lineage.quarantine(bad)
        self._lineage.rolled_back += 1
        told = {**detail, "to": target.info.number, "after_decision": self._now.decision}
        self._write(bad, "rolled_back", told)
        for number in sorted(gone - {bad}):
            self._write(number, "quarantined", {"reason": "descent", "of": bad})
        self._write(target.info.number, "restored", {"instead_of": bad})
        for number in list(self._pending):
            descends = self._pending[number].info.number in gone
            self.conclude(Verdict(number, False, "quarantined" if descends else SUPERSEDED))
        self._trails.append(target.info.number)
        self._serve(target, None, probation=False, restart=Restart.SET_BACK)

    def _last_good(self) -> _Made | None:
        """The last generation that served before the present one, at any start of the run, and is good and kept."""
        gone = self._lineage.descent(self.policy.info.number) | self._lineage.quarantined
        for number in reversed(self._lineage.served):
            if number not in gone:
                with contextlib.suppress(UsageError):
                    return self._find(number)
        return None

    def _serve(
        self,
        made: _Made,
        expectation: Expectation | None,
        probation: bool,
        restart: Restart = Restart.NONE,
    ) -> None:
        self.policy.swap(made.info)
        self._lineage.served.append(made.info.number)
        self._line = [*self._line[1 - _LINE :], made]
        self.alarms.begin(expectation, probation)
        kept = made.candidate.updater_state if restart is Restart.SET_BACK else None
        self._tell(replace(made.candidate, era=self._era, updater_state=kept), restart)

    def _find(self, generation: int) -> _Made:
        """A generation of this run, from memory or from disk."""
        if generation in self._lineage.quarantined:
            raise UsageError(f"generation {generation} is in quarantine and never serves again")
        for made in (*self._line, *self._pending.values()):
            if made.info.number == generation:
                return made
        if generation not in self._lineage.known:
            raise UsageError(f"there is no generation {generation}: the newest is {self._lineage.made - 1}")
        state, descent = self.store.load(generation), self._lineage.known[generation]
        info = GenerationInfo(generation, descent.parent, state["weights"], descent.sha256)
        candidate = Candidate(
            number=state["updates"],
            weights=info.weights,
            trained_to=state["trained_to"],
            trained_to_ns=state["trained_to_ns"],
            updater_state=state["updater"],
        )
        return _Made(info, candidate)

    def _tell(self, serving: Candidate, restart: Restart) -> None:
        if self._learner is not None:
            self._learner.serve(serving, restart)

    def _write(self, generation: int, event: str, detail: Mapping[str, Any]) -> None:
        descent = self._lineage.known[generation]
        row = GenerationRow(
            generation=generation,
            ts_ns=self._now.ts_ns,
            event=event,
            parent=descent.parent,
            weights_sha256=descent.sha256,
            detail=detail_text(detail),
        )
        self._journal.append(row)

    def _save(self, made: _Made, metrics: dict[str, float], marks: tuple[str, ...]) -> None:
        candidate = made.candidate
        state = {
            "weights": candidate.weights,
            "updater": candidate.updater_state,
            "updates": candidate.number,
            "trained_to": candidate.trained_to,
            "trained_to_ns": candidate.trained_to_ns,
            **self._extra_state(),
        }
        self.store.put(made.info, state, marks, metrics)


def _training(candidate: Candidate) -> dict[str, int]:
    return {"trained_to_decision": candidate.trained_to, "trained_to_ns": candidate.trained_to_ns}


_STANDARD_ERRORS = 3.0
"""The stretch of a test may have been kind to all who traded it, the more so the shorter it was."""


def _expectation(figures: Mapping[str, Any]) -> Expectation | None:
    """The earnings expected of a promoted generation: what the incumbent's were beside it, less the test's error.

    Not what it earned itself: whoever passes had luck (the winner's curse), and with less than that, but more than
    the incumbent, going back would lose.
    """
    reward, deviation, growth = (figures.get(name) for name in ("incumbent_reward", "reward_sd", "growth"))
    if reward is None or deviation is None or growth is None:
        return None
    error = deviation / math.sqrt(max(figures.get("tested_decisions", 1), 1))
    return Expectation(reward - _STANDARD_ERRORS * error, deviation, growth)
