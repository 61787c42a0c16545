"""A rollout, some steps of some environments side by side, cut into minibatches; and an update's figures. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ztb.errors import InvariantError
from ztb.trading.policy.weights import NetworkShape
from ztb.utils.kernel import allocating_kernel


@dataclass(slots=True)
class Rollout:
    """T steps of N environments, side by side. Arrays may be reused by their owner for the next rollout.

    A transition that is not in `mask` (an autoreset step of Gymnasium 1.x, or one tainted by a data gap) is
    not trained on, and nothing learnt after it flows back over it.
    """

    observations: NDArray[np.float32]
    """(T, N, D)"""
    actions: NDArray[np.int64] | NDArray[np.float32]
    """(T, N, H) actions of the discrete heads, or (T, N, A) float32 Gaussian actions before any clipping."""
    logprobs: NDArray[np.float32]
    """(T, N) log-prob of the actions when they were drawn."""
    values: NDArray[np.float32]
    """(T, N) value of the observations when the actions were drawn."""
    rewards: NDArray[np.float32]
    """(T, N)"""
    terminated: NDArray[np.bool_]
    """(T, N) the task ended with this step: nothing is worth anything after it."""
    truncated: NDArray[np.bool_]
    """(T, N) the episode was cut off with this step: it would have gone on."""
    next_values: NDArray[np.float32]
    """(T, N) value of the true next observation where truncated, and at the last step; else unused."""
    mask: NDArray[np.bool_]
    """(T, N) False: not to be trained on."""

    def __post_init__(self) -> None:
        expected = self.rewards.shape
        for name in (
            "observations",
            "actions",
            "logprobs",
            "values",
            "terminated",
            "truncated",
            "next_values",
            "mask",
        ):
            found = getattr(self, name).shape[:2]
            if len(expected) != 2 or found != expected:
                raise InvariantError(f"rollout.{name}: {found} where the rewards have {expected}")

    def first(self, steps: int) -> Rollout:
        """Its first `steps`, as views."""
        return Rollout(**{field.name: getattr(self, field.name)[:steps] for field in fields(self)})


def empty_rollout(shape: NetworkShape, steps: int, envs: int) -> Rollout:
    """A rollout to be filled, for a network of `shape`."""
    size = (steps, envs)
    actions = np.zeros((*size, len(shape.heads)), np.int64)
    return Rollout(
        observations=np.zeros((*size, shape.observation_size), np.float32),
        actions=np.zeros((*size, shape.continuous), np.float32) if shape.continuous else actions,
        logprobs=np.zeros(size, np.float32),
        values=np.zeros(size, np.float32),
        rewards=np.zeros(size, np.float32),
        terminated=np.zeros(size, np.bool_),
        truncated=np.zeros(size, np.bool_),
        next_values=np.zeros(size, np.float32),
        mask=np.ones(size, np.bool_),
    )


@allocating_kernel
def _partition(indices: np.ndarray, parts: int, draws: np.ndarray, grouped: np.ndarray) -> None:
    """`indices` (S,) into `grouped` (S,), part after part, each in order; `draws` (S,) are uniform in [0, 1).

    Labels of parts are shuffled (Durstenfeld 1964, algorithm 235), and the indices counted out by them.
    """
    count = indices.shape[0]
    labels, places = np.arange(count) % parts, np.zeros(parts, np.int64)
    for k in range(count - 1, 0, -1):
        other = int(draws[k] * (k + 1))
        labels[k], labels[other] = labels[other], labels[k]
    for part in range(1, parts):
        places[part] = places[part - 1] + count // parts + (1 if part <= count % parts else 0)
    for k in range(count):
        part = labels[k]
        grouped[places[part]] = indices[k]
        places[part] += 1


def minibatches(
    indices: NDArray[np.int64], size: int, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """A random partition of `indices` into as few equal parts as have at most `size`, give or take one.

    Each part is in order, which memory is read fastest in.
    """
    parts = -(-indices.size // size)
    grouped = np.empty_like(indices)
    _partition(indices, parts, generator.random(indices.size), grouped)
    return np.array_split(grouped, parts)


@dataclass(frozen=True, slots=True)
class UpdateStats:
    """The figures of an update: means over its minibatches, the last one's divergence where that stopped it."""

    policy_loss: float
    value_loss: float
    entropy: float
    approx_kl: float
    clip_fraction: float
    explained_variance: float
    """Of the returns, by the rollout's values, before the update; nan where the returns do not vary."""
    grad_norm: float
    """Before clipping."""
    learning_rate: float
    epochs: int
    """Begun."""
    minibatches: int
    """Gradient steps taken."""
    stopped_by_kl: bool
    churn: float = math.nan
    """Share of observations whose most probable action is another since (Schaul et al. 2022); nan: there is none."""
    dormant: float = math.nan
    """Share of hidden units that hardly ever say anything (Sokal et al. 2023); nan: its units are not known."""
