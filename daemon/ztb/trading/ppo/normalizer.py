"""Running normalisation of observations and rewards (Huang et al. 2022, details 28 to 31)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.trading.ppo.config import PPOConfig

_EPSILON = 1e-8


class RunningMoments:
    """Mean and variance of all rows seen (Chan et al. 1979, "Updating formulae", eq. 2.1), in float64."""

    def __init__(self, size: int) -> None:
        self.count = 0.0
        self.mean = np.zeros(size)
        self.variance = np.ones(size)

    def see(self, rows: NDArray[Any]) -> None:
        """Take in `rows` (N, size); none is fine."""
        new = rows.shape[0]
        if new:
            mean, variance = rows.mean(0, dtype=np.float64), rows.var(0, dtype=np.float64)
            total = self.count + new
            shift = mean - self.mean
            spread = self.variance * self.count + variance * new + shift * shift * (self.count * new / total)
            self.mean = self.mean + shift * (new / total)
            self.variance = spread / total
            self.count = total

    def deviation(self) -> NDArray[np.float64]:
        """Standard deviation, never 0."""
        return np.sqrt(self.variance + _EPSILON)

    def state(self) -> dict[str, Any]:
        """Plain data and arrays."""
        return {"count": self.count, "mean": self.mean.copy(), "variance": self.variance.copy()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.count = float(state["count"])
        self.mean, self.variance = np.array(state["mean"]), np.array(state["variance"])


class Normalizer:
    """Of N environments side by side; what is switched off passes through."""

    def __init__(self, size: int, envs: int, config: PPOConfig) -> None:
        self._seen = RunningMoments(size) if config.normalize_observations else None
        self._returned = RunningMoments(1) if config.normalize_rewards else None
        self._clips = config.clip_observations, config.clip_rewards
        self._gamma = config.gamma
        self._returns = np.zeros(envs)

    def see(self, observations: NDArray[np.float32], live: NDArray[np.bool_]) -> None:
        """Learn from `observations` (N, D) where `live` (N,)."""
        if self._seen:
            self._seen.see(observations[live])

    def observations(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, D), normalised and clipped."""
        if not self._seen:
            return observations
        scaled = (observations - self._seen.mean) / self._seen.deviation()
        clip, _ = self._clips
        return np.clip(scaled, -clip, clip).astype(np.float32)

    def rewards(
        self, rewards: NDArray[np.float64], done: NDArray[np.bool_], live: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Learn from `rewards` (N,) where `live`; they, divided by the deviation of the discounted return."""
        if not self._returned:
            return rewards
        self._returns = self._returns * self._gamma + rewards
        self._returned.see(self._returns[live, None])
        self._returns[done] = 0.0
        _, clip = self._clips
        return np.clip(rewards / self._returned.deviation(), -clip, clip)

    def state(self) -> dict[str, Any]:
        """Plain data and arrays."""
        moments = {"observations": self._seen, "rewards": self._returned}
        kept = {name: part.state() if part else None for name, part in moments.items()}
        return {**kept, "returns": self._returns.copy()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        for part, name in ((self._seen, "observations"), (self._returned, "rewards")):
            if part:
                part.load_state(state[name])
        self._returns = np.array(state["returns"])
