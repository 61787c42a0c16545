"""Learning from what really happened: own transitions to PPO updates to candidate generations."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ztb.trading.policy import Weights
from ztb.trading.ppo.rollout import Rollout
from ztb.trading.ppo.stats import UpdateStats

if TYPE_CHECKING:
    from ztb.trading.ppo.update import PPOUpdater


@dataclass(frozen=True, slots=True)
class Transition:
    """One decision and what it earned, as at serving time. `observation` (D,) float32, `actions` one a head."""

    observation: NDArray[np.float32]
    actions: tuple[int, ...]
    logprob: float
    value: float
    reward: float
    generation: int
    tainted: bool


@dataclass(frozen=True, slots=True)
class OnlineConfig:
    """`update_every_decisions` transitions make an update, `updates_per_generation` updates a candidate.

    Rewards are multiplied by `reward_scale` for the learner, so that log returns of 10⁻³ are of order one.
    """

    update_every_decisions: int = 256
    updates_per_generation: int = 4
    reward_scale: float = 100.0
    max_generation_age: int = 2


@dataclass(frozen=True, slots=True)
class Updated:
    """An update happened: its number, statistics, the mean reward it saw, and a candidate's weights if one is due."""

    update: int
    stats: UpdateStats
    mean_reward: float
    candidate: Weights | None


@dataclass(slots=True)
class LearnerCounts:
    """What was left out of training, and why."""

    tainted: int = 0
    stale: int = 0
    empty: int = 0
    """Updates that did not happen because nothing was left to train on."""


@dataclass(slots=True)
class OnlineLearner:
    """Collects transitions in order and updates the policy in step with them. Owns no clock and no thread."""

    updater: PPOUpdater
    config: OnlineConfig
    counts: LearnerCounts = field(default_factory=LearnerCounts)
    updates: int = 0
    _waiting: list[Transition] = field(default_factory=list[Transition])

    def add(self, transition: Transition, next_value: float, serving: int) -> Updated | None:
        """Take one transition; returns the update it completed, if it did.

        `next_value` is the serving policy's value of the observation that followed; `serving` its generation.
        """
        self._waiting.append(transition)
        if len(self._waiting) < self.config.update_every_decisions:
            return None
        rollout = self._rollout(next_value, serving)
        rewards = [t.reward for t in self._waiting]
        self._waiting.clear()
        if not rollout.mask.any():
            self.counts.empty += 1
            return None
        stats = self.updater.update(rollout)
        self.updates += 1
        due = self.updates % self.config.updates_per_generation == 0
        return Updated(self.updates, stats, float(np.mean(rewards)), self.updater.weights() if due else None)

    @property
    def waiting(self) -> int:
        """Transitions taken that no update has used yet."""
        return len(self._waiting)

    def interrupt(self) -> None:
        """What comes next does not follow on what came last: that cannot be trained on, nor flow back over it."""
        if self._waiting:
            self._waiting[-1] = replace(self._waiting[-1], tainted=True)

    def _rollout(self, next_value: float, serving: int) -> Rollout:
        """The waiting transitions as a rollout of one environment, shape (T, 1, …)."""
        waiting = self._waiting
        n = len(waiting)
        mask = np.empty((n, 1), np.bool_)
        for i, transition in enumerate(waiting):
            stale = serving - transition.generation > self.config.max_generation_age
            self.counts.tainted += transition.tainted
            self.counts.stale += stale
            mask[i, 0] = not (transition.tainted or stale)
        values = np.array([t.value for t in waiting], np.float32).reshape(n, 1)
        next_values = np.append(values[1:, 0], np.float32(next_value)).reshape(n, 1)
        truncated = np.zeros((n, 1), np.bool_)
        truncated[-1, 0] = True
        return Rollout(
            observations=np.stack([t.observation for t in waiting])[:, None, :],
            actions=np.array([t.actions for t in waiting], np.int64)[:, None, :],
            logprobs=np.array([t.logprob for t in waiting], np.float32).reshape(n, 1),
            values=values,
            rewards=np.array([t.reward for t in waiting], np.float32).reshape(n, 1)
            * np.float32(self.config.reward_scale),
            terminated=np.zeros((n, 1), np.bool_),
            truncated=truncated,
            next_values=next_values,
            mask=mask,
        )
