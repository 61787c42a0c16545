"""Every detail of PPO as a named option, with bounds, and named profiles of them. No torch.

Schulman et al. 2017 (arXiv:1707.06347); Huang et al. 2022, "The 37 Implementation Details of Proximal Policy
Optimization", whose numbers the comments give: 1 to 13 for all tasks, 14 to 22 for Atari, 23 to 31 for continuous
actions, 32 to 36 for recurrent networks, 37 for several discrete heads. What an option cannot change:
- 12: each update reports its losses, entropy, divergence, clip fraction and explained variance (`UpdateStats`).
- 14 to 22 prepare pictures and lives of games: Gymnasium's wrappers around the environment do that.
- 23 to 25: Gaussian actions, independent of each other, with log standard deviations that no observation changes.
- 32 to 36: networks have no memory; an environment that needs one observes its past.
- 37: MultiDiscrete actions have a head each; their log-probs and entropies add up.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from ztb.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOOptions:
    """Options of PPO whatever it is trained on. The defaults are meant for any task with discrete actions."""

    # Rollouts.
    num_envs: int = 8
    """Environments stepped side by side (detail 1)."""
    num_steps: int = 128
    """Steps of each environment between updates."""
    gamma: float = 0.99
    """Discount of a reward one step later."""
    gae_lambda: float = 0.95
    """Weight of longer returns in the advantage (detail 5): 0 trusts the value, 1 the rewards."""

    # Optimisation.
    learning_rate: float = 1e-3
    """Adam's step size (detail 3)."""
    anneal_learning_rate: bool = True
    """Let the step size fall linearly to 0 over the training (detail 4)."""
    adam_epsilon: float = 1e-5
    """Adam's denominator floor (detail 3)."""
    minibatch_size: int = 256
    """Transitions a gradient step (detail 6); a rollout is cut into equal parts of at most this size."""
    epochs: int = 10
    """Passes over each rollout."""
    max_grad_norm: float = 0.5
    """Largest norm of the whole gradient (detail 11); inf: no limit."""

    # The loss: policy - entropy_coef * entropy + value_coef * value (detail 10).
    clip_range: float = 0.2
    """Distance that the probability ratio may leave 1 by before its gradient stops (detail 8)."""
    clip_value: float | None = None
    """Distance that the value may move from the rollout's before its gradient stops (detail 9); None: freely."""
    entropy_coef: float = 0.0
    """Weight of the entropy bonus, which keeps exploration alive."""
    value_coef: float = 0.5
    """Weight of the mean squared error of the value."""
    normalize_advantage: bool = True
    """Give each minibatch's advantages mean 0 and standard deviation 1 (detail 7)."""
    target_kl: float | None = None
    """End an update at a minibatch whose approximate KL divergence exceeds 1.5 times this; None: never."""

    # The network.
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the tanh layers."""
    shared_trunk: bool = True
    """One tower for policy and value; else one each (details 13, 26)."""
    orthogonal_init: bool = True
    """Start from orthogonal weights of gain sqrt(2), 0.01 at the policy's head, 1 at the value's (detail 2); else
    uniform in ±1 / sqrt(inputs). Biases start at 0. A network of your own starts as it comes."""

    def __post_init__(self) -> None:
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name, None)
            if value is not None and not (_is_number(value) and low <= value <= high):
                raise ConfigError(
                    f"ppo.{name}: {value!r} is not between {low} and {high}; choose one that is"
                )
        for name in _INTEGERS:
            if not isinstance(getattr(self, name), int):
                raise ConfigError(f"ppo.{name}: {getattr(self, name)!r} is not a whole number; give one")
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if not self.hidden or not all(width in range(1, 4097) for width in self.hidden):
            raise ConfigError(f"ppo.hidden: {self.hidden} needs one or more widths of 1 to 4096")

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> Self:
        """From plain data, e.g. a profile or a section of trade-config.json. ConfigError: an unknown name."""
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                remedy = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
                raise ConfigError(f"ppo.{name}: no such option{remedy}")
        return cls(**options)

    @classmethod
    def profile(cls, name: str, **changes: Any) -> Self:
        """The shipped profile `name`, with changes. ConfigError: no such profile."""
        if name not in PROFILES:
            raise ConfigError(f"ppo.profile: no profile {name!r}; there are {', '.join(PROFILES)}")
        return cls.from_mapping({**PROFILES[name], **changes})


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOConfig(PPOOptions):
    """Options of PPO, and of what `PPOTrainer` does around the environment.

    A run has no such options: its features are normalised in their own way, its rewards are scaled by
    `online.reward_scale`, and its actions are discrete.
    """

    normalize_observations: bool = False
    """Running mean 0 and standard deviation 1 of each number observed (detail 28)."""
    clip_observations: float = 10.0
    """Bound of normalised observations, in standard deviations (detail 29); inf: none."""
    normalize_rewards: bool = True
    """Divide rewards by the running standard deviation of the discounted return (detail 30)."""
    clip_rewards: float = 10.0
    """Bound of normalised rewards (detail 31); inf: none."""
    log_std: float = 0.0
    """Continuous actions: where the log standard deviation starts, in units of half the action's range."""
    squash_actions: bool = False
    """Continuous actions: squash by tanh into the range, instead of clipping at its ends (detail 27)."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


_INTEGERS = ("num_envs", "num_steps", "minibatch_size", "epochs")

BOUNDS: dict[str, tuple[float, float]] = {
    "num_envs": (1, 65536),
    "num_steps": (1, 1_000_000),
    "gamma": (0.0, 1.0),
    "gae_lambda": (0.0, 1.0),
    "learning_rate": (0.0, 1.0),
    "adam_epsilon": (1e-12, 1.0),
    "minibatch_size": (2, 1_000_000),
    "epochs": (1, 1000),
    "max_grad_norm": (1e-9, math.inf),
    "clip_range": (1e-6, 10.0),
    "clip_value": (1e-6, math.inf),
    "entropy_coef": (0.0, 10.0),
    "value_coef": (0.0, 100.0),
    "target_kl": (1e-9, math.inf),
    "log_std": (-10.0, 3.0),
    "clip_observations": (1e-6, math.inf),
    "clip_rewards": (1e-6, math.inf),
}

PROFILES: dict[str, dict[str, Any]] = {
    # Control by continuous actions with a dense reward, e.g. Pendulum-v1.
    "continuous": {
        "num_envs": 4,
        "num_steps": 1024,
        "gamma": 0.9,
        "learning_rate": 1e-3,
        "minibatch_size": 64,
        "shared_trunk": False,
    },
    # Little happens: long horizons, small steps, little exploration.
    "calm": {"gamma": 0.995, "learning_rate": 3e-4, "entropy_coef": 0.01, "epochs": 4, "target_kl": 0.02},
    # A drift to follow: exploration enough to notice its end.
    "trending": {"gamma": 0.99, "learning_rate": 5e-4, "entropy_coef": 0.02, "epochs": 4, "target_kl": 0.03},
    # What was learnt ages quickly: short horizons, large steps, exploration kept alive.
    "volatile": {"gamma": 0.97, "learning_rate": 1e-3, "entropy_coef": 0.03, "epochs": 8, "target_kl": 0.05},
}
