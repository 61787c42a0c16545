"""Home Assistant finds the daemon by itself: a retained description of each sensor under `homeassistant/`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from ztb.telemetry.mqtt.topics import Topic, Topics
from ztb.telemetry.snapshot import Snapshot

_SENSORS: tuple[tuple[str, str, str | None, str], ...] = (
    ("state", "State", None, "mdi:state-machine"),
    ("equity", "Equity", "quote", "mdi:cash"),
    ("position", "Position", "base", "mdi:scale-balance"),
    ("mid", "Price", "quote", "mdi:chart-line"),
    ("drawdown", "Drawdown", None, "mdi:trending-down"),
    ("lag_ms", "Lag", "ms", "mdi:timer-outline"),
    ("fills", "Fills", None, "mdi:check-all"),
    ("memory_mb", "Memory", "MB", "mdi:memory"),
)
"""Field of the snapshot, name, unit (`quote` and `base`: the currency), icon."""


def discovery(topics: Topics, now: Snapshot) -> Iterator[tuple[Topic, bytes]]:
    """What to publish: topics with their payloads."""
    node = re.sub(r"[^A-Za-z0-9_-]", "_", f"ztb_{now.instance}")
    for field, name, unit, icon in _SENSORS:
        sensor = _common(topics, now, node, field) | {
            "name": name,
            "icon": icon,
            "state_topic": topics.state.name,
            "value_template": f"{{{{ value_json.{field} }}}}",
        }
        if unit is not None:
            sensor["unit_of_measurement"] = _unit(unit, now.symbol)
        yield _topic("sensor", node, field), msgspec.json.encode(sensor)
    halted = _common(topics, now, node, "halted") | {
        "name": "Halted",
        "device_class": "problem",
        "state_topic": topics.state.name,
        "value_template": "{{ 'ON' if value_json.state == 'halted' else 'OFF' }}",
    }
    yield _topic("binary_sensor", node, "halted"), msgspec.json.encode(halted)


def _topic(kind: str, node: str, field: str) -> Topic:
    return Topic(f"homeassistant/{kind}/{node}/{field}/config", 1, True)


def _common(topics: Topics, now: Snapshot, node: str, field: str) -> dict[str, Any]:
    return {
        "unique_id": f"{node}_{field}",
        "availability_topic": topics.status.name,
        "availability_template": "{{ 'online' if value_json.online else 'offline' }}",
        "device": {
            "identifiers": [node],
            "name": f"ztb {now.instance}",
            "manufacturer": "ztb",
            "model": f"{now.strategy} on {now.symbol}",
        },
    }


def _unit(unit: str, symbol: str) -> str:
    base, _, quote = symbol.partition("/")
    return {"base": base, "quote": quote.partition(":")[0] or "quote"}.get(unit, unit)
