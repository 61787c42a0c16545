"""The regime of the market, and the learner's hyperparameters in it. Pure and incremental.

Calm, trending or volatile is read off the mids at decisions. Returns r between them enter exponentially weighted
moments. With σ the fast deviation, Σ the slow one and m the fast mean, the market is volatile where σ / Σ is large,
and trending where t = |m| / (σ √(a / (2 - a))) is: under independent returns of mean 0, m has that deviation at the
rate a (Roberts 1959, "Control Chart Tests Based on Geometric Moving Averages", equation 2). A condition is entered
at one level and left at a lower one, and holds for a while at least, so that it does not flicker.

The learner is told with each transition which hyperparameters the next update has; they change between two updates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from ztb.errors import ConfigError
from ztb.trading.ppo.config import PPOOptions

_TINY = 1e-300


class Regime(StrEnum):
    """Condition of the market; each has a profile of the same name."""

    CALM = "calm"
    TRENDING = "trending"
    VOLATILE = "volatile"


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """Half-lives and the shortest stay count decisions; levels are of σ / Σ and of t."""

    fast_half_life: float = 64.0
    slow_half_life: float = 2048.0
    volatile_from: float = 1.7
    volatile_to: float = 1.3
    trending_from: float = 4.0
    trending_to: float = 2.0
    shortest_stay: int = 64


class RegimeDetector:
    """`see` one mid after the other; `condition` is what they amount to."""

    def __init__(self, config: DetectorConfig | None = None) -> None:
        self.config = config or DetectorConfig()
        self.condition = Regime.CALM
        self.ratio = 1.0
        """σ / Σ at the last decision."""
        self.trend = 0.0
        """t at the last decision."""
        self._fast, self._slow = _rate(self.config.fast_half_life), _rate(self.config.slow_half_life)
        self._spread = math.sqrt(self._fast / (2.0 - self._fast))
        self._mean = self._square = self._slow_square = 0.0
        self._seen = self._stayed = 0
        self._mid = math.nan

    def see(self, mid: float) -> bool:
        """Take the mid of a decision, quote currency; whether the condition changed."""
        if not math.isnan(self._mid):
            self._add(math.log(mid / self._mid))
        self._mid = mid
        self._stayed += 1
        found = self._found()
        settled = self._seen >= self.config.fast_half_life and self._stayed >= self.config.shortest_stay
        if found == self.condition or not settled:
            return False
        self.condition, self._stayed = found, 0
        return True

    def _add(self, change: float) -> None:
        """A return enters the moments: plain means of what there is until the half-lives are reached."""
        self._seen += 1
        fast, slow = max(self._fast, 1.0 / self._seen), max(self._slow, 1.0 / self._seen)
        self._mean += fast * (change - self._mean)
        self._square += fast * (change * change - self._square)
        self._slow_square += slow * (change * change - self._slow_square)
        deviation = math.sqrt(max(self._square - self._mean * self._mean, 0.0)) + _TINY
        self.ratio = math.sqrt(self._square / (self._slow_square + _TINY))
        self.trend = abs(self._mean) / (deviation * self._spread)

    def _found(self) -> Regime:
        """The regime that the levels say; that of the present condition is the lower one."""
        config, present = self.config, self.condition
        if self.ratio > (config.volatile_to if present is Regime.VOLATILE else config.volatile_from):
            return Regime.VOLATILE
        if self.trend > (config.trending_to if present is Regime.TRENDING else config.trending_from):
            return Regime.TRENDING
        return Regime.CALM


def _rate(half_life: float) -> float:
    """The weight of the newest of exponentially weighted values."""
    return 1.0 - math.exp2(-1.0 / half_life)


CHANGEABLE = (
    "gamma", "gae_lambda", "learning_rate", "minibatch_size", "epochs", "max_grad_norm", "clip_range", "clip_value",
    "entropy_coef", "value_coef", "normalize_advantage", "target_kl",
)  # fmt: skip
"""The options that may change between two updates; the rest are of the network or of the rollouts."""
_LEAST_MINIBATCH = 8


@dataclass(frozen=True, slots=True)
class ScheduledOptions:
    """`profile` is a place in the learner's profiles, 0 the configured options; `halvings` are of its minibatches."""

    profile: int = 0
    halvings: int = 0


UNGUIDED = ScheduledOptions()
"""As configured."""


def profile_options(base: PPOOptions, name: str, changes: Mapping[str, Any]) -> PPOOptions:
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


def guided(profiles: tuple[PPOOptions, ...], guidance: ScheduledOptions) -> PPOOptions:
    """The options of an update under `guidance`."""
    options = profiles[guidance.profile]
    if guidance.halvings == 0:
        return options
    smaller = max(_LEAST_MINIBATCH, options.minibatch_size >> guidance.halvings)
    return replace(options, minibatch_size=min(smaller, options.minibatch_size))
