"""The whole configuration: every section, its hash, and the JSON Schema of its file."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, with_config

from ztb.config.learning import PPO_DEFAULTS, AllocationSection, GateSection, OnlineSection
from ztb.config.market import DecisionSection, FeaturesSection, MarketSection, StrategySection
from ztb.config.running import (
    CheckpointSection,
    ExecutionSection,
    LimitsSection,
    MqttSection,
    TelemetrySection,
)
from ztb.config.section import NO_EFFECT, Section
from ztb.execution.paper_config import BOUNDS as PAPER_BOUNDS
from ztb.execution.paper_config import PaperConfig
from ztb.execution.risk import RiskLimits
from ztb.trading.ppo.config import BOUNDS as PPO_BOUNDS
from ztb.trading.ppo.config import PPOConfig

for _outside in (PPOConfig, PaperConfig, RiskLimits):
    with_config(ConfigDict(extra="forbid", use_attribute_docstrings=True))(_outside)


class Config(Section):
    """The whole configuration."""

    market: MarketSection = Field(default_factory=MarketSection)
    features: FeaturesSection = Field(default_factory=FeaturesSection)
    decision: DecisionSection = Field(default_factory=DecisionSection)
    strategy: StrategySection = Field(default_factory=StrategySection)
    ppo: PPOConfig = PPO_DEFAULTS
    online: OnlineSection = Field(default_factory=OnlineSection)
    gate: GateSection = Field(default_factory=GateSection)
    allocation: AllocationSection = Field(default_factory=AllocationSection)
    risk: RiskLimits = RiskLimits()
    execution: ExecutionSection = Field(default_factory=ExecutionSection)
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
    for name, bounds in (("PPOConfig", PPO_BOUNDS), ("PaperConfig", PAPER_BOUNDS)):
        for key, limits in bounds.items():
            _publish(made["$defs"][name]["properties"].get(key), *limits)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _publish(item: dict[str, Any] | None, low: float, high: float) -> None:
    """Write bounds into the schema of one setting, into its number where it may be null."""
    if item is None:
        return
    for number in item.get("anyOf", [item]):
        if number.get("type") in ("number", "integer"):
            limits = {"minimum": low, "maximum": high}
            number |= {key: value for key, value in limits.items() if abs(value) != float("inf")}
