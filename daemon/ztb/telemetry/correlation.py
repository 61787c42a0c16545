"""What a log line belongs to: run, generation, decision and order, read off the journal as it grows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar

from ztb.control import Controls
from ztb.ledger.records import DecisionRow, OrderRow, Record
from ztb.telemetry.snapshot import AlertFact, Snapshot


class Correlation:
    """An `Observer` that knows the newest decision, its generation and the newest order of one run."""

    name = "correlation"

    def __init__(self, run: str) -> None:
        self.fields: dict[str, str | int] = {"run": run}

    def record(self, record: Record) -> None:
        """A row was journaled."""
        if isinstance(record, DecisionRow):
            self.fields |= {"decision": record.decision, "generation": record.generation}
        elif isinstance(record, OrderRow):
            self.fields["order"] = record.order_id

    def alert(self, alert: AlertFact) -> None:
        """Alerts are lines like others."""

    async def run(self, snapshot: Callable[[], Snapshot], controls: Controls) -> None:
        """There is nothing to run."""
        await asyncio.Event().wait()


_current: ContextVar[Correlation | None] = ContextVar("ztb_correlation", default=None)


def correlate(run: str) -> Correlation:
    """Lines of this task, and of the tasks it makes from now on, belong to `run`; hand it the journal's rows."""
    correlation = Correlation(run)
    _current.set(correlation)
    return correlation


def correlation_fields() -> dict[str, str | int]:
    """What a line written now belongs to."""
    current = _current.get()
    return {} if current is None else current.fields
