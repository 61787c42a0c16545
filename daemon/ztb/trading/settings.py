"""Settings of trading, each option once: when to decide, between which exposures, how to order, what is rewarded.

Sections of a configuration and the options of the environments are made of these. No compiler.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le

from ztb.errors import ConfigError

if TYPE_CHECKING:
    from ztb.market.instrument import Instrument

SPOT_LADDER = (0.0, 0.25, 0.5, 0.75, 1.0)
SHORT_LADDER = (-1.0, -0.5, 0.0, 0.5, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionConfig:
    """Moments of decisions, and the exposures they choose between: the section `decision`."""

    every: Literal["auto", "bar", "ticks", "time"] = "auto"
    """auto: bars at each bar, else time."""
    ticks: Annotated[int, Ge(1)] = 1000
    """For every=ticks."""
    interval_ms: Annotated[int, Ge(1)] = 10_000
    """For every=time, exchange time; without bars, also the features' period."""
    ladder: tuple[float, ...] | None = None
    """Target exposures, rising, with 0; default 0 to 1, or -1 to 1 where shorting exists."""

    def clock_terms(self, bar_ns: int | None) -> tuple[Literal["bar", "ticks", "time"], int, int]:
        """(what decisions wait for, the decision clock's step, the features' period in ns) on bars of `bar_ns`, None:
        on other ticks. ConfigError: bars are waited for, and there are none.
        """
        every = self.every
        if every == "auto":
            every = "time" if bar_ns is None else "bar"
        if every == "bar" and bar_ns is None:
            raise ConfigError("decision.every is 'bar', but the data are no bars; use 'time' or 'ticks'")
        interval_ns = self.interval_ms * 1_000_000
        period_ns = interval_ns if bar_ns is None else bar_ns
        return every, self.ticks if every == "ticks" else interval_ns, period_ns

    def ladder_of(self, instrument: Instrument) -> tuple[float, ...]:
        """The target exposures on `instrument`. ConfigError: they are no ladder, or cannot be traded there."""
        if self.ladder is None:
            return SHORT_LADDER if instrument.short else SPOT_LADDER
        ladder = tuple(map(float, self.ladder))
        if list(ladder) != sorted(set(ladder)) or 0.0 not in ladder or len(ladder) < 2:
            raise ConfigError(
                f"decision.ladder: must rise, hold 0 and at least one more exposure; got {list(ladder)}"
            )
        if ladder[0] < 0.0 and not instrument.short:
            raise ConfigError(
                f"decision.ladder: {ladder[0]} is short, but {instrument.symbol} cannot be sold short here"
            )
        return ladder


@dataclass(frozen=True, kw_only=True)
class SizingConfig:
    """Settings of sizing, from a target to an order."""

    band_fraction: Annotated[float, Ge(0), Le(1)] = 0.02
    """Changes of position below this share of equity are left undone."""
    cost_reserve_fraction: Annotated[float, Ge(0), Le(0.5)] = 0.002
    """Of a purchase, kept back for slippage."""


@dataclass(frozen=True, kw_only=True)
class RewardConfig:
    """The reward of a decision; see ztb.trading.rewards."""

    reward: Literal["log_return", "differential_sharpe", "sortino"] = "log_return"
    """The kind of reward; a strategy's own reward comes before it."""
    reward_rate: Annotated[float, Gt(0), Le(1)] = 0.01
    """Rate of the moving moments of ratio rewards, per decision."""
    drawdown_weight: Annotated[float, Ge(0)] = 0.0
    """The reward is less this times the rise of drawdown."""
    turnover_weight: Annotated[float, Ge(0)] = 0.0
    """The reward is less this times traded notional over equity."""


@dataclass(frozen=True)
class BridgeConfig(SizingConfig, RewardConfig):
    """Settings of the bridge from actions to orders: the ladder of target exposures, sizing, reward."""

    ladder: tuple[float, ...]

    @classmethod
    def of(cls, ladder: tuple[float, ...], sizing: SizingConfig, reward: RewardConfig) -> BridgeConfig:
        """With `ladder`, what `sizing` says of orders and `reward` of rewards; both may say more."""
        return cls(
            ladder,
            band_fraction=sizing.band_fraction,
            cost_reserve_fraction=sizing.cost_reserve_fraction,
            reward=reward.reward,
            reward_rate=reward.reward_rate,
            drawdown_weight=reward.drawdown_weight,
            turnover_weight=reward.turnover_weight,
        )
