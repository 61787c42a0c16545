"""Own transitions folded beside rollouts: the same transitions, the same advantages where nothing was cut."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from ztb.learning.online import fold, newest_lanes, side_by_side
from ztb.learning.settings import OnlineConfig
from ztb.trading.policy.weights import NetworkShape
from ztb.trading.ppo.gae import advantages_of
from ztb.trading.ppo.rollout import Rollout, empty_rollout

SHAPE = NetworkShape(3, (4, 2))


def rollout(steps: int, envs: int, seed: int = 0) -> Rollout:
    rng = np.random.default_rng(seed)
    made = empty_rollout(SHAPE, steps, envs)
    for name in ("observations", "logprobs", "values", "rewards"):
        array = getattr(made, name)
        array[:] = rng.normal(size=array.shape)
    made.actions[:] = rng.integers(0, 2, made.actions.shape)
    made.truncated[-1] = True
    made.next_values[-1] = rng.normal(size=envs)
    return made


@pytest.mark.parametrize(("total", "steps", "missing"), [(12, 4, 0), (13, 4, 3), (3, 4, 1)])
def test_every_transition_is_there_once_in_order_and_what_fills_up_is_masked(total, steps, missing):
    own = rollout(total, 1)
    folded = fold(own, steps)
    assert folded.rewards.shape == (steps, (total + missing) // steps)
    order = folded.rewards.T.ravel()
    assert np.array_equal(order[missing:], own.rewards.ravel())
    mask = folded.mask.T.ravel()
    assert not mask[:missing].any() and mask[missing:].all()


def test_what_a_stretch_is_cut_off_from_is_the_value_of_the_next_ones_first():
    own = rollout(12, 1)
    folded = fold(own, 4)
    assert folded.truncated[-1].all() and not folded.truncated[:-1].any()
    assert folded.next_values[-1].tolist() == [own.values[4, 0], own.values[8, 0], own.next_values[11, 0]]


def test_one_step_advantages_are_those_of_the_whole():
    """λ = 0 looks one step ahead: cutting into stretches changes nothing."""
    own = rollout(12, 1)
    whole = advantages_of(own, 0.9, 0.0).ravel()
    assert np.allclose(advantages_of(fold(own, 4), 0.9, 0.0).T.ravel(), whole, atol=1e-6)


def test_the_newest_lanes_are_kept():
    folded = fold(rollout(12, 1), 4)
    assert np.array_equal(newest_lanes(folded, 2).rewards, folded.rewards[:, 1:])
    assert newest_lanes(folded, 9).rewards.shape == (4, 3)
    assert newest_lanes(folded, 0).rewards.shape == (4, 0)


def test_side_by_side_nothing_is_lost():
    one, two = rollout(4, 3, 1), rollout(4, 2, 2)
    both = side_by_side([one, two])
    for field in fields(Rollout):
        joined = getattr(both, field.name)
        assert np.array_equal(joined[:, :3], getattr(one, field.name))
        assert np.array_equal(joined[:, 3:], getattr(two, field.name))


@pytest.mark.parametrize(("share", "lanes"), [(0.0, 0), (0.2, 16), (0.5, 64)])
def test_the_share_of_own_transitions_is_of_all_that_is_learnt_from(share, lanes):
    assert OnlineConfig(own_share=share).own_lanes(64) == lanes
