"""Running normalisation of an environment's observations and rewards (Huang et al. 2022, details 28 to 31).

The moments are those of `features.normaliser`, without its horizon: here the whole past counts alike.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.features.normaliser import DEVIATION_FLOOR, update_moments
from ztb.trading.ppo.config import PPOConfig
from ztb.utils.kernel import kernel

Moments = NDArray[np.float64]
"""(3, size): how often each column was seen, its mean, its variance."""


@kernel
def _update(moments: np.ndarray, rows: np.ndarray) -> None:
    """Enter `rows` (N, size) one by one; none is fine."""
    for n in range(rows.shape[0]):
        update_moments(moments, rows[n], math.inf)


def _deviation(moments: Moments) -> NDArray[np.float64]:
    deviation: NDArray[np.float64] = np.maximum(np.sqrt(moments[2]), DEVIATION_FLOOR)
    return deviation


class Normalizer:
    """Of N environments side by side; what is switched off passes through."""

    def __init__(self, size: int, envs: int, config: PPOConfig) -> None:
        self._seen: Moments | None = np.zeros((3, size)) if config.normalize_observations else None
        self._returned: Moments | None = np.zeros((3, 1)) if config.normalize_rewards else None
        self._clips = config.clip_observations, config.clip_rewards
        self._gamma = config.gamma
        self._returns = np.zeros(envs)

    def see(self, observations: NDArray[np.float32], live: NDArray[np.bool_]) -> None:
        """Learn from `observations` (N, D) where `live` (N,)."""
        if self._seen is not None:
            _update(self._seen, observations[live].astype(np.float64))

    def observations(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, D), normalised and clipped."""
        if self._seen is None:
            return observations
        scaled = (observations - self._seen[1]) / _deviation(self._seen)
        clip, _ = self._clips
        clipped: NDArray[np.float32] = np.clip(scaled, -clip, clip).astype(np.float32)
        return clipped

    def rewards(
        self, rewards: NDArray[np.float64], done: NDArray[np.bool_], live: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Learn from `rewards` (N,) where `live`; they, divided by the deviation of the discounted return."""
        if self._returned is None:
            return rewards
        self._returns = self._returns * self._gamma + rewards
        _update(self._returned, self._returns[live, None])
        self._returns[done] = 0.0
        _, clip = self._clips
        return np.clip(rewards / _deviation(self._returned), -clip, clip)

    def state(self) -> dict[str, Any]:
        """Plain data and arrays."""
        moments = {"observations": self._seen, "rewards": self._returned}
        kept = {name: None if part is None else part.copy() for name, part in moments.items()}
        return {**kept, "returns": self._returns.copy()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        for moments, kept in ((self._seen, state["observations"]), (self._returned, state["rewards"])):
            if moments is not None and kept is not None:
                moments[:] = _moments_of(kept)
        self._returns = np.array(state["returns"])


def _moments_of(kept: Any) -> Any:
    """The moments of a state; those of version 1 were kept by name."""
    if not isinstance(kept, dict):
        return kept
    return np.stack([np.full_like(kept["mean"], kept["count"]), kept["mean"], kept["variance"]])
