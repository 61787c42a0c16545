"""The topics of one instance, and how each is published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ztb.errors import ConfigError

QoS = Literal[0, 1]


@dataclass(frozen=True, slots=True)
class Topic:
    """Where something goes: `qos` 1 is sent again until acknowledged, `retain` is kept by the broker."""

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
