"""Advantages against closed forms: telescoping sums, truncation, termination, masks."""

from __future__ import annotations

import numpy as np
import pytest

from ztb.errors import InvariantError
from ztb.trading.policy.weights import NetworkShape
from ztb.trading.ppo.gae import advantages_of
from ztb.trading.ppo.rollout import Rollout, empty_rollout


def rollout_of(steps: int, envs: int, seed: int) -> Rollout:
    rollout = empty_rollout(NetworkShape(1, (2,)), steps, envs)
    generator = np.random.default_rng(seed)
    for array in (rollout.rewards, rollout.values, rollout.next_values):
        array[:] = generator.standard_normal(array.shape)
    return rollout


def following(rollout: Rollout, t: int, n: int) -> float:
    if rollout.terminated[t, n]:
        return 0.0
    if rollout.truncated[t, n] or t == rollout.rewards.shape[0] - 1:
        return float(rollout.next_values[t, n])
    return float(rollout.values[t + 1, n])


def by_definition(rollout: Rollout, gamma: float, gae_lambda: float) -> np.ndarray:
    """Equation 16: the sum over l of (gamma lambda)^l delta_{t+l}, to the end of the episode."""
    steps, envs = rollout.rewards.shape
    advantages = np.zeros((steps, envs))
    for t, n in np.ndindex(steps, envs):
        weight = 1.0
        for later in range(t, steps):
            if not rollout.mask[later, n]:
                break
            value = following(rollout, later, n)
            delta = rollout.rewards[later, n] + gamma * value - rollout.values[later, n]
            advantages[t, n] += weight * delta
            weight *= gamma * gae_lambda
            if rollout.terminated[later, n] or rollout.truncated[later, n]:
                break
    return advantages


@pytest.mark.parametrize("gae_lambda", [0.0, 0.5, 0.95, 1.0])
def test_advantages_are_the_weighted_sums_of_their_definition(gae_lambda: float) -> None:
    for seed in range(10):
        rollout = rollout_of(30, 5, seed)
        generator = np.random.default_rng(seed)
        rollout.terminated[:] = generator.random((30, 5)) < 0.1
        rollout.truncated[:] = generator.random((30, 5)) < 0.1
        rollout.mask[:] = generator.random((30, 5)) < 0.9
        found = advantages_of(rollout, 0.97, gae_lambda)
        np.testing.assert_allclose(found, by_definition(rollout, 0.97, gae_lambda), rtol=1e-5, atol=1e-5)


def test_lambda_one_gives_discounted_returns_with_the_bootstrap_at_the_end() -> None:
    rollout = rollout_of(8, 1, 1)
    rewards = rollout.rewards[:, 0].astype(float)
    expected = sum(0.9**k * rewards[k] for k in range(8)) + 0.9**8 * float(rollout.next_values[7, 0])
    found = advantages_of(rollout, 0.9, 1.0) + rollout.values
    assert found[0, 0] == pytest.approx(expected, rel=1e-5)


def test_a_true_value_function_has_no_advantages() -> None:
    rollout = rollout_of(50, 1, 1)
    rollout.rewards[:] = 1.0
    rollout.values[:] = rollout.next_values[:] = 1 / (1 - 0.95)
    rollout.truncated[20] = True
    np.testing.assert_allclose(advantages_of(rollout, 0.95, 0.9), 0.0, atol=1e-5)


def test_truncation_bootstraps_and_termination_does_not() -> None:
    rollout = rollout_of(2, 2, 1)
    rollout.rewards[:] = 1.0
    rollout.values[:] = 0.0
    rollout.next_values[:] = 10.0
    rollout.truncated[0, 0] = True
    rollout.terminated[0, 1] = True
    found = advantages_of(rollout, 0.5, 1.0)
    assert found[0].tolist() == [6.0, 1.0]


def test_what_follows_a_masked_step_does_not_flow_over_it() -> None:
    rollouts = [rollout_of(6, 1, 1) for _ in range(2)]
    for rollout in rollouts:
        rollout.mask[3] = False
    rollouts[1].rewards[3:] = 1e6
    first, second = (advantages_of(rollout, 0.9, 0.9) for rollout in rollouts)
    assert np.array_equal(first[:3], second[:3])
    assert first[3] == 0.0


def test_a_rollout_of_unequal_arrays_is_refused() -> None:
    rollout = rollout_of(4, 2, 1)
    with pytest.raises(InvariantError, match=r"rollout\.mask"):
        Rollout(
            **{**{name: getattr(rollout, name) for name in Rollout.__slots__}, "mask": np.ones((3, 2), bool)}
        )
