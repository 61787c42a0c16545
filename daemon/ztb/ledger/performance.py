"""Figures of a run from what it did: returns, Sharpe ratio, drawdown, turnover. None where a figure does not exist."""

from __future__ import annotations

import math

YEAR_NS = 365.25 * 86_400e9
A_RATIO_NS = 30 * 86_400 * 10**9
"""The shortest span of which a ratio a year says anything."""


def finite(value: float | None) -> float | None:
    """`value`, or None if it is missing, infinite or no number."""
    return value if value is not None and math.isfinite(value) else None


def simple_return(start: float, end: float | None) -> float | None:
    """end / start − 1."""
    return None if end is None or start <= 0.0 else finite(end / start - 1.0)


def sharpe(total: float, squares: float, count: int, span_ns: int) -> float | None:
    """Annualised Sharpe ratio, risk-free rate 0, of `count` returns with the given sum and sum of squares; None for a
    span shorter than 30 days.

    Sharpe (1994), "The Sharpe Ratio": mean over standard deviation (n − 1), times the root of periods a year.
    """
    if count < 2 or span_ns < A_RATIO_NS:
        return None
    mean = total / count
    variance = (squares - count * mean * mean) / (count - 1)
    if variance <= 1e-18:
        return None
    return finite(mean / math.sqrt(variance) * math.sqrt(count * YEAR_NS / span_ns))
