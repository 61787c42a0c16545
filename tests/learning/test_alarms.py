"""Alarms: raised when they should be, seldom when they should not, and at once where nothing is finite."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from ztb.learning.alarms import _MISSING, Alarm, Alarms, Expectation
from ztb.learning.settings import GateRules

RULES = GateRules()
GREATEST = math.log(15.0)
EXPECTED = Expectation(1e-4, 1e-3, 1e-4)


def alarms(expectation: Expectation | None = EXPECTED, probation: bool = True) -> Alarms:
    made = Alarms(RULES, GREATEST)
    made.begin(expectation, probation)
    return made


def first(made: Alarms, rewards: NDArray[np.float64], logprob: float = -1.0) -> tuple[int, Alarm] | None:
    """The first alarm and its decision, of a life with these rewards."""
    equity = 1.0
    for k, reward in enumerate(rewards.tolist()):
        equity *= math.exp(reward)
        alarm = made.follow(equity, reward, logprob, 0.0)
        if alarm is not None:
            return k, alarm
    return None


@pytest.mark.parametrize("tails", [3.0, 30.0])
def test_a_probation_as_expected_raises_an_alarm_in_at_most_five_of_a_hundred(tails):
    rng = np.random.default_rng(0)
    scale = EXPECTED.reward_sd / math.sqrt(tails / (tails - 2.0))
    raised = [first(alarms(), EXPECTED.reward + scale * rng.standard_t(tails, 4096)) for _ in range(100)]
    assert sum(found is not None for found in raised) <= 5


def test_rewards_far_below_the_shadows_raise_one_within_a_few_hundred_decisions():
    rng = np.random.default_rng(1)
    for _ in range(20):
        found = first(alarms(), -4e-4 + 1e-3 * rng.standard_normal(1000))
        assert found is not None and found[0] < 300 and found[1].kind == "reward_shift"
        assert found[1].figures["missing_sd"] > RULES.alarm_shift_limit_sd


def test_a_deep_fall_raises_one_in_the_very_decision():
    rewards = np.array([0.0, 0.1, -0.2, -0.2, 0.0])
    found = first(alarms(None), rewards)
    assert found is not None and found[0] == 3 and found[1].kind == "drawdown"
    assert found[1].figures["drawdown"] == pytest.approx(1.0 - math.exp(-0.4))


def test_a_loss_that_was_known_is_no_alarm_and_one_beyond_it_is():
    """The incumbent lost even more."""
    known = Expectation(-1e-3, 1e-2, -1e-3)
    assert first(alarms(known), np.full(1000, -1e-3)) is None
    found = first(alarms(known), np.full(1000, -2e-3))
    assert found is not None and found[1].kind == "drawdown" and found[0] > 250


def test_a_collapse_of_entropy_raises_one():
    found = first(alarms(), np.full(600, 1e-4), logprob=-0.01)
    assert found is not None and found[1].kind == "entropy" and found[0] == 255
    assert first(alarms(), np.full(600, 1e-4), logprob=-0.2) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("probation", [True, False])
def test_an_output_that_is_not_finite_raises_one_at_any_time(bad, probation):
    for logprob, value in ((bad, 0.0), (-1.0, bad)):
        alarm = alarms(None, probation).follow(1.0, 0.0, logprob, value)
        assert alarm is not None and alarm.kind == "non_finite"
    assert alarms(None, probation).follow(1.0, 0.0, None, None) is None


def test_after_the_probation_a_loss_is_the_markets():
    made = alarms()
    assert first(made, np.full(4096, 1e-4)) is None
    assert not made.on_probation and first(made, np.full(1000, -1e-2)) is None


def test_what_the_generation_before_earned_is_not_held_against_the_new_one():
    made = alarms()
    assert made.follow(1.0, -1.0, -1.0, 0.0) is None
    assert made._numbers[_MISSING] == 0.0


def test_a_reward_that_does_not_exist_blinds_nobody():
    rewards = np.full(1000, -1e-3)
    seen = first(alarms(), rewards)
    rewards[10] = math.nan
    made = alarms()
    decision = next(k for k, reward in enumerate(rewards.tolist()) if made.follow(1.0, reward, -1.0, 0.0))
    assert seen is not None and abs(decision - seen[0]) <= 1
