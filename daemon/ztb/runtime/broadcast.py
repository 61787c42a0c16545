"""A run's events, told to whoever watches: each row as it is journaled, what somebody should look at, and the two
moments of its account at which somebody outside has a say.
"""

from __future__ import annotations

from typing import Literal, Protocol

import structlog

from ztb.execution.risk_gate import RiskGate
from ztb.ledger.records import Record

Severity = Literal["info", "warning", "critical"]


class Watcher(Protocol):
    """Hears of a run on the caller's side: it may only count or enqueue, but before an order."""

    def record(self, record: Record) -> None:
        """A row was journaled."""

    def alert(self, severity: Severity, key: str, text: str) -> None:
        """Somebody should look at `text`; `key` names the cause."""

    def before_order(self, gate: RiskGate, /) -> None:
        """The gate is about to judge an order of the account's, and what it remembers may still be changed."""

    def collecting(self) -> None:
        """Events of the account's orders are about to be collected from a venue."""


class Broadcast:
    """Made before everything that has something to say. While nobody watches, alerts are lines in the log."""

    def __init__(self) -> None:
        self._watchers: list[Watcher] = []

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` too, from now on."""
        self._watchers.append(watcher)

    def record(self, record: Record) -> None:
        """A row was journaled."""
        for watcher in self._watchers:
            watcher.record(record)

    def alert(self, severity: Severity, key: str, text: str) -> None:
        """Somebody should look at `text`; `key` names the cause."""
        for watcher in self._watchers:
            watcher.alert(severity, key, text)
        if not self._watchers:
            structlog.get_logger().warning("alert", severity=severity, key=key, text=text)

    def before_order(self, gate: RiskGate) -> None:
        """The gate is about to judge an order of the account's."""
        for watcher in self._watchers:
            watcher.before_order(gate)

    def collecting(self) -> None:
        """Events of the account's orders are about to be collected from a venue."""
        for watcher in self._watchers:
            watcher.collecting()

    def warn(self, key: str, text: str) -> None:
        """An alert of the severity `warning`."""
        self.alert("warning", key, text)
