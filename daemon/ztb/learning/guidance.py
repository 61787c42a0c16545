"""What the learner is told with each transition: which hyperparameters the next update has. Changed between updates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ztb.errors import ConfigError
from ztb.trading.ppo.config import PPOConfig

CHANGEABLE = (
    "gamma", "gae_lambda", "learning_rate", "minibatch_size", "epochs", "max_grad_norm", "clip_range", "clip_value",
    "entropy_coef", "value_coef", "normalize_advantage", "target_kl",
)  # fmt: skip
"""The options that may change between two updates; the rest are of the network or of the rollouts."""
_LEAST_MINIBATCH = 8


@dataclass(frozen=True, slots=True)
class Guidance:
    """`profile` is a place in the learner's profiles, 0 the configured options; `halvings` are of its minibatches."""

    profile: int = 0
    halvings: int = 0


UNGUIDED = Guidance()
"""As configured."""


def profile_options(base: PPOConfig, name: str, changes: Mapping[str, Any]) -> PPOConfig:
    """`base` with the `changes` of the profile `name`. ConfigError: one cannot change, or to that value."""
    for option in changes:
        if option not in CHANGEABLE:
            known = ", ".join(CHANGEABLE)
            raise ConfigError(
                f"online.profiles.{name}: {option!r} cannot change between updates; known: {known}"
            )
    try:
        return replace(base, **changes)
    except ConfigError as error:
        raise ConfigError(f"online.profiles.{name}: {error}") from None


def guided(profiles: tuple[PPOConfig, ...], guidance: Guidance) -> PPOConfig:
    """The options of an update under `guidance`."""
    options = profiles[guidance.profile]
    if guidance.halvings == 0:
        return options
    smaller = max(_LEAST_MINIBATCH, options.minibatch_size >> guidance.halvings)
    return replace(options, minibatch_size=min(smaller, options.minibatch_size))
