"""Gymnasium's spaces as the network sees them: flat float32 observations, discrete heads, Gaussian actions."""

from __future__ import annotations

import math
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from ztb.errors import ConfigError


class Actions(Protocol):
    """How the network's actions become those of `env.step`."""

    heads: tuple[int, ...]
    continuous: int

    def to_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """A batch for VectorEnv.step from the network's (N, H) or (N, A)."""
        ...


class _Discrete:
    continuous = 0

    def __init__(self, space: gym.spaces.Discrete[Any]) -> None:
        self.heads = (int(space.n),)
        self._start = int(space.start)

    def to_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """(N,)"""
        return actions[:, 0] + self._start


class _MultiDiscrete:
    continuous = 0

    def __init__(self, space: gym.spaces.MultiDiscrete[Any]) -> None:
        self.heads = tuple(int(size) for size in space.nvec.ravel())
        self._start = space.start
        self._dtype = space.dtype

    def to_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """(N, *shape of the space)"""
        return (actions.reshape(-1, *self._start.shape) + self._start).astype(self._dtype)


class _Box:
    """Gaussian actions in units of half the range, from its middle; of unbounded ones, as they are."""

    heads = ()

    def __init__(self, space: gym.spaces.Box, squash: bool) -> None:
        low, high = space.low.astype(np.float64).ravel(), space.high.astype(np.float64).ravel()
        self._bounded = np.isfinite(low) & np.isfinite(high)
        if squash and not self._bounded.all():
            raise ConfigError(
                "ppo.squash_actions: the action space has no bounds to squash into; turn it off"
            )
        self.continuous = low.size
        self._low, self._high, self._squash, self._space = low, high, squash, space
        self._middle = np.where(self._bounded, 0.5 * low + 0.5 * high, 0.0)
        self._half = np.where(self._bounded, 0.5 * high - 0.5 * low, 1.0)

    def to_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """(N, *shape of the space), within its bounds."""
        units = np.tanh(actions.astype(np.float64)) if self._squash else actions
        scaled = np.clip(self._middle + self._half * units, self._low, self._high)
        return scaled.reshape(-1, *self._space.shape).astype(self._space.dtype)


def actions_of(space: gym.Space[Any], squash: bool = False) -> Actions:
    """The adapter of an action space. ConfigError: neither Discrete, MultiDiscrete nor a Box of floats."""
    match space:
        case gym.spaces.Discrete():
            return _Discrete(space)
        case gym.spaces.MultiDiscrete():
            return _MultiDiscrete(space)
        case gym.spaces.Box() if np.issubdtype(space.dtype, np.floating):
            return _Box(space, squash)
        case _:
            raise ConfigError(f"environment: actions {space} are neither Discrete, MultiDiscrete nor Box")


def observation_size(space: gym.Space[Any]) -> int:
    """How many numbers an observation has. ConfigError: not a Box."""
    if not isinstance(space, gym.spaces.Box):
        raise ConfigError(
            f"environment: observations {space} are no Box; wrap it, e.g. in FlattenObservation"
        )
    return math.prod(space.shape)


def flat(observations: NDArray[Any], size: int) -> NDArray[np.float32]:
    """A batch of observations as (N, D) float32."""
    return np.ascontiguousarray(observations, np.float32).reshape(-1, size)
