"""A real learner in a real process: learns what an inline one learns, and whatever kills it, nothing is lost or left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest

from learning.process_support import (
    EVERY,
    SETTINGS,
    SHAPE,
    WEIGHTS,
    Clock,
    completed,
    ended,
    learn,
    nothing_left,
    stop,
    until,
)
from ztb.learning.online import LearnerCounts, OnlineLearner
from ztb.learning.process.messages import Completed, LearnerReport
from ztb.learning.process.settings import Care
from ztb.learning.process.supervisor import Event, LearnerProcess
from ztb.learning.process.worker import first_state

CARE = Care(backoff_first_s=0.01, nice=1)
UPDATES = 8


class Watched:
    """A learner process with all that was heard of it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.process = LearnerProcess(SETTINGS, first_state(None, WEIGHTS), CARE, self.clock)
        self.events: list[Event] = []
        self.reports: list[LearnerReport] = []
        self.states: dict[int, dict[str, object]] = {}

    def listen(self) -> None:
        self.events += self.process.watch()
        for report in self.process.reports():
            self.reports.append(report)
            state = self.process.candidate(report.candidate) if report.candidate else None
            if state is not None:
                self.states[report.update] = state["updater"]

    def wait(self, updates: int) -> None:
        def done() -> bool:
            self.listen()
            return len(self.reports) >= updates

        until(done)

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def push(self, first: int, last: int) -> None:
        for number in range(first, last):
            self.process.push(completed(number))


@pytest.fixture
def learner():
    with nothing_left():
        watched = Watched()
        yield watched
        watched.process.close()
        del watched


@pytest.fixture(scope="module")
def inline():
    """Reports and states of the same transitions learnt from in this process."""
    from ztb.trading.ppo.update import PPOUpdater

    learner = OnlineLearner(PPOUpdater(SHAPE, SETTINGS.ppo, WEIGHTS, SETTINGS.seed), SETTINGS.online, 2)
    stats, states = [], {}
    for number in range(UPDATES * EVERY):
        one = completed(number)
        updated = learn(learner, one)
        if updated is not None:
            stats.append((updated.stats, updated.mean_reward))
            states[updated.update] = learner.updater.state()
    return stats, states


def check(watched: Watched, inline) -> None:
    """Every update once, in order, with the figures and the weights of the inline learner, to the bit."""
    stats, states = inline
    assert [report.update for report in watched.reports] == list(range(1, UPDATES + 1))
    assert [(report.stats, report.mean_reward) for report in watched.reports] == stats
    assert [report.decision for report in watched.reports] == [n * EVERY - 1 for n in range(1, UPDATES + 1)]
    assert max(watched.states) == UPDATES
    for update, state in watched.states.items():
        assert state["generator"] == states[update]["generator"]
        for name, array in states[update]["weights"].items():
            assert np.array_equal(state["weights"][name], array)
        assert np.array_equal(state["adam"]["square"], states[update]["adam"]["square"])


def test_it_learns_what_an_inline_learner_learns_and_stops_when_asked(learner, inline):
    learner.push(0, UPDATES * EVERY)
    learner.wait(UPDATES)
    check(learner, inline)
    assert learner.process.waiting == 0
    priority = psutil.Process(learner.process.pid)
    assert priority.nice() == min(19, psutil.Process().nice() + CARE.nice)
    assert len(priority.cpu_affinity()) == 1 or len(psutil.Process().cpu_affinity()) == 1
    until(learner.process.ask_to_stop)
    learner.listen()
    assert learner.kinds() == ["learner_started"]


def test_killed_again_and_again_it_learns_everything_once(learner, inline):
    for first in range(0, UPDATES, 4):
        learner.push(first * EVERY, (first + 4) * EVERY - 3)
        learner.wait(first + 3)
        os.kill(learner.process.pid, signal.SIGKILL)
        learner.push((first + 4) * EVERY - 3, (first + 4) * EVERY)
    learner.wait(UPDATES)
    check(learner, inline)
    assert learner.kinds() == ["learner_started", "learner_died"] * 2 + ["learner_started"]
    assert [e.detail["exit"] for e in learner.events if e.kind == "learner_died"] == [-signal.SIGKILL] * 2
    assert learner.process.counts.dropped == 0


def test_stopped_it_is_found_out_killed_and_its_successor_learns_on(learner, inline):
    learner.push(0, 4 * EVERY)
    learner.wait(4)
    hung = learner.process.pid
    stop(hung)
    learner.push(4 * EVERY, UPDATES * EVERY)
    learner.listen()
    learner.clock.ahead += CARE.hang_timeout_s
    learner.wait(UPDATES)
    check(learner, inline)
    assert learner.kinds() == ["learner_started", "learner_hung", "learner_started"]
    assert ended(hung)


def test_what_follows_a_gap_is_no_successor_of_what_came_before(learner):
    learner.push(0, 5)
    learner.push(50, 50 + EVERY - 5)
    learner.wait(1)
    from ztb.trading.ppo.update import PPOUpdater

    known = OnlineLearner(PPOUpdater(SHAPE, SETTINGS.ppo, WEIGHTS, SETTINGS.seed), SETTINGS.online, 2)
    for number in (*range(5), *range(50, 50 + EVERY - 5)):
        if number == 50:
            known.interrupt()
        one = completed(number)
        updated = learn(known, one)
    assert updated is not None and learner.reports[0].stats == updated.stats
    assert known.counts.tainted == 1


def test_what_was_left_out_is_told_and_counted_once_though_learners_are_killed(learner):
    """In three updates: two transitions are tainted and one is stale; of a fourth nothing is left."""

    def spoilt(number: int) -> Completed:
        one = completed(number)
        tainted = number in (3, 2 * EVERY) or number >= 3 * EVERY
        generation = -1 - SETTINGS.online.max_generation_age if number == EVERY else one.serving
        return replace(one, transition=replace(one.transition, tainted=tainted, generation=generation))

    for update in range(4):
        for number in range(update * EVERY, (update + 1) * EVERY):
            learner.process.push(spoilt(number))
        until(lambda: learner.listen() or learner.process.waiting == 0)
        assert learner.process.pid is not None
        os.kill(learner.process.pid, signal.SIGKILL)
    expected = LearnerCounts(tainted=2 + EVERY, stale=1, empty=1)
    assert learner.process.left_out == expected and len(learner.reports) == 3
    learner.process.close()
    assert learner.process.left_out == expected and learner.process.waiting == 0


def test_one_that_crashes_says_why(learner):
    learner.process._channel.states.publish(b"no state")
    until(lambda: learner.listen() or "learner_died" in learner.kinds())
    died = next(event for event in learner.events if event.kind == "learner_died")
    assert died.detail["exit"] == 1
    assert died.detail["said"].startswith("ztb.errors.InvariantError: a learner's state that is none")


PARENT = """
import sys, time
sys.path[:0] = ["daemon", "tests"]
from learning.process_support import until
from learning.process.test_process_learner import Watched
learner = Watched()
until(lambda: learner.listen() or learner.process._channel.beats > 0)
print(learner.process.pid, flush=True)
sys.stdin.read()
raise RuntimeError("the daemon is broken")
"""


@pytest.mark.parametrize("death", ["kill", "terminate", "exception", "kill while it is stopped"])
def test_however_its_parent_ends_it_ends_too(death, pytestconfig):
    with nothing_left():
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT], cwd=pytestconfig.rootpath, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        with parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            assert not ended(pid)
            if death == "kill while it is stopped":
                stop(pid)
            if death != "exception":
                parent.send_signal(signal.SIGTERM if death == "terminate" else signal.SIGKILL)
            parent.communicate()
        until(lambda: ended(pid), 10.0)


@pytest.mark.proof
def test_killed_at_a_hundred_moments_it_learns_everything_once(inline):
    share, seed = float(os.environ.get("ZTB_PROOF_SHARE", "1")), int(os.environ.get("ZTB_PROOF_SEED", "0"))
    moments = np.random.default_rng(seed).uniform(0.0, 0.03, max(1, int(100 * share)))
    for moment in moments:
        with nothing_left():
            learner = Watched()
            learner.push(0, EVERY)
            learner.wait(1)
            learner.push(EVERY, UPDATES * EVERY)
            until_then = time.monotonic() + moment
            until(lambda end=until_then: time.monotonic() >= end)
            os.kill(learner.process.pid, signal.SIGKILL)
            learner.wait(UPDATES)
            check(learner, inline)
            learner.process.close()
            del learner
