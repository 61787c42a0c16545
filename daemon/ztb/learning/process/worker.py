"""The learner process: transitions in, states, reports and candidates out; ends when its parent does.

Started by `supervisor.py` as `main(memory descriptor, wake-up descriptor, parent's process id)`.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ztb.errors import InvariantError
from ztb.learning.candidate_evaluation import CandidateEvaluation
from ztb.learning.gate.candidate import Candidate, Verdict
from ztb.learning.online import Dropped, LearnerCounts, OnlineLearner, Restart, Updated
from ztb.learning.process.channel import Doing, SharedChannel
from ztb.learning.process.feed import FeedReader
from ztb.learning.process.messages import (
    NEVER,
    Completed,
    LearnerReport,
    read_transition,
    write_report,
    write_verdict,
)
from ztb.learning.process.packing import pack, unpack, unpack_serving
from ztb.learning.process.ring import Records, Ring
from ztb.learning.recent import RecentRollouts
from ztb.learning.regime import guided
from ztb.learning.window import RolloutStart
from ztb.market.view import new_view
from ztb.strategies.loader import load_strategy
from ztb.trading.ppo.gae import advantages_of
from ztb.trading.ppo.rollout import empty_rollout
from ztb.utils.compiler import tell_of_compiling

if TYPE_CHECKING:
    from ztb.trading.ppo.update import PPOUpdater

_PR_SET_PDEATHSIG = 1
_WAIT_MS = 200


class LearnerWorker:
    """Learns until it is told to stop or has no parent any more."""

    def __init__(self, channel: SharedChannel, wake: int, parent: int) -> None:
        tell_of_compiling(Compiling(channel))
        self._channel = channel
        self._wake = wake
        self._parent = parent
        self._decision: int | None = None
        state = _last_state(channel)
        recent = _recent(channel, state["recent"])
        self._learner = OnlineLearner(
            _updater(channel, state), channel.settings.online, channel.settings.updates_per_generation, recent
        )
        self._learner.updates = state["updates"]
        self._learner.counts = LearnerCounts(**state["counts"])
        self._options = (channel.settings.ppo, *channel.settings.profiles)
        self._heard = 0
        self._era = state["era"]
        self._set_back = state["set_back"]
        self._to_tell = False  # whether it was set back before a transition that it has not seen yet
        self._contest: CandidateEvaluation | None = None
        self._hear()
        self._reader = FeedReader(channel.feed, recent.window) if channel.feed and recent else None
        ring = channel.transitions
        ring.cursor = max(state["consumed"], channel.skipped_to)
        ring.commit(ring.cursor)
        # The last one may have died between its state and its report; one that arrives twice is known by its number.
        if state["report"] is not None:
            self._send(channel.reports, state["report"].view(channel.reports.record().dtype))

    def _hear(self) -> None:
        """Take in which generation serves, if that has changed: the gate's incumbent, and perhaps to go back to."""
        channel = self._channel
        if channel.serving.newest == self._heard or (found := channel.serving.read()) is None:
            return
        self._heard, (serving, restart) = found[0], unpack_serving(found[1])
        if restart is not Restart.NONE and serving.era > self._era:
            self._learner.restart(restart, serving.weights, serving.updater_state)
            self._to_tell = True
        self._era = serving.era
        if self._contest is None:
            self._contest = _contest(channel, self._learner.recent, serving)
        else:
            self._tell(self._contest.serve(serving, restart))

    def run(self) -> None:
        """Until the end; see the class."""
        channel = self._channel
        channel.ready = True
        ring = channel.transitions
        while self._wanted():
            record = ring.read()
            channel.doing = Doing.RESTING if record is None else Doing.LEARNING
            if record is None:
                self._rest()
            else:
                self._take(read_transition(record))

    def _wanted(self) -> bool:
        self._channel.beat()
        return not self._channel.stopping and os.getppid() == self._parent

    def _rest(self) -> None:
        """Wait for a transition, or for the next sign of life to be due."""
        if select.select([self._wake], [], [], _WAIT_MS / 1000)[0]:
            os.eventfd_read(self._wake)

    def _take(self, completed: Completed) -> None:
        learner = self._learner
        if self._decision is not None and completed.decision != self._decision + 1:
            learner.interrupt()
        self._decision = completed.decision
        self._hear()
        if self._to_tell:
            self._set_back, self._to_tell = completed.decision, False
        if self._reader is not None:
            self._reader.follow(completed.decision)
            if self._contest is not None and self._reader.told is not None:
                self._tell(self._contest.follow(self._reader.told))
        learner.updater.reconfigure(guided(self._options, completed.guidance))
        done = learner.add(completed.transition, completed.next_value, completed.serving)
        if learner.waiting == 0:
            self._publish(done, completed)

    def _publish(self, done: Updated | Dropped | None, completed: Completed) -> None:
        """Candidate, state, report; and last the places of what it learnt from: then nothing more will come of them."""
        channel = self._channel
        set_back = self._set_back
        self._set_back = NEVER if done is not None else set_back
        updated = done if isinstance(done, Updated) else None
        state = _state(
            learner=self._learner,
            consumed=channel.transitions.cursor,
            completed=completed,
            era=self._era,
            set_back=self._set_back,
        )
        record, candidate = None, 0
        if updated is not None and updated.candidate is not None:
            candidate = channel.candidates.publish(pack(state))
        if done is not None:
            record = channel.reports.record()
            write_report(
                _report(
                    done=done, completed=completed, candidate=candidate, era=self._era, set_back=set_back
                ),
                record,
            )
            state["report"] = record.view(np.uint8)
        channel.states.publish(pack(state))
        channel.left_out = self._learner.counts
        if record is not None:
            self._send(channel.reports, record)
        if updated is not None and updated.candidate is not None and self._contest is not None:
            self._tell(
                self._contest.submit(
                    Candidate(
                        number=updated.update,
                        weights=updated.candidate,
                        trained_to=completed.decision,
                        trained_to_ns=completed.ts_ns,
                    )
                )
            )
        channel.transitions.commit(channel.transitions.cursor)
        if self._reader is not None:
            self._reader.forget()

    def _tell(self, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            record = self._channel.verdicts.record()
            write_verdict(verdict, record)
            self._send(self._channel.verdicts, record)

    def _send(self, ring: Ring, record: Records) -> None:
        """Push, and where the other side is behind, wait for it: it alone may drop anything."""
        while not ring.push(record) and self._wanted():
            select.select([], [], [], _WAIT_MS / 1000)


def _report(
    done: Updated | Dropped, completed: Completed, candidate: int, era: int, set_back: int
) -> LearnerReport:
    dropped = done if isinstance(done, Dropped) else None
    stats, reward = (done.stats, done.mean_reward) if isinstance(done, Updated) else (None, 0.0)
    return LearnerReport(
        update=done.update,
        decision=completed.decision,
        ts_ns=completed.ts_ns,
        mean_reward=reward,
        candidate=candidate,
        stats=stats,
        era=era,
        set_back=set_back,
        dropped=dropped,
    )


def first_state(updater_state: dict[str, Any] | None, weights: dict[str, Any], updates: int = 0) -> bytes:
    """The packed state of a learner that has learnt nothing yet; its updates are numbered after `updates`."""
    return pack(
        {
            "updater": updater_state,
            "weights": weights,
            "updates": updates,
            "counts": asdict(LearnerCounts()),
            "consumed": 0,
            "report": None,
            "recent": None,
            "era": 0,
            "set_back": NEVER,
        }
    )


def _state(
    learner: OnlineLearner, consumed: int, completed: Completed, era: int, set_back: int
) -> dict[str, Any]:
    return {
        "updater": learner.updater.state(),
        "updates": learner.updates,
        "counts": asdict(learner.counts),
        "consumed": consumed,
        "decision": completed.decision,
        "report": None,
        "recent": _recent_state(learner.recent) if learner.recent else None,
        "era": era,
        "set_back": set_back,
    }


def _recent_state(recent: RecentRollouts) -> dict[str, Any]:
    start = recent.window.start
    return {
        **recent.state(),
        "first": start.first,
        "view": start.view.view(np.uint8),
        "on_bars": start.on_bars,
    }


def _recent(channel: SharedChannel, kept: dict[str, Any] | None) -> RecentRollouts | None:
    """Rollouts on a window that begins where the last learner's did, or, had that to be skipped, where told to."""
    settings, feed = channel.settings, channel.feed
    if settings.recent is None or feed is None:
        return None
    own_reward = load_strategy(settings.recent.strategy).reward if settings.recent.strategy else None
    recent = RecentRollouts(
        settings.shape, settings.recent, settings.online, settings.seed, own_reward=own_reward
    )
    start = RolloutStart(feed.moments.tail, new_view(settings.recent.instrument))
    if kept is not None:
        recent.load_state(kept)
        if kept["first"] >= start.first:
            start = RolloutStart(kept["first"], kept["view"].view(start.view.dtype), kept["on_bars"])
    recent.window.resume(start)
    return recent


def _contest(
    channel: SharedChannel, recent: RecentRollouts | None, serving: Candidate
) -> CandidateEvaluation | None:
    settings = channel.settings
    if settings.contest is None or recent is None:
        return None
    return CandidateEvaluation(
        config=settings.contest, recent=recent, shape=settings.shape, seed=settings.seed, serving=serving
    )


def _last_state(channel: SharedChannel) -> dict[str, Any]:
    found = channel.states.read()
    if found is None:
        raise InvariantError("the learner was given no state to start from")
    return unpack(found[1])


def _updater(channel: SharedChannel, state: dict[str, Any]) -> PPOUpdater:
    # Imported late: it takes seconds, in which the parent shall see that we live.
    channel.beat()
    import torch

    from ztb.trading.ppo.update import PPOUpdater

    channel.beat()
    torch.set_num_threads(1)
    # Compiled or loaded now, while we still have the time to start up, and not in the first update.
    advantages_of(empty_rollout(channel.settings.shape, 1, 1), 1.0, 1.0)
    channel.beat()
    settings, kept = channel.settings, state["updater"]
    weights = state["weights"] if kept is None else kept["weights"]
    updater = PPOUpdater(settings.shape, settings.ppo, weights, settings.seed)
    if kept is not None:
        updater.load_state(kept)
    return updater


class Compiling:
    """Says through `channel` that the learner compiles, and with each step of the compiler that it lives."""

    def __init__(self, channel: SharedChannel) -> None:
        self._channel = channel
        self._depth = 0
        self._before = channel.doing

    def step(self) -> None:
        """The compiler got on."""
        self._channel.beat()

    def began(self) -> None:
        """On a function, perhaps within another."""
        self.step()
        if self._depth == 0:
            self._before, self._channel.doing = self._channel.doing, Doing.COMPILING
        self._depth += 1

    def ended(self) -> None:
        """With it."""
        self.step()
        self._depth -= 1
        if self._depth == 0:
            self._channel.doing = self._before


def main(descriptor: int, wake: int, parent: int) -> None:
    """Learn on the memory behind `descriptor`; dies with the process `parent`, stopped or not."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.getppid() == parent:
        LearnerWorker(SharedChannel(descriptor), wake, parent).run()
