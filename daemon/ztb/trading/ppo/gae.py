"""Generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438, equations 11 and 16)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.trading.ppo.rollout import Rollout
from ztb.utils.kernel import kernel


@kernel
def estimate(
    rewards: np.ndarray,
    values: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    next_values: np.ndarray,
    mask: np.ndarray,
    gamma: float,
    gae_lambda: float,
    advantages: np.ndarray,
) -> None:
    """Advantages (T, N) float32 of a rollout's arrays, 0 where masked; sums in float64."""
    steps, envs = rewards.shape
    for n in range(envs):
        advantage = 0.0
        for back in range(steps):
            t = steps - 1 - back
            end = terminated[t, n] or truncated[t, n]
            next_value = next_values[t, n] if truncated[t, n] or t == steps - 1 else values[t + 1, n]
            if terminated[t, n]:
                next_value = np.float32(0.0)
            delta = np.float64(rewards[t, n]) + gamma * np.float64(next_value) - np.float64(values[t, n])
            advantage = delta if end else delta + gamma * gae_lambda * advantage
            if not mask[t, n]:
                advantage = 0.0
            advantages[t, n] = advantage


def advantages_of(rollout: Rollout, gamma: float, gae_lambda: float) -> NDArray[np.float32]:
    """Advantages (T, N) of a rollout, 0 where masked. The value's targets are these plus its values."""
    advantages = np.empty(rollout.rewards.shape, np.float32)
    estimate(
        rewards=rollout.rewards,
        values=rollout.values,
        terminated=rollout.terminated,
        truncated=rollout.truncated,
        next_values=rollout.next_values,
        mask=rollout.mask,
        gamma=float(gamma),
        gae_lambda=float(gae_lambda),
        advantages=advantages,
    )
    return advantages
