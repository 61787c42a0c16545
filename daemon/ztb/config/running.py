"""Sections on how a run executes, keeps, tells, and what it may use."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ztb.config.section import NO_EFFECT, Section


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
    """What the process may use."""

    max_memory_gb: float = Field(
        default=4.0,
        gt=0.2,
        le=4096,
        description="at 80 % minibatches shrink, at 90 % learning pauses, at 95 % a run leaves (ZTB_MAX_MEMORY_GB)",
        json_schema_extra=NO_EFFECT,
    )
