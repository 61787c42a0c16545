"""Settings of learning: the sections `online`, `gate` and `allocation` of a configuration, without a compiler."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le

from ztb.errors import ConfigError
from ztb.learning.regime import profile_options
from ztb.trading.ppo.config import PROFILES, PPOOptions
from ztb.trading.settings import RewardConfig

PPO_DEFAULTS = PPOOptions(
    num_envs=128,
    num_steps=64,
    minibatch_size=512,
    epochs=4,
    learning_rate=4e-3,
    gamma=0.95,
    gae_lambda=0.7,
    entropy_coef=0.005,
    target_kl=0.1,
)
"""Defaults of the section `ppo`: for markets, where rewards are noise for the most part. So much is collected for a
step, and long returns count for so little, because the noise in a sum of rewards grows with its length. The step is
large at first, as a training is short: with a quarter of it a weak edge is not found before the last update.
"""

ONLINE_PROFILES: dict[str, dict[str, Any]] = {
    # A discount that changes would make what the value has learnt wrong.
    name: {option: value for option, value in PROFILES[name].items() if option != "gamma"}
    for name in ("calm", "trending", "volatile")
}
"""Defaults of `online.profiles`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineConfig(RewardConfig):
    """Settings of learning while trading: the section `online`.

    `update_every_decisions` own transitions make an update: `passes` of PPO, each over new rollouts on the recent
    window and over own transitions.
    """

    learner: Literal["auto", "off", "inline", "process"] = "auto"
    """Place where updates run; auto: in a process on a live market, inline over history, and inline where the strategy
    has a network of its own."""
    update_every_decisions: Annotated[int, Ge(8), Le(1_000_000)] = 256
    """Own transitions an update."""
    reward_scale: Annotated[float, Gt(0)] = 100.0
    """Rewards are multiplied by this for the learner, so that log returns of 10⁻³ are of order one."""
    luck_weight: Annotated[float, Ge(0), Le(1)] = 0.0
    """In training on history, how much what no forecast saw of a return counts; 1: rewards as they are."""
    max_generation_age: Annotated[int, Ge(0)] = 2
    """Older generations' transitions are dropped."""
    window_decisions: Annotated[int, Ge(64), Le(262_144)] = 4096
    """The recent past that the policy is rolled out over."""
    rollout_lanes: Annotated[int, Ge(1), Le(4096)] = 64
    """Rollouts side by side, from as many moments of the window, each from a rung of the ladder drawn uniformly."""
    rollout_horizon_decisions: Annotated[int, Ge(2), Le(4096)] = 32
    """Length of a rollout."""
    passes: Annotated[int, Ge(1), Le(64)] = 2
    """PPO updates an update, each over new rollouts."""
    own_share: Annotated[float, Ge(0), Le(1)] = 0.2
    """Of what is learnt from, own transitions at most; 1: no rollouts. Only drawn actions (strategy.sample) can be
    learnt from."""
    learning_rate: Annotated[float, Gt(0), Le(1)] = 1e-3
    """In place of ppo.learning_rate, and never annealed: learning while trading has no end to fall towards."""
    entropy_coef: Annotated[float, Ge(0), Le(10)] = 0.02
    """In place of ppo.entropy_coef: keeps exploration alive."""
    profile: Literal["none", "calm", "trending", "volatile", "auto"] = "none"
    """Of the learner; auto: that of the market's present condition, as detected."""
    profiles: dict[str, dict[str, Any]] = field(default_factory=lambda: dict(ONLINE_PROFILES))
    """Options of ppo that each changes; the network and the rollouts cannot change."""
    stop_if_not_helping: bool = False
    """Learning freezes once it is clear that it does worse than generation 0."""

    def __post_init__(self) -> None:
        for name, changes in self.profiles.items():
            if name not in ONLINE_PROFILES:
                raise ConfigError(
                    f"online.profiles: no profile {name!r}; there are {', '.join(ONLINE_PROFILES)}"
                )
            profile_options(PPO_DEFAULTS, name, changes)

    def own_lanes(self, rollout_lanes: int) -> int:
        """Lanes of own transitions beside those of rollouts."""
        if self.own_share >= 1.0:
            return self.update_every_decisions
        return round(rollout_lanes * self.own_share / (1.0 - self.own_share))


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRules:
    """Rules that a candidate must pass before it trades, and that roll it back when it does: the section `gate`.

    Entropies and turnovers are fractions of the greatest possible ones. The alarms' defaults raise a false alarm of
    shifted rewards in about one probation of a hundred.
    """

    slots: Annotated[int, Ge(1), Le(64)] = 4
    """Candidates in test at the same time."""
    paths: Annotated[int, Ge(1), Le(256)] = 4
    """Accounts on which each policy's actions are sampled, each with the same random numbers for all policies."""
    piece_decisions: Annotated[int, Ge(1), Le(4096)] = 64
    """The gate looks at the market so many decisions at a time."""
    block_decisions: Annotated[int, Ge(1), Le(4096)] = 16
    """Decisions whose mean paired difference is one observation."""
    window_decisions: Annotated[int, Ge(64), Le(10_000_000)] = 4096
    """A test that is undecided by then ends in a refusal."""
    most_false_promotion: Annotated[float, Gt(0), Le(0.5)] = 0.05
    """Probability, at most, that one no better than the incumbent passes."""
    false_promotions_per_month: Annotated[float, Gt(0), Le(1000)] = 0.5
    """Expected number at most in 30 days of event time, beside one `most_false_promotion` at the start."""
    max_kl: Annotated[float, Gt(0)] = 8.0
    """Mean KL(incumbent ‖ candidate) over the observations of the test, nats."""
    min_entropy_fraction: Annotated[float, Ge(0), Le(1)] = 0.02
    """Of the greatest possible entropy, in test and in probation."""
    max_turnover_fraction: Annotated[float, Gt(0), Le(10)] = 0.6
    """Mean notional traded a decision, of a trip from the lowest rung of the ladder to the highest."""
    max_excess_drawdown_fraction: Annotated[float, Gt(0), Le(1)] = 0.25
    """Mean over the accounts of the greatest drawdown in the test, less the incumbent's."""
    probation_decisions: Annotated[int, Ge(0)] = 4096
    """Decisions after a promotion in which alarms roll it back."""
    alarm_drawdown_fraction: Annotated[float, Gt(0), Le(1)] = 0.25
    """Of equity since the promotion, beyond the losses that its test made it be expected to make."""
    alarm_shift_slack_sd: Annotated[float, Ge(0)] = 0.1
    """Reward below the one before's in the test that is let pass, standard deviations a decision."""
    alarm_shift_limit_sd: Annotated[float, Gt(0)] = 50.0
    """Sum of what is missing beyond that, standard deviations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationConfig:
    """The share of the account's capital among experts, where the strategy learns: the section `allocation`."""

    by: Literal["evidence", "none"] = "evidence"
    """evidence: each expert has what its own growth on paper speaks for; none: the generation that serves trades the
    whole account, proved or not (never in live mode)."""
    rules: tuple[str, ...] = ("trend", "reversion")
    """Strategies that are experts beside the generations; hold may be one."""
    prior: Annotated[float, Gt(0), Le(0.5)] = 0.1
    """Of the account, over all experts, while nothing speaks for them."""
    block_decisions: Annotated[int, Ge(1), Le(4096)] = 16
    """Decisions whose growth is one observation."""
    forgetting: Annotated[float, Gt(0.5), Le(1)] = 0.9995
    """Share of itself that evidence keeps from block to block."""
    drawdown_fraction: Annotated[float, Gt(0), Le(1)] = 0.02
    """Share that may be lost while the evidence is weak."""
    folds: Annotated[int, Ge(0), Le(32)] = 2
    """Of the walk-forward over the history before the first decision, which says what generation 0 begins with; 0:
    none."""
    library: Annotated[int, Ge(0), Le(16)] = 2
    """Past generations kept as experts, beside the one that leads and generation 0."""
