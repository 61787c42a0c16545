"""Configuration: one strict file, parsed once into frozen, bounded types with the unit in the name.

Precedence: flags, environment, file, default; every value knows where it came from.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, with_config

from ztb.errors import ConfigError
from ztb.execution.paper_config import BOUNDS as PAPER_BOUNDS
from ztb.execution.paper_config import PaperConfig
from ztb.execution.risk import RiskLimits
from ztb.learning.guidance import profile_options
from ztb.trading.ppo.config import BOUNDS as PPO_BOUNDS
from ztb.trading.ppo.config import PROFILES, PPOConfig

_NO_EFFECT: dict[str, Any] = {"no_effect_on_results": True}


class Section(BaseModel):
    """A section of the file: frozen, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MarketSection(Section):
    """What is traded; empty values are inferred from the data and said so."""

    symbol: str | None = Field(default=None, description="such as BTC/USD")
    venue: str | None = Field(
        default=None, description="such as coinbase; sets fees and spread not given here"
    )
    tick_size: Decimal | None = Field(
        default=None, gt=0, description="price increment, exact decimal, quote currency"
    )
    lot_size: Decimal | None = Field(
        default=None, gt=0, description="quantity increment, exact decimal, base currency"
    )
    maker_fee: Decimal | None = Field(
        default=None, ge=0, lt=1, description="fraction of notional, exact decimal"
    )
    taker_fee: Decimal | None = Field(
        default=None, ge=0, lt=1, description="fraction of notional, exact decimal"
    )
    spread_bps: Annotated[float, Field(ge=0, le=1000)] | None = Field(
        default=None, description="typical spread where the data have no quotes, basis points"
    )
    block_rows: int = Field(
        default=1024, ge=1, le=1_048_576, description="rows read at a time", json_schema_extra=_NO_EFFECT
    )
    client: dict[str, Any] = Field(
        default_factory=dict,
        description="options for the venue's ccxt client, such as urls and options; never a key",
    )
    allowed_hosts: tuple[str, ...] | None = Field(
        default=None, description="the only hosts that may be reached; default: the venue's own"
    )
    streams: tuple[Literal["trades", "quotes", "depth", "bars"], ...] = Field(
        default=("trades", "quotes"), min_length=1, description="what is read live"
    )
    timeframe: str = Field(default="1m", description="length of live bars, as ccxt writes it")
    depth_levels: int = Field(default=20, ge=1, le=200, description="levels a side of live books")
    poll_s: float = Field(
        default=2.0, ge=0.1, le=3600, description="between two requests where the venue has no stream"
    )
    stale_s: float = Field(
        default=10.0, ge=0.5, le=3600, description="silence of a stream after which the venue is asked"
    )
    flush_ms: float = Field(default=5.0, ge=0, le=1000, description="live rows are handed on this often")
    warm_up_s: float = Field(
        default=1800.0, ge=0, le=31_536_000, description="history fetched at a live start, not traded on"
    )
    record: bool = Field(default=True, description="keep live ticks in the run's folder")
    record_file_mb: int = Field(default=256, ge=1, le=65_536, description="a recording's file ends there")
    record_file_minutes: float = Field(
        default=60.0, ge=0.1, le=10_080, description="a recording's file ends then"
    )
    record_min_free_mb: int = Field(
        default=512, ge=0, le=1_048_576, description="free disk below which recording stops"
    )


class FeaturesSection(Section):
    """Which features the policy sees."""

    names: tuple[str, ...] | None = Field(default=None, description="default: the strategy's, or all shipped")


class DecisionSection(Section):
    """When decisions are due, and between which exposures they choose."""

    every: Literal["auto", "bar", "ticks", "time"] = Field(
        default="auto", description="auto: bars at each bar, else time"
    )
    ticks: int = Field(default=1000, ge=1, description="for every=ticks")
    interval_ms: int = Field(default=10_000, ge=1, description="for every=time, exchange time")
    ladder: tuple[float, ...] | None = Field(
        default=None,
        description="target exposures, rising, with 0; default 0 to 1, or -1 to 1 where shorting exists",
    )


class StrategySection(Section):
    """Which strategy trades."""

    name: str = Field(default="ppo_online", description="a file in strategies/ or ZTB_STRATEGY_PATH")
    options: dict[str, Any] = Field(default_factory=dict, description="handed to the strategy as they are")
    sample: bool = Field(default=True, description="sample actions (false: greedy)")


PPO_DEFAULTS = PPOConfig(
    num_envs=128, num_steps=64, minibatch_size=1024, epochs=4, learning_rate=1e-3, anneal_learning_rate=False,
    gamma=0.95, gae_lambda=0.7, entropy_coef=0.005, target_kl=0.03,
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

    learner: Literal["off", "inline", "process"] = Field(default="inline", description="where updates run")
    update_every_decisions: int = Field(
        default=256, ge=8, le=1_000_000, description="own transitions an update"
    )
    reward_scale: float = Field(
        default=100.0, gt=0, description="rewards are multiplied by this for the learner"
    )
    max_generation_age: int = Field(default=2, ge=0, description="older generations' transitions are dropped")
    window_decisions: int = Field(
        default=4096, ge=64, le=262_144, description="the recent past that the policy is rolled out over"
    )
    rollout_lanes: int = Field(default=64, ge=1, le=4096, description="rollouts side by side")
    rollout_horizon_decisions: int = Field(default=32, ge=2, le=4096, description="length of a rollout")
    passes: int = Field(default=2, ge=1, le=64, description="PPO updates an update, each over new rollouts")
    own_share: float = Field(
        default=0.2, ge=0, le=1, description="of what is learnt from, own transitions at most; 1: no rollouts"
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
    reward: Literal["log_return", "differential_sharpe", "sortino"] = "log_return"
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


class ExecutionSection(Section):
    """How targets become orders."""

    start_cash_quote: float = Field(
        default=10_000.0, gt=0, description="paper money at the start, quote currency"
    )
    band_fraction: float = Field(
        default=0.02, ge=0, le=1, description="changes below this share of equity are left"
    )
    cost_reserve_fraction: float = Field(
        default=0.002, ge=0, le=0.5, description="of a purchase kept back for slippage"
    )
    max_clock_skew_ms: float = Field(
        default=1000.0, gt=0, le=60_000, description="of the venue's clock from ours; beyond it no new risk"
    )
    reconcile_every_s: float = Field(
        default=30.0, ge=0.5, le=3600, description="live: between two comparisons with the venue"
    )
    unknown_order_s: float = Field(
        default=7.0,
        ge=1,
        le=120,
        description="live: after it the venue cannot take an unanswered order any more",
    )
    dead_man_s: float = Field(
        default=30.0,
        ge=3,
        le=600,
        description="live: the venue cancels all when it hears nothing for so long",
    )
    orders_at_start: Literal["adopt", "cancel"] = Field(
        default="adopt", description="what becomes of orders that a restart finds open"
    )
    orders_at_stop: Literal["cancel", "leave"] = Field(
        default="cancel", description="what becomes of open orders when the daemon ends"
    )


class CheckpointSection(Section):
    """Generations on disk."""

    interval_updates: int = Field(
        default=4, ge=1, le=1_000_000, description="updates between generations (ZTB_CHECKPOINT_INTERVAL)"
    )
    max_generations: int = Field(default=5, ge=1, le=100_000, description="unpromoted generations kept")


class TelemetrySection(Section):
    """What is said while running."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", json_schema_extra=_NO_EFFECT
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="auto: JSON under systemd, else lines for people",
        json_schema_extra=_NO_EFFECT,
    )
    web_listen: str | None = Field(
        default=None,
        description="page and metrics: HOST:PORT such as 127.0.0.1:8600, or unix:PATH; default: off",
        json_schema_extra=_NO_EFFECT,
    )
    web_hosts: tuple[str, ...] = Field(
        default=(), description="names that browsers use for it, without port", json_schema_extra=_NO_EFFECT
    )
    web_certificate: str | None = Field(
        default=None, description="PEM file; other machines need TLS", json_schema_extra=_NO_EFFECT
    )
    web_private_key: str | None = Field(default=None, description="PEM file", json_schema_extra=_NO_EFFECT)
    notify_from: Literal["info", "warning", "critical"] = Field(
        default="warning",
        description="alerts sent to the secret notify_urls, from this severity on",
        json_schema_extra=_NO_EFFECT,
    )


class MqttSection(Section):
    """Telemetry and commands over MQTT; off unless a broker is named. Passwords and keys: config/README.md."""

    broker: str | None = Field(
        default=None,
        description="host, or `embedded` for one inside the daemon",
        json_schema_extra=_NO_EFFECT,
    )
    port: int = Field(default=1883, ge=1, le=65535, json_schema_extra=_NO_EFFECT)
    tls: bool = Field(
        default=False, description="encrypt, and verify the broker", json_schema_extra=_NO_EFFECT
    )
    ca_file: str | None = Field(
        default=None,
        description="authorities that signed the broker's certificate; default: the system's",
        json_schema_extra=_NO_EFFECT,
    )
    username: str | None = Field(
        default=None, description="needs the secret mqtt_password", json_schema_extra=_NO_EFFECT
    )
    prefix: str = Field(default="ztb", description="first part of every topic", json_schema_extra=_NO_EFFECT)
    interval_ms: int = Field(
        default=1000, ge=100, le=3_600_000, description="between states", json_schema_extra=_NO_EFFECT
    )
    home_assistant: bool = Field(
        default=False, description="describe the sensors to Home Assistant", json_schema_extra=_NO_EFFECT
    )
    commands: bool = Field(
        default=False,
        description="obey signed commands; needs the secret mqtt_command_key",
        json_schema_extra=_NO_EFFECT,
    )
    allow_resume: bool = Field(
        default=False, description="obey resume and unfreeze too", json_schema_extra=_NO_EFFECT
    )


class LimitsSection(Section):
    """What the process may use."""

    max_memory_gb: float = Field(
        default=4.0,
        gt=0.2,
        le=4096,
        description="at 80 % minibatches shrink, at 90 % learning pauses, at 95 % a run leaves (ZTB_MAX_MEMORY_GB)",
        json_schema_extra=_NO_EFFECT,
    )


for _outside in (PPOConfig, PaperConfig, RiskLimits):
    with_config(ConfigDict(extra="forbid"))(_outside)


class Config(Section):
    """The whole configuration."""

    market: MarketSection = Field(default_factory=MarketSection)
    features: FeaturesSection = Field(default_factory=FeaturesSection)
    decision: DecisionSection = Field(default_factory=DecisionSection)
    strategy: StrategySection = Field(default_factory=StrategySection)
    ppo: PPOConfig = PPO_DEFAULTS
    online: OnlineSection = Field(default_factory=OnlineSection)
    gate: GateSection = Field(default_factory=GateSection)
    risk: RiskLimits = RiskLimits()
    execution: ExecutionSection = Field(default_factory=ExecutionSection)
    paper: PaperConfig = PaperConfig()
    checkpoint: CheckpointSection = Field(default_factory=CheckpointSection)
    telemetry: TelemetrySection = Field(default_factory=TelemetrySection)
    mqtt: MqttSection = Field(default_factory=MqttSection)
    limits: LimitsSection = Field(default_factory=LimitsSection)


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and, by dotted key, where each value that is no default came from."""

    config: Config
    origins: dict[str, str]


_SHORT_ENVIRONMENT = {
    "ZTB_CHECKPOINT_INTERVAL": "checkpoint.interval_updates",
    "ZTB_MAX_MEMORY_GB": "limits.max_memory_gb",
}
_Tree = dict[str, Any]


def load_config(
    path: Path | None, flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] = os.environ
) -> Loaded:
    """Read `path` (None: no file), then apply environment and flags (dotted keys). ConfigError says what to mend."""
    tree: _Tree = Config().model_dump(mode="json")
    origins: dict[str, str] = {}
    if path is not None:
        content = _read(path)
        for section in content:
            _require_known(section, tree, str(path), "section")
        _overlay(tree, _flatten(content), str(path), origins)
    _overlay(tree, _from_environment(environment), "environment", origins)
    _overlay(tree, dict(flags or {}), "flag", origins)
    try:
        return Loaded(Config.model_validate(tree), origins)
    except ValidationError as error:
        raise ConfigError(_explain(error, origins)) from None


def _read(path: Path) -> _Tree:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    try:
        tree = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}; compare with `ztb config show`"
        ) from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: holds no JSON object; compare with `ztb config show`")
    tree.pop("$schema", None)
    return tree


def _flatten(tree: _Tree) -> dict[str, Any]:
    """Dotted keys two deep: `section.key`; a section that is no object keeps its own name."""
    flat: dict[str, Any] = {}
    for section, values in tree.items():
        if isinstance(values, dict):
            flat |= {f"{section}.{key}": value for key, value in values.items()}
        else:
            flat[section] = values
    return flat


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, text in environment.items():
        if name in _SHORT_ENVIRONMENT:
            flat[_SHORT_ENVIRONMENT[name]] = _value(text)
        elif name.startswith("ZTB_") and "__" in name:
            section, key = name.removeprefix("ZTB_").lower().split("__", 1)
            flat[f"{section}.{key}"] = _value(text)
    return flat


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _overlay(tree: _Tree, flat: Mapping[str, Any], origin: str, origins: dict[str, str]) -> None:
    for dotted, value in flat.items():
        section, _, key = dotted.partition(".")
        _require_known(section, tree, origin, "section")
        if not key:
            raise ConfigError(f"{origin}: {section} must be an object of settings, not {value!r}")
        _require_known(key, tree[section], origin, f"key in {section}")
        tree[section][key] = value
        origins[dotted] = origin


def _require_known(name: str, known: Mapping[str, Any], origin: str, what: str) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(known)) or 'none'}"
        raise ConfigError(f"{origin}: unknown {what}: {name!r}{hint}")


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    lines: list[str] = []
    for item in error.errors():
        dotted = ".".join(str(part) for part in item["loc"][:2])
        origin = origins.get(dotted, "default")
        lines.append(f"{origin}: {dotted}: {item['msg']} (got {item['input']!r})")
    return "\n".join(lines)


def config_hash(config: Config) -> str:
    """sha256 over every value that can change a result, hexadecimal."""
    tree = config.model_dump(mode="json")
    for section, field in type(config).model_fields.items():
        made = field.annotation
        if isinstance(made, type) and issubclass(made, BaseModel):
            for key, item in made.model_fields.items():
                if item.json_schema_extra == _NO_EFFECT:
                    del tree[section][key]
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def schema() -> _Tree:
    """The JSON Schema of the file, bounds included."""
    made = Config.model_json_schema()
    for name, bounds in (("PPOConfig", PPO_BOUNDS), ("PaperConfig", PAPER_BOUNDS)):
        for key, limits in bounds.items():
            _publish(made["$defs"][name]["properties"].get(key), *limits)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _publish(item: _Tree | None, low: float, high: float) -> None:
    """Write bounds into the schema of one setting, into its number where it may be null."""
    if item is None:
        return
    for number in item.get("anyOf", [item]):
        if number.get("type") in ("number", "integer"):
            limits = {"minimum": low, "maximum": high}
            number |= {key: value for key, value in limits.items() if abs(value) != float("inf")}
