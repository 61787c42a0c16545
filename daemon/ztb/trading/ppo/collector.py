"""Rollouts: the policy acts, the environments answer. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ztb.trading.policy.evaluator import Actor
from ztb.trading.policy.weights import Weights
from ztb.trading.ppo.rollout import Rollout


@dataclass(frozen=True, slots=True)
class Step:
    """The answer of N environments to their actions; arrays may be reused by the next step."""

    final: NDArray[np.float32]
    """(N, D) what the step led to: the last observation of an episode that ended, else what is acted on next."""
    rewards: NDArray[np.float64]
    """(N,)"""
    terminated: NDArray[np.bool_]
    """(N,) the task ended."""
    truncated: NDArray[np.bool_]
    """(N,) the episode was cut off."""
    mask: NDArray[np.bool_]
    """(N,) False: the step is not to be trained on."""


class Environments(Protocol):
    """N environments stepped side by side; episodes that ended begin anew by themselves."""

    @property
    def num_envs(self) -> int:
        """N."""
        ...

    def observe(self) -> NDArray[np.float32]:
        """(N, D) to act on; called once before each step."""
        ...

    def step(self, actions: NDArray[Any]) -> Step:
        """Take the network's `actions` (N, H) or (N, A). NonFiniteError: what came of it is not finite."""
        ...


_E = TypeVar("_E", bound=Environments)


class RolloutCollector(Generic[_E]):
    """Fills one rollout again and again; nothing of its size is allocated a second time."""

    def __init__(
        self, environments: _E, actor: Actor, rollout: Rollout, generator: np.random.Generator
    ) -> None:
        """`generator` draws the actions."""
        self.environments, self.actor = environments, actor
        self.rollout, self.generator = rollout, generator

    def collect(self, weights: Weights | None = None, most: int | None = None) -> Rollout:
        """The next rollout, of `most` transitions at the most; it is overwritten by the one after.

        `weights`: act by a copy of these from now on. NonFiniteError: see `Environments.step`.
        """
        if weights is not None:
            self.actor.evaluator.load(weights)
        steps = len(self.rollout.rewards)
        if most is not None:
            steps = min(steps, -(-most // self.environments.num_envs))
        for t in range(steps):
            self._step(t, last=t == steps - 1)
        return self.rollout.first(steps)

    def _step(self, t: int, last: bool) -> None:
        rollout, actor = self.rollout, self.actor
        observations, actions = rollout.observations[t], rollout.actions[t]
        observations[:] = self.environments.observe()
        random = actor.random(self.generator, len(observations))
        rollout.values[t] = actor.act(observations, random, actions, rollout.logprobs[t])
        step = self.environments.step(actions)
        rollout.rewards[t] = step.rewards
        rollout.terminated[t] = step.terminated
        rollout.truncated[t] = step.truncated
        rollout.mask[t] = step.mask
        cut_off = np.flatnonzero(~step.terminated if last else step.truncated)
        if cut_off.size:
            rollout.next_values[t, cut_off] = actor.values(step.final[cut_off])
