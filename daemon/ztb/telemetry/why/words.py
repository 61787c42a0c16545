"""Verdicts of the gate and choices, in words."""

from __future__ import annotations

from typing import Any

from ztb.execution.risk import RefusalReason
from ztb.ledger.records import DecisionRow
from ztb.trading.lane import NO_ORDER, REPLACING
from ztb.trading.sizing import TIMING_WAIT

TIMING_NAMES = ("wait", "passive", "aggressive")

REASONS: dict[RefusalReason, tuple[str, str | None]] = {
    RefusalReason.PASSED: ("no limit was broken, so the order was sent", None),
    RefusalReason.HALTED: ("trading was halted", None),
    RefusalReason.REDUCE_ONLY: ("only orders that reduce the position were allowed", None),
    RefusalReason.NO_MARKET: ("there was no price, or no equity", None),
    RefusalReason.ORDER_SIZE: ("the order was too large a share of equity", "max_order_fraction"),
    RefusalReason.ORDER_NOTIONAL: ("the order was worth too much", "max_order_notional_quote"),
    RefusalReason.EXPOSURE: (
        "with every open order filled, exposure would have been too high",
        "max_exposure",
    ),
    RefusalReason.DAILY_LOSS: ("too much of the day's first equity was lost", "max_daily_loss_fraction"),
    RefusalReason.DRAWDOWN: ("equity was too far below its peak", "max_drawdown_fraction"),
    RefusalReason.PRICE_BAND: ("the price was too far from the mid", "price_band_fraction"),
    RefusalReason.STALE_DATA: ("the last tick was too old", "max_data_age_ms"),
    RefusalReason.ORDER_RATE: ("too many orders within a minute", "max_orders_per_minute"),
    RefusalReason.ORDERS_PER_DAY: ("too many orders that day", "max_orders_per_day"),
    RefusalReason.REPEATED_SIDE: ("too many orders on the same side in a row", "max_repeated_side"),
    RefusalReason.CROSSED_MARKET: ("the best bid was not below the best ask", None),
    RefusalReason.HELD: (
        "new risk was held back: data stale, clocks apart, books not compared, or not armed",
        None,
    ),
}
"""Each reason, and the limit of the configuration's section `risk` behind it."""


def verdict_words(decision: DecisionRow, limits: dict[str, Any]) -> str:
    """Why an order was or was not sent at the decision."""
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
