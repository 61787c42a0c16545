"""Exact increments of prices and quantities: inferred from a stated prefix, then held against every row."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from ztb.market.ticks import BAR, QUOTE, Ticks

PREFIX_ROWS = 1000
"""Increments, bar lengths and usual spacings are inferred from this many rows at the start of a stream."""
FINEST = 8
"""Decimal places beyond which an increment is not inferred."""


def infer_increment(values: NDArray[np.float64]) -> Decimal:
    """The largest of 1, 0.1 ... 1e-8 that all values are multiples of, noise aside; 1e-8 if none is."""
    finite = values[np.isfinite(values)]
    for places in range(FINEST):
        scaled = finite * 10.0**places
        if np.all(np.abs(scaled - np.rint(scaled)) <= _noise(scaled)):
            return Decimal(1).scaleb(-places)
    return Decimal(1).scaleb(-FINEST)


def _noise(scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far sums such as 0.1 + 0.2 stray: some units in the last place."""
    return 1e-9 + 1e-12 * np.abs(scaled)


def snap(values: NDArray[np.float64], increment: Decimal) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(values as the float64 nearest their multiple of `increment`, True where a value is no multiple)."""
    numerator, denominator = increment.as_integer_ratio()
    exact = values * (denominator / numerator)
    whole = np.rint(exact)
    strays = np.abs(exact - whole) > 1e-6 + 1e-12 * np.abs(exact)
    # Whole numbers divided once are rounded once: the result is the float64 that the decimal is written as.
    return whole * float(numerator) / float(denominator), strays


def price_fields(kind: int) -> tuple[str, ...]:
    """Fields of a row that hold prices the venue quoted."""
    if kind == BAR:
        return ("open", "high", "low", "price")
    return ("bid", "ask") if kind == QUOTE else ("price",)


def size_fields(kind: int) -> tuple[str, ...]:
    """Fields of a row that hold quantities."""
    return ("bid_size", "ask_size") if kind == QUOTE else ("size",)


def _fields(ticks: Ticks, names_of: Callable[[int], tuple[str, ...]]) -> NDArray[np.float64]:
    parts: list[NDArray[np.float64]] = []
    for kind in np.unique(ticks["kind"]):
        rows = ticks[ticks["kind"] == kind]
        parts += [rows[name] for name in names_of(int(kind))]
    return np.concatenate(parts) if parts else np.zeros(0)


def infer_tick_size(ticks: Ticks) -> Decimal:
    """Price increment of a prefix."""
    return infer_increment(_fields(ticks, price_fields))


def infer_lot_size(ticks: Ticks) -> Decimal:
    """Quantity increment of a prefix."""
    return infer_increment(_fields(ticks, size_fields))
