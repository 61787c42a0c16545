"""Sections on how the policy learns, and what a candidate must pass before it trades."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from ztb.config.section import Section
from ztb.errors import ConfigError
from ztb.learning.regime import profile_options
from ztb.trading.ppo.config import PROFILES, PPOConfig

PPO_DEFAULTS = PPOConfig(
    num_envs=128, num_steps=64, minibatch_size=512, epochs=4, learning_rate=1e-3, anneal_learning_rate=False,
    gamma=0.95, gae_lambda=0.7, entropy_coef=0.01, target_kl=0.03,
)  # fmt: skip
"""Defaults of the section `ppo`: for markets, where rewards are noise for the most part. So much is collected for a
step, and long returns count for so little, because the noise in a sum of rewards grows with its length.
"""

ONLINE_PROFILES: dict[str, dict[str, Any]] = {
    # A discount that changes would make what the value has learnt wrong.
    name: {option: value for option, value in PROFILES[name].items() if option != "gamma"}
    for name in ("calm", "trending", "volatile")
}
"""Defaults of `online.profiles`."""


class OnlineSection(Section):
    """How the policy learns while it trades."""

    learner: Literal["auto", "off", "inline", "process"] = Field(
        default="auto",
        description="where updates run; auto: in a process on a live market, inline over history, and inline where the "
        "strategy has a network of its own",
    )
    update_every_decisions: int = Field(
        default=256, ge=8, le=1_000_000, description="own transitions an update"
    )
    reward_scale: float = Field(
        default=100.0, gt=0, description="rewards are multiplied by this for the learner"
    )
    luck_weight: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="in training on history, how much what no forecast saw of a return counts; 1: rewards as they are",
    )
    max_generation_age: int = Field(default=2, ge=0, description="older generations' transitions are dropped")
    window_decisions: int = Field(
        default=4096, ge=64, le=262_144, description="the recent past that the policy is rolled out over"
    )
    rollout_lanes: int = Field(default=64, ge=1, le=4096, description="rollouts side by side")
    rollout_horizon_decisions: int = Field(default=32, ge=2, le=4096, description="length of a rollout")
    passes: int = Field(default=2, ge=1, le=64, description="PPO updates an update, each over new rollouts")
    own_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="of what is learnt from, own transitions at most; 1: no rollouts. Only drawn actions "
        "(strategy.sample) can be learnt from",
    )
    entropy_coef: float = Field(
        default=0.02, ge=0, le=10, description="in place of ppo.entropy_coef: keeps exploration alive"
    )
    profile: Literal["none", "calm", "trending", "volatile", "auto"] = Field(
        default="none",
        description="of the learner; auto: that of the market's present condition, as detected",
    )
    profiles: dict[str, dict[str, Any]] = Field(
        default=ONLINE_PROFILES,
        description="what each changes in ppo; the network and the rollouts cannot change",
    )
    reward: Literal["log_return", "differential_sharpe", "sortino"] = Field(
        default="log_return", description="what a decision is rewarded by"
    )
    reward_rate: float = Field(
        default=0.01, gt=0, le=1, description="rate of the moving moments of ratio rewards"
    )
    drawdown_weight: float = Field(
        default=0.0, ge=0, description="reward less this times the rise of drawdown"
    )
    turnover_weight: float = Field(default=0.0, ge=0, description="reward less this times turnover")
    stop_if_not_helping: bool = Field(
        default=False, description="learning freezes once it is clear that it does worse than generation 0"
    )

    @field_validator("profiles")
    @classmethod
    def _changeable(cls, profiles: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, changes in profiles.items():
            if name not in ONLINE_PROFILES:
                raise ValueError(f"no profile {name!r}; there are {', '.join(ONLINE_PROFILES)}")
            try:
                profile_options(PPO_DEFAULTS, name, changes)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return profiles


class GateSection(Section):
    """What a candidate must pass before it trades, and what rolls it back when it does."""

    slots: int = Field(default=4, ge=1, le=64, description="candidates in test at the same time")
    paths: int = Field(
        default=4, ge=1, le=256, description="accounts on which each policy's actions are sampled"
    )
    piece_decisions: int = Field(
        default=64, ge=1, le=4096, description="the gate looks at the market so many decisions at a time"
    )
    block_decisions: int = Field(
        default=16, ge=1, le=4096, description="decisions that count as one observation of a difference"
    )
    window_decisions: int = Field(
        default=4096, ge=64, le=10_000_000, description="a test that is undecided by then ends in a refusal"
    )
    most_false_promotion: float = Field(
        default=0.05,
        gt=0,
        le=0.5,
        description="probability at most that one no better than the incumbent passes",
    )
    false_promotions_per_month: float = Field(
        default=0.5, gt=0, le=1000, description="expected number at most in 30 days of event time"
    )
    max_kl: float = Field(default=8.0, gt=0, description="mean KL from the incumbent in the test, nats")
    min_entropy_fraction: float = Field(
        default=0.02, ge=0, le=1, description="of the greatest possible entropy, in test and in probation"
    )
    max_turnover_fraction: float = Field(
        default=0.6, gt=0, le=10, description="traded a decision, of a trip between the ends of the ladder"
    )
    max_excess_drawdown_fraction: float = Field(
        default=0.25, gt=0, le=1, description="drawdown in the test beyond the incumbent's"
    )
    probation_decisions: int = Field(
        default=4096, ge=0, description="decisions after a promotion in which alarms roll it back"
    )
    alarm_drawdown_fraction: float = Field(
        default=0.25,
        gt=0,
        le=1,
        description="of equity since the promotion, beyond losses known from the test",
    )
    alarm_shift_slack_sd: float = Field(
        default=0.1,
        ge=0,
        description="reward below the one before's in the test that is let pass, standard deviations a decision",
    )
    alarm_shift_limit_sd: float = Field(
        default=50.0, gt=0, description="sum of what is missing beyond that, standard deviations"
    )


class AllocationSection(Section):
    """How the account's capital is shared among experts, where the strategy learns."""

    by: Literal["evidence", "none"] = Field(
        default="evidence",
        description="evidence: each expert has what its own growth on paper speaks for; none: the generation that "
        "serves trades the whole account, proved or not (never in live mode)",
    )
    rules: tuple[str, ...] = Field(
        default=("trend", "reversion"),
        description="strategies that are experts beside the generations; hold may be one",
    )
    prior: float = Field(
        default=0.1,
        gt=0,
        le=0.5,
        description="of the account, over all experts, while nothing speaks for them",
    )
    block_decisions: int = Field(
        default=16, ge=1, le=4096, description="decisions whose growth is one observation"
    )
    forgetting: float = Field(
        default=0.9995, gt=0.5, le=1, description="what evidence keeps of itself from block to block"
    )
    drawdown_fraction: float = Field(
        default=0.03, gt=0, le=1, description="what may be lost while the evidence is weak"
    )
    folds: int = Field(
        default=2,
        ge=0,
        le=32,
        description="of the walk-forward over the history before the first decision, which says what generation 0 "
        "begins with; 0: none",
    )
    library: int = Field(
        default=2, ge=0, le=16, description="past generations kept as experts, beside generation 0"
    )
