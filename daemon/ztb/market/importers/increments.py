"""Exact increments of prices and quantities: inferred from a stated prefix, then held against every row.

Also here: bars that go on in longer steps, which is not a market that is thin, but bars of another length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from ztb.market.ticks import BAR, QUOTE, Ticks

PREFIX_ROWS = 1000
"""Increments, bar lengths and usual spacings are inferred from this many rows at the start of a stream."""
FINEST = 18
"""Decimal places beyond which an increment is not inferred."""
FINEST_LOT = Decimal("1e-8")
"""Stands in where quantities have no grid."""
_MOST_DIGITS = 11
"""A grid of more significant digits than this is none: such numbers were computed."""
_MOVED = 1e-7
_FINE_SHARE = 1e-9
_WHOLE_DIGITS = 18.0
"""Digits of the largest number in increments, at most: a whole number of 64 bits. What is more, or 0 beside it, is
damage."""
_OTHER_BARS = 20
"""So many steps in a row that are longer than a bar and alike are bars of another length."""


@dataclass(frozen=True, slots=True)
class Grid:
    """`increment`: exact; `binds`: values must be multiples of it, else they are rounded to it."""

    increment: Decimal
    binds: bool = True


def infer_increment(values: NDArray[np.float64]) -> Decimal | None:
    """The largest of 1, 0.1 ... 1e-18 that all values are multiples of, noise aside; None if there is no grid."""
    finite = values[np.isfinite(values) & (values != 0.0)]
    largest = float(np.abs(finite).max()) if len(finite) else 1.0
    for places in range(FINEST + 1):
        if largest >= 10.0 ** (_MOST_DIGITS - places) and places > 0:
            return None
        scaled = finite * 10.0**places
        if np.all(np.abs(scaled - np.rint(scaled)) <= _noise(scaled)):
            return Decimal(1).scaleb(-places)
    return None


def _noise(scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    """The bound within which sums such as 0.1 + 0.2 stray: some units in the last place."""
    return 1e-9 * np.minimum(np.abs(scaled), 1.0) + 1e-12 * np.abs(scaled)


def infer_grid(values: NDArray[np.float64]) -> Grid:
    """The grid of prices; where they have none (adjusted, averaged, of 32 bits) a fine one that they are rounded to."""
    finite = values[np.isfinite(values) & (values > 0.0)]
    increment = None if _of_32_bits(finite) else infer_increment(finite)
    if increment is not None or len(finite) == 0:
        return Grid(increment or Decimal(1))
    wanted = max(8.0, np.ceil(-np.log10(finite.min()) - np.log10(_FINE_SHARE)))
    places = int(min(wanted, np.floor(_WHOLE_DIGITS - np.log10(finite.max()))))
    return Grid(Decimal(1).scaleb(-places), binds=False)


def _of_32_bits(values: NDArray[np.float64]) -> bool:
    """True if numbers were kept in 32 bits and written in full, such as 0.09120000153779984."""
    with np.errstate(over="ignore"):
        kept = values.astype(np.float32).astype(np.float64) == values
    if not len(kept) or not kept.all():
        return False
    nearest = np.array([float(f"{value:.7g}") for value in values[:_LOOKED_AT]])
    return bool((nearest != values[:_LOOKED_AT]).any())


_LOOKED_AT = 200


def snap(values: NDArray[np.float64], grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(values as the float64 nearest their multiple of the increment, True where a value is no multiple, or too large).

    Where the grid does not bind, a stray is what rounding would move by more than 1e-7 of itself.
    """
    numerator, denominator = grid.increment.as_integer_ratio()
    with np.errstate(over="ignore", invalid="ignore"):
        exact = values * (denominator / numerator)
        whole, size = np.rint(exact), np.abs(exact)
        allowed = 1e-6 + 1e-12 * size if grid.binds else _MOVED * size
        strays = (np.abs(exact - whole) > allowed) | (size >= 10.0**_WHOLE_DIGITS)
    if not whole.all():
        strays |= (whole == 0.0) & (values != 0.0)
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


def infer_tick_size(ticks: Ticks) -> Grid:
    """Price grid of a prefix."""
    return infer_grid(_fields(ticks, price_fields))


def infer_lot_size(ticks: Ticks) -> Grid:
    """Quantity grid of a prefix; not finer than 1e-8."""
    increment = infer_increment(_fields(ticks, size_fields))
    if increment is None or increment < FINEST_LOT:
        return Grid(FINEST_LOT, binds=False)
    return Grid(increment)


@dataclass(slots=True)
class Spacing:
    """The number of the last steps that were longer than a bar and equal, and how long they were."""

    step_ns: int = 0
    count: int = 0

    def first_of_other_length(self, steps: NDArray[np.int64], length: int) -> int | None:
        """The row that completes a run of `_OTHER_BARS` longer steps alike; rows are `steps` nanoseconds apart."""
        longer = steps > length
        alike = longer & (steps == np.concatenate(([self.step_ns], steps[:-1])))
        rows = np.arange(len(steps))
        broken = np.maximum.accumulate(np.where(alike, -1, rows))
        runs = np.where(broken < 0, self.count + rows + 1, rows - broken + longer[broken])
        self.step_ns, self.count = int(steps[-1]), int(runs[-1])
        found = np.flatnonzero(runs >= _OTHER_BARS)
        return int(found[0]) if len(found) else None
