"""Limits of the risk gate (`risk_gate`), and its reasons to refuse. No compiler."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Annotated

from annotated_types import Ge, Gt, Le

DAY_NS = 86_400_000_000_000
MINUTE_NS = 60_000_000_000
MS_NS = 1_000_000
MOST_A_MINUTE = 10_000
"""The largest limit on orders in a minute: as many are remembered."""


class RefusalReason(StrEnum):
    """The reason for which an order was refused; `PASSED` if it was not. Journaled as is."""

    PASSED = "passed"
    HALTED = "halted"
    REDUCE_ONLY = "reduce_only"
    NO_MARKET = "no_market"
    ORDER_SIZE = "order_size"
    ORDER_NOTIONAL = "order_notional"
    EXPOSURE = "exposure"
    DAILY_LOSS = "daily_loss"
    DRAWDOWN = "drawdown"
    PRICE_BAND = "price_band"
    STALE_DATA = "stale_data"
    ORDER_RATE = "order_rate"
    ORDERS_PER_DAY = "orders_per_day"
    REPEATED_SIDE = "repeated_side"
    CROSSED_MARKET = "crossed_market"
    HELD = "held"


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
"""Of each reason, its words for a person, and the limit of the section `risk` behind it."""


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """Limits of one symbol. Fractions are of equity; 0 orders a day means none."""

    max_order_fraction: Annotated[float, Gt(0), Le(100)] = 1.0
    """Largest notional of one order over equity."""
    max_order_notional_quote: Annotated[float, Gt(0)] = 1e12
    """Largest notional of one order, quote currency."""
    max_exposure: Annotated[float, Gt(0), Le(100)] = 1.1
    """Largest value of the position over equity, should every open order fill."""
    max_daily_loss_fraction: Annotated[float, Gt(0), Le(1)] = 0.05
    """Of the equity at the day's start (UTC): beyond it only orders that reduce pass."""
    max_drawdown_fraction: Annotated[float, Gt(0), Le(1)] = 0.2
    """Of the highest equity so far: beyond it only orders that reduce pass."""
    protective_stop_fraction: Annotated[float, Ge(0), Le(1)] | None = None
    """Of the equity at the day's start (UTC): what the stop at the venue lets be lost; null: twice
    max_daily_loss_fraction, 0: no stop."""
    price_band_fraction: Annotated[float, Gt(0), Le(1)] = 0.05
    """Furthest that an order's price may be from the mid."""
    max_data_age_ms: Annotated[int, Gt(0)] = 60_000
    """Oldest market data that an order may rest on."""
    max_orders_per_minute: Annotated[int, Ge(0), Le(MOST_A_MINUTE)] = 60
    """Orders in any minute."""
    max_orders_per_day: Annotated[int, Ge(0)] = 5_000
    """Orders a day (UTC); 0: none at all."""
    max_repeated_side: Annotated[int, Ge(0)] = 200
    """Orders to the same side in a row."""

    @property
    def stop_fraction(self) -> float:
        """`protective_stop_fraction`, whatever it follows from."""
        given = self.protective_stop_fraction
        return min(1.0, 2.0 * self.max_daily_loss_fraction) if given is None else given


class Rung(IntEnum):
    """Permission left to an account as it loses what a limit allows; each rung includes those before. Latched."""

    FREE = 0
    LEARNING_FROZEN = 1
    REDUCE_ONLY = 2
    FLAT = 3


FREEZE_SHARE, REDUCE_SHARE, FLAT_SHARE = 0.8, 1.0, 1.25
"""Shares of a limit on losses at which its rungs are reached: what is held may lose on once no new risk is taken."""


def unbounded(limits: RiskLimits) -> RiskLimits:
    """`limits` without those on losses: of accounts on paper that are to be watched whatever they lose."""
    return replace(
        limits, max_daily_loss_fraction=1.0, max_drawdown_fraction=1.0, protective_stop_fraction=0.0
    )
