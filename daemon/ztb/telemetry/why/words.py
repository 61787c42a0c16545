"""Verdicts of the gate and choices, in words."""

from __future__ import annotations

from typing import Any

from ztb.execution.risk import REASONS, RefusalReason
from ztb.ledger.records import DecisionRow
from ztb.trading.decided import NO_ORDER, REPLACING
from ztb.trading.sizing import TIMING_WAIT

TIMING_NAMES = ("wait", "passive", "aggressive")


def verdict_words(decision: DecisionRow, limits: dict[str, Any]) -> str:
    """The reason why an order was or was not sent at the decision."""
    if decision.verdict == NO_ORDER:
        waited = decision.action_timing == TIMING_WAIT and not decision.aims
        return (
            "it chose to wait" if waited else "nothing was to be done: the position or a working order serves"
        )
    if decision.verdict == REPLACING:
        return "a working order was in the way: it was cancelled, and a new one sent when the venue had confirmed"
    return reason_words(decision.verdict, limits)


def reason_words(reason: str, limits: dict[str, Any]) -> str:
    """A reason code with the limit behind it."""
    words, limit = REASONS[RefusalReason(reason)]
    return f"{words} (risk.{limit} is {limits[limit]:g})" if limit in limits else words
