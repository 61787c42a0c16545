"""What watches a daemon from outside the way of a tick: MQTT, metrics, the web page, notices, systemd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ztb.control import Controls
from ztb.ledger.records import Record
from ztb.telemetry.snapshot import AlertFact, Snapshot


class Observer(Protocol):
    """The daemon runs each observer as a task of its own; one that fails is restarted and never stops the trading."""

    name: str

    def record(self, record: Record) -> None:
        """A row was journaled. Called on the trading path, in order: it may only count or enqueue, never wait."""
        ...

    def alert(self, alert: AlertFact) -> None:
        """Something an operator should know. As `record`."""
        ...

    async def run(self, snapshot: Callable[[], Snapshot], controls: Controls) -> None:
        """Until cancelled. `snapshot()` is cheap, but not free: ask a few times a second at most."""
        ...
