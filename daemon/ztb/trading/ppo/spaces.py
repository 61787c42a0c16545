"""Gymnasium's spaces as the network sees them: flat observations, discrete heads, Gaussian actions."""

from __future__ import annotations

import math
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from ztb.errors import ConfigError


class Actions(Protocol):
    """Conversion of the network's actions to those of `env.step`."""

    @property
    def heads(self) -> tuple[int, ...]:
        """Sizes of the discrete heads."""
        ...

    @property
    def continuous(self) -> int:
        """Number of Gaussian actions."""
        ...

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
        shifted: NDArray[Any] = actions.reshape(-1, *self._start.shape) + self._start
        return shifted.astype(self._dtype)


class _Box:
    """Gaussian actions in units of half the range, from its middle; of unbounded ones, as they are."""

    heads = ()

    def __init__(self, space: gym.spaces.Box, squash: bool) -> None:
        low, high = space.low.astype(np.float64).ravel(), space.high.astype(np.float64).ravel()
        bounded = np.isfinite(low) & np.isfinite(high)
        if squash and not bounded.all():
            raise ConfigError(
                "ppo.squash_actions: the action space has no bounds to squash into; turn it off"
            )
        self.continuous = low.size
        self._low, self._high, self._squash, self._space = low, high, squash, space
        self._half = np.ones_like(low)
        self._half[bounded] = 0.5 * high[bounded] - 0.5 * low[bounded]
        self._middle = np.zeros_like(low)
        self._middle[bounded] = low[bounded] + self._half[bounded]

    def to_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """(N, *shape of the space), within its bounds."""
        units = np.tanh(actions.astype(np.float64)) if self._squash else actions
        scaled: NDArray[Any] = np.clip(self._middle + self._half * units, self._low, self._high)
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
    """The count of numbers in an observation. ConfigError: not a Box."""
    if not isinstance(space, gym.spaces.Box):
        raise ConfigError(
            f"environment: observations {space} are no Box; wrap it, e.g. in FlattenObservation"
        )
    return math.prod(space.shape)


def flat(observations: NDArray[Any], size: int) -> NDArray[np.float32]:
    """A batch of observations as (N, D) float32."""
    return np.ascontiguousarray(observations, np.float32).reshape(-1, size)
