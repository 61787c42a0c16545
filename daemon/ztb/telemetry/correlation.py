"""Correlation of a log line with run, generation, decision and order, read off the journal as it grows; and the lines
about what the journal tells that somebody who reads along wants to see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar

import structlog

from ztb.control import Controls
from ztb.ledger.records import DecisionRow, FillRow, GenerationRow, OrderRow, Record
from ztb.telemetry.snapshot import AlertFact, DaemonSnapshot

_logger = structlog.get_logger("ztb.run")


class Correlation:
    """An `Observer` that knows the newest decision, its generation and the newest order of one run."""

    name = "correlation"

    def __init__(self, run: str) -> None:
        self.fields: dict[str, str | int] = {"run": run}

    def record(self, record: Record) -> None:
        """A row was journaled."""
        match record:
            case DecisionRow(decision=decision, generation=generation):
                self.fields |= {"decision": decision, "generation": generation}
            case OrderRow(order_id=order_id):
                self.fields["order"] = order_id
            case FillRow(order_id=order_id, side=side, quantity=quantity, price=price, fee=fee):
                what = "bought" if side > 0 else "sold"
                _logger.info("fill", order=order_id, side=what, quantity=quantity, price=price, fee=fee)
            case GenerationRow(generation=generation, event=event) if event != "made":
                _logger.info(f"generation_{event}", generation=generation)
            case _:
                pass

    def alert(self, alert: AlertFact) -> None:
        """Alerts are lines like others."""

    async def run(self, snapshot: Callable[[], DaemonSnapshot], controls: Controls) -> None:
        """There is nothing to run."""
        await asyncio.Event().wait()


_current: ContextVar[Correlation | None] = ContextVar("ztb_correlation", default=None)


def correlate(run: str) -> Correlation:
    """Lines of this task, and of the tasks it makes from now on, belong to `run`; hand it the journal's rows."""
    correlation = Correlation(run)
    _current.set(correlation)
    return correlation


def correlation_fields() -> dict[str, str | int]:
    """The fields of a line written now."""
    current = _current.get()
    return {} if current is None else current.fields
