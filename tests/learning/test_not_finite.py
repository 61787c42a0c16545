"""A learner meets a number that is not finite: it drops that update, says so, and learns on; in a process too."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from learning.process.test_process_rollouts import (
    EVERY,
    KNOWN,
    RECENT,
    SETTINGS,
    SHAPE,
    WEIGHTS,
    completed,
    happen,
)
from learning.process_support import Clock, nothing_left, until
from trading.ppo.test_ppo_finite import bits
from ztb.learning.gate.candidate import Candidate
from ztb.learning.online import Dropped, OnlineLearner, Restart, Updated
from ztb.learning.process.messages import REPORT, Completed, LearnerReport, read_report, write_report
from ztb.learning.process.settings import Care
from ztb.learning.process.supervisor import LearnerProcess
from ztb.learning.process.worker import first_state
from ztb.learning.recent import RecentRollouts
from ztb.trading.ppo.finite import unsound
from ztb.trading.ppo.update import PPOUpdater

SPOILT = {
    "reward": lambda one: replace(one, transition=replace(one.transition, reward=math.nan)),
    "observation": lambda one: replace(
        one, transition=replace(one.transition, observation=one.transition.observation * np.float32(math.inf))
    ),
    "log-prob": lambda one: replace(one, transition=replace(one.transition, logprob=-math.inf)),
    "value": lambda one: replace(one, transition=replace(one.transition, value=math.nan)),
    "next value": lambda one: replace(one, next_value=math.nan),
}


class OwnReward:
    """The log return, but in the lanes and at the calls that are told, where it does not exist."""

    def __init__(self) -> None:
        self.calls = 0
        self.bad: set[int] = set()

    def __call__(self, before: Any, after: Any) -> Any:
        value = np.log(np.asarray(after) / before)
        if self.calls in self.bad:
            value[2] = math.nan
        self.calls += 1
        return value


class Bench:
    """A learner in this process, with what came of each update; `passes` and rollouts as in its settings."""

    def __init__(
        self,
        reward: OwnReward | None = None,
        rollouts: bool = True,
        updates_per_generation: int = 1,
        **online: Any,
    ) -> None:
        config = replace(SETTINGS.online, **online)
        recent = RecentRollouts(SHAPE, RECENT, config, SETTINGS.seed, own_reward=reward)
        updater = PPOUpdater(SHAPE, SETTINGS.ppo, WEIGHTS, SETTINGS.seed)
        self.learner = OnlineLearner(updater, config, updates_per_generation, recent if rollouts else None)
        self.recent = recent
        self.done: list[Updated | Dropped] = []
        self.told = 0
        self.drop: set[int] = set()

    def learn(self, updates: int, spoil: str = "") -> None:
        """So many more updates, the last transition but two of the last of them spoilt."""
        first, last = self.told, self.told + updates * EVERY + (self.told == 0)

        def tell(k, ticks, view):
            self.recent.window.add(ticks, view)
            self.recent.window.decide(KNOWN.shared.features[k], False)
            if k:
                one = completed(k)
                if spoil and k == last - (1 if spoil == "next value" else 3):
                    one = SPOILT[spoil](replace(one, transition=replace(one.transition, tainted=False)))
                drop = self.learner.updates + 1 in self.drop
                done = self.learner.add(one.transition, one.next_value, one.serving, drop)
                if done is not None:
                    self.done.append(done)

        happen(first, last, tell)
        self.told = last

    @property
    def state(self) -> Any:
        return bits(self.learner.updater.state())


@pytest.mark.parametrize("rollouts", [True, False])
@pytest.mark.parametrize("spoil", SPOILT)
def test_one_bad_number_in_an_own_transition_costs_one_update_and_no_more(spoil, rollouts):
    bench = Bench(rollouts=rollouts)
    bench.learn(2)
    before = bench.state
    bench.learn(1, spoil)
    dropped = bench.done[-1]
    assert isinstance(dropped, Dropped) and dropped.update == 3 and not dropped.astray
    assert bench.state == before and bench.learner.counts.non_finite == 1
    bench.learn(2)
    assert [each.update for each in bench.done] == [1, 2, 3, 4, 5]
    assert all(isinstance(each, Updated) for each in bench.done[3:]) and bench.state != before
    assert unsound(bench.learner.updater.state()) == ""


def test_a_reward_that_is_none_spoils_the_mean_too_though_it_is_tainted_and_would_not_be_learnt_from(
    monkeypatch,
):
    bench = Bench()
    bench.learn(1)
    spoil = SPOILT["reward"]
    tainted = lambda one: spoil(replace(one, transition=replace(one.transition, tainted=True)))  # noqa: E731
    monkeypatch.setitem(SPOILT, "tainted reward", tainted)
    bench.learn(1, "tainted reward")
    assert isinstance(bench.done[-1], Dropped) and "of a decision of our own" in bench.done[-1].why
    means = [each.mean_reward for each in bench.done if isinstance(each, Updated)]
    assert all(map(math.isfinite, means))


@pytest.mark.parametrize("step", [0, 5, 8 + 3])
def test_one_bad_reward_in_one_lane_of_one_rollout_costs_that_update_with_all_its_passes(step):
    """The last is in the second pass, when the first has been learnt from."""
    reward = OwnReward()
    bench = Bench(reward, passes=2)
    bench.learn(2)
    before = bench.state
    reward.bad = {reward.calls + step}
    bench.learn(1)
    dropped = bench.done[-1]
    assert isinstance(dropped, Dropped) and not dropped.astray
    assert "reward: not finite at decision" in dropped.why
    assert "in environment 2" in dropped.why
    assert bench.state == before
    bench.learn(1)
    assert isinstance(bench.done[-1], Updated) and bench.done[-1].update == 4


def test_candidates_come_after_as_many_updates_as_ever_dropped_ones_not_counted():
    reward = OwnReward()
    bench = Bench(reward, updates_per_generation=2, passes=1)
    bench.learn(1)
    reward.bad = {reward.calls}
    bench.learn(4)
    made = [each.update for each in bench.done if isinstance(each, Updated) and each.candidate is not None]
    assert isinstance(bench.done[1], Dropped) and made == [3, 5]


@pytest.mark.parametrize("part", ["weight", "moment"])
def test_a_learner_whose_own_state_has_turned_bad_says_so_and_holds_nothing_bad_any_more(part):
    bench = Bench()
    bench.learn(2)
    before, updater = bench.state, bench.learner.updater
    if part == "weight":
        updater.network.parameters[7] = math.nan
    else:
        updater._optimizer._mean[7] = math.inf
    bench.learn(1)
    dropped = bench.done[-1]
    assert isinstance(dropped, Dropped) and dropped.astray and part in dropped.why
    assert bench.state == before
    bench.learner.begin_anew(WEIGHTS)
    assert bits(updater.weights()) == bits(WEIGHTS) and not updater.state()["adam"]["square"].any()
    bench.learn(1)
    assert isinstance(bench.done[-1], Updated)


def test_a_learner_that_keeps_making_nonsense_of_sound_numbers_has_gone_wrong_one_that_is_given_it_has_not(
    monkeypatch,
):
    bench = Bench()
    bench.learn(1)
    for spoil in ("reward", "observation", "reward"):
        bench.learn(1, spoil)
    assert [each.astray for each in bench.done[1:] if isinstance(each, Dropped)] == [False] * 3
    backward = bench.learner.updater.network.backward

    def spoilt(gradient, by_log_std):
        backward(gradient, by_log_std)
        bench.learner.updater.network.gradients[0] = math.nan

    monkeypatch.setattr(bench.learner.updater.network, "backward", spoilt)
    bench.learn(2)
    assert [each.astray for each in bench.done[4:] if isinstance(each, Dropped)] == [False, True]


def test_what_was_dropped_then_is_dropped_again_though_nothing_is_the_matter_now():
    """As a repetition has it, when the fault was of that day: the rollouts' random numbers go on alike."""
    reward = OwnReward()
    then = Bench(reward)
    then.learn(1)
    reward.bad = {reward.calls + 3}
    then.learn(3)
    now = Bench(OwnReward())
    now.drop = {2}
    now.learn(4)
    assert [type(each) for each in now.done] == [type(each) for each in then.done]
    assert now.state == then.state
    assert [isinstance(each, Dropped) for each in now.done] == [False, True, False, False]


def test_a_dropped_update_is_reported_in_full():
    record = np.zeros(1, REPORT)
    for why in ("reward nan of environment 3", "é" * 300):
        dropped = Dropped(7, why, True)
        write_report(LearnerReport(7, 100, 200, 0.0, 0, None, 1, 5, dropped), record)
        report = read_report(record)
        assert (report.update, report.decision, report.era, report.set_back) == (7, 100, 1, 5)
        assert report.stats is None and report.dropped is not None and report.dropped.astray
        assert why.startswith(report.dropped.why) and len(report.dropped.why) > 20


class Watched:
    """A learner process with all that was reported of it."""

    def __init__(self) -> None:
        care = Care(backoff_first_s=0.01, nice=0)
        self.process = LearnerProcess(SETTINGS, first_state(None, WEIGHTS), care, Clock())
        self.reports: dict[int, LearnerReport] = {}
        self.kinds: list[str] = []
        self.told = 0

    def learn(self, updates: int, spoil: str = "") -> None:
        first, last = self.told, self.told + updates * EVERY + (self.told == 0)

        def tell(k, ticks, view):
            self.process.feed.ticks(ticks, view)
            self.process.feed.decided(k, KNOWN.shared.features[k], False)
            if k:
                self.process.push(self.spoilt(completed(k), spoil if k == last - 3 else ""))

        happen(first, last, tell)
        self.told = last
        until(self.caught_up)

    def spoilt(self, one: Completed, spoil: str) -> Completed:
        if not spoil:
            return one
        return SPOILT[spoil](replace(one, transition=replace(one.transition, tainted=False)))

    def caught_up(self) -> bool:
        self.kinds += [event.kind for event in self.process.watch()]
        self.reports |= {report.update: report for report in self.process.reports()}
        return self.told - 1 == EVERY * len(self.reports)


def test_a_learner_in_a_process_drops_the_update_says_so_and_learns_what_one_in_this_process_learns():
    bench = Bench()
    with nothing_left():
        watched = Watched()
        for learner in (bench, watched):
            learner.learn(2)
            learner.learn(1, "reward")
            learner.learn(2)
        state, left_out = watched.process.state(), watched.process.left_out
        watched.process.close()
        reports, kinds = watched.reports, watched.kinds
        del watched
    dropped = reports[3].dropped
    assert dropped == bench.done[2] and [reports[k].dropped for k in (1, 2, 4, 5)] == [None] * 4
    assert reports[5].stats == bench.done[4].stats
    assert left_out.non_finite == 1 and kinds == ["learner_started"]
    assert bits(state["updater"]) == bench.state


def test_told_to_a_learner_in_a_process_begins_anew_from_the_generation_without_any_moments():
    bench = Bench()
    with nothing_left():
        watched = Watched()
        for learner in (bench, watched):
            learner.learn(2)
            learner.learn(1, "value")
            learner.learn(1, "value")
        assert [watched.reports[k].dropped.astray for k in (3, 4)] == [False, True]
        watched.process.serve(Candidate(0, WEIGHTS, era=1), Restart.ANEW)
        bench.learner.begin_anew(WEIGHTS)
        for learner in (bench, watched):
            learner.learn(1)
        state, report = watched.process.state(), watched.reports[5]
        watched.process.close()
        del watched
    assert report.era == 1 and report.set_back == 4 * EVERY + 1
    assert bits(state["updater"]) == bench.state
