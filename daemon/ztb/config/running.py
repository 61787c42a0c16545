"""Sections on how a run executes, keeps, tells, and what it may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from pydantic import Field

from ztb.config.section import NO_EFFECT, Section
from ztb.trading.settings import SizingConfig


@dataclass(frozen=True, kw_only=True)
class ExecutionConfig(SizingConfig):
    """The way from targets to orders: the section `execution`."""

    start_cash_quote: Annotated[float, Gt(0)] = 10_000.0
    """Paper money at the start, quote currency."""
    max_clock_skew_ms: Annotated[float, Gt(0), Le(60_000)] = 1000.0
    """Of the venue's clock from ours; beyond it no new risk."""
    reconcile_every_s: Annotated[float, Ge(0.5), Le(3600)] = 30.0
    """Live: between two comparisons with the venue."""
    unknown_order_s: Annotated[float, Ge(1), Le(120)] = 7.0
    """Live: after it the venue cannot take an unanswered order any more."""
    dead_man_s: Annotated[float, Ge(3), Le(600)] = 30.0
    """Live: the venue cancels all when it hears nothing for so long."""
    orders_at_start: Literal["adopt", "cancel"] = "adopt"
    """What becomes of orders that a restart finds open."""
    orders_at_stop: Literal["cancel", "leave"] = "cancel"
    """What becomes of open orders when the daemon ends."""


class CheckpointSection(Section):
    """Generations on disk."""

    interval_updates: int = Field(
        default=4, ge=1, le=1_000_000, description="updates between generations (ZTB_CHECKPOINT_INTERVAL)"
    )
    max_generations: int = Field(default=5, ge=1, le=100_000, description="unpromoted generations kept")


class TelemetrySection(Section):
    """Outputs of a running daemon."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="lines from this level on", json_schema_extra=NO_EFFECT
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="auto: JSON under systemd, else lines for people",
        json_schema_extra=NO_EFFECT,
    )
    web_listen: str | None = Field(
        default=None,
        description="page and metrics: HOST:PORT such as 127.0.0.1:8600, or unix:PATH; default: off",
        json_schema_extra=NO_EFFECT,
    )
    web_hosts: tuple[str, ...] = Field(
        default=(), description="names that browsers use for it, without port", json_schema_extra=NO_EFFECT
    )
    web_certificate: str | None = Field(
        default=None, description="PEM file; other machines need TLS", json_schema_extra=NO_EFFECT
    )
    web_private_key: str | None = Field(default=None, description="PEM file", json_schema_extra=NO_EFFECT)
    notify_from: Literal["info", "warning", "critical"] = Field(
        default="warning",
        description="alerts sent to the secret notify_urls, from this severity on",
        json_schema_extra=NO_EFFECT,
    )


class MqttSection(Section):
    """Telemetry and commands over MQTT; off unless a broker is named. Passwords and keys: config/README.md."""

    broker: str | None = Field(
        default=None,
        description="host, or `embedded` for one inside the daemon",
        json_schema_extra=NO_EFFECT,
    )
    port: int = Field(
        default=1883, ge=1, le=65535, description="TCP port of the broker", json_schema_extra=NO_EFFECT
    )
    tls: bool = Field(
        default=False, description="encrypt, and verify the broker", json_schema_extra=NO_EFFECT
    )
    ca_file: str | None = Field(
        default=None,
        description="authorities that signed the broker's certificate; default: the system's",
        json_schema_extra=NO_EFFECT,
    )
    username: str | None = Field(
        default=None, description="needs the secret mqtt_password", json_schema_extra=NO_EFFECT
    )
    prefix: str = Field(default="ztb", description="first part of every topic", json_schema_extra=NO_EFFECT)
    interval_ms: int = Field(
        default=1000, ge=100, le=3_600_000, description="between states", json_schema_extra=NO_EFFECT
    )
    home_assistant: bool = Field(
        default=False, description="describe the sensors to Home Assistant", json_schema_extra=NO_EFFECT
    )
    commands: bool = Field(
        default=False,
        description="obey signed commands; needs the secret mqtt_command_key",
        json_schema_extra=NO_EFFECT,
    )
    allow_resume: bool = Field(
        default=False, description="obey resume and unfreeze too", json_schema_extra=NO_EFFECT
    )


class LimitsSection(Section):
    """Limits of the process."""

    max_memory_gb: float = Field(
        default=4.0,
        gt=0.2,
        le=4096,
        description="at 80 % minibatches shrink, at 90 % learning pauses, at 95 % a run leaves (ZTB_MAX_MEMORY_GB)",
        json_schema_extra=NO_EFFECT,
    )
