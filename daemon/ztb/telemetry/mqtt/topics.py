"""The topics of one instance and how each is published; and what Home Assistant is told to find them by itself.

Home Assistant reads a retained description of each sensor under `homeassistant/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from ztb.errors import ConfigError
from ztb.telemetry.snapshot import DaemonSnapshot

QoS = Literal[0, 1]


@dataclass(frozen=True, slots=True)
class Topic:
    """The destination of a message: `qos` 1 is sent again until acknowledged, `retain` is kept by the broker."""

    name: str
    qos: QoS = 0
    retain: bool = False


class Topics:
    """`<prefix>/<instance>/…`. ConfigError where a name cannot be part of a topic."""

    def __init__(self, prefix: str, instance: str) -> None:
        for part in (prefix, instance):
            if not part or any(character in part for character in "+#\0 ") or part.startswith("$"):
                raise ConfigError(
                    f"mqtt: {part!r} cannot be part of a topic: use letters, digits, hyphen, underscore"
                )
        base = f"{prefix}/{instance}"
        self.status = Topic(f"{base}/status", 1, True)
        self.state = Topic(f"{base}/state", 0, True)
        self.metrics = Topic(f"{base}/metrics", 0, True)
        self.decisions = Topic(f"{base}/decisions")
        self.fills = Topic(f"{base}/fills", 1)
        self.alerts = Topic(f"{base}/alerts", 1)
        self.generations = Topic(f"{base}/generations", 1, True)
        self.acknowledgements = Topic(f"{base}/ack", 1)
        self.commands = f"{base}/command"


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


def discovery(topics: Topics, now: DaemonSnapshot) -> Iterator[tuple[Topic, bytes]]:
    """Discovery messages to publish: topics with their payloads."""
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
    because = _common(topics, now, node, "because") | {
        "name": "Because",
        "icon": "mdi:comment-alert-outline",
        "state_topic": topics.state.name,
        # A state of Home Assistant's has 255 characters at most.
        "value_template": "{{ (value_json.conditions[0].text if value_json.conditions else '')[:255] }}",
    }
    yield _topic("sensor", node, "because"), msgspec.json.encode(because)
    halted = _common(topics, now, node, "halted") | {
        "name": "Halted",
        "device_class": "problem",
        "state_topic": topics.state.name,
        "value_template": "{{ 'ON' if value_json.state == 'halted' else 'OFF' }}",
    }
    yield _topic("binary_sensor", node, "halted"), msgspec.json.encode(halted)


def _topic(kind: str, node: str, field: str) -> Topic:
    return Topic(f"homeassistant/{kind}/{node}/{field}/config", 1, True)


def _common(topics: Topics, now: DaemonSnapshot, node: str, field: str) -> dict[str, Any]:
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
