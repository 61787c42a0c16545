"""The whole configuration: every section, its hash, and the JSON Schema of its file."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, with_config

from ztb.config.market import FeaturesSection, MarketSection, StrategySection
from ztb.config.running import (
    CheckpointSection,
    ExecutionConfig,
    LimitsSection,
    MqttSection,
    TelemetrySection,
)
from ztb.config.section import NO_EFFECT, Section
from ztb.execution.paper_config import BOUNDS as PAPER_BOUNDS
from ztb.execution.paper_config import PaperConfig
from ztb.execution.risk import RiskLimits
from ztb.learning.settings import PPO_DEFAULTS, AllocationConfig, GateRules, OnlineConfig
from ztb.trading.ppo.config import BOUNDS as PPO_BOUNDS
from ztb.trading.ppo.config import PPOOptions
from ztb.trading.settings import DecisionConfig, RewardConfig, SizingConfig

_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)
_BASES = (SizingConfig, RewardConfig)
for _unbounded in (PPOOptions, PaperConfig, RiskLimits):
    with_config(_STRICT)(_unbounded)
for _settings in (*_BASES, DecisionConfig, OnlineConfig, GateRules, AllocationConfig, ExecutionConfig):
    with_config({**_STRICT, "allow_inf_nan": False})(_settings)


class Config(Section):
    """The whole configuration."""

    market: MarketSection = Field(default_factory=MarketSection)
    features: FeaturesSection = Field(default_factory=FeaturesSection)
    decision: DecisionConfig = DecisionConfig()
    strategy: StrategySection = Field(default_factory=StrategySection)
    ppo: PPOOptions = PPO_DEFAULTS
    online: OnlineConfig = OnlineConfig()
    gate: GateRules = GateRules()
    allocation: AllocationConfig = AllocationConfig()
    risk: RiskLimits = RiskLimits()
    execution: ExecutionConfig = ExecutionConfig()
    paper: PaperConfig = PaperConfig()
    checkpoint: CheckpointSection = Field(default_factory=CheckpointSection)
    telemetry: TelemetrySection = Field(default_factory=TelemetrySection)
    mqtt: MqttSection = Field(default_factory=MqttSection)
    limits: LimitsSection = Field(default_factory=LimitsSection)


def config_hash(config: Config) -> str:
    """sha256 over every value that can change a result, hexadecimal."""
    tree = config.model_dump(mode="json")
    for section, field in type(config).model_fields.items():
        made = field.annotation
        if isinstance(made, type) and issubclass(made, BaseModel):
            for key, item in made.model_fields.items():
                if item.json_schema_extra == NO_EFFECT:
                    del tree[section][key]
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def schema() -> dict[str, Any]:
    """The JSON Schema of the file, bounds included."""
    made = Config.model_json_schema()
    for name, bounds in (("PPOOptions", PPO_BOUNDS), ("PaperConfig", PAPER_BOUNDS)):
        for key, limits in bounds.items():
            _publish(made["$defs"][name]["properties"].get(key), *limits)
    _describe(made["$defs"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _describe(sections: dict[str, dict[str, Any]]) -> None:
    """Write the descriptions of inherited settings too, each on one line."""
    inherited: dict[str, Any] = {}
    for base in _BASES:
        inherited |= TypeAdapter(base).json_schema()["properties"]
    for section in sections.values():
        for key, item in section.get("properties", {}).items():
            told = item.get("description") or inherited.get(key, {}).get("description")
            if told:
                item["description"] = " ".join(told.split())


def _publish(item: dict[str, Any] | None, low: float, high: float) -> None:
    """Write bounds into the schema of one setting, into its number where it may be null."""
    if item is None:
        return
    for number in item.get("anyOf", [item]):
        if number.get("type") in ("number", "integer"):
            limits = {"minimum": low, "maximum": high}
            number |= {key: value for key, value in limits.items() if abs(value) != float("inf")}
