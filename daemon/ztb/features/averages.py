"""The few pieces of arithmetic that the features share: guarded ratios and averages. Kernels on scalars."""

from __future__ import annotations

from ztb.utils.kernel import kernel

NEAR_ZERO = 1e-30
"""Below this a decayed sum holds nothing any more; far below any quantity that a venue trades."""
SANE = 1e15
"""Prices and quantities at or above this are broken data, and passed over."""


@kernel
def ratio(numerator: float, denominator: float, floor: float) -> float:
    """numerator / denominator; 0 where the denominator is not above `floor`."""
    return numerator / denominator if denominator > floor else 0.0


@kernel
def contrast(now: float, usual: float) -> float:
    """(now - usual) / (now + usual) of two non-negative figures: in [-1, 1], 0 where both are 0."""
    return ratio(now - usual, now + usual, NEAR_ZERO)


@kernel
def clip(value: float, bound: float) -> float:
    """`value` held within [-bound, bound]."""
    return max(-bound, min(bound, value))


@kernel
def ema(average: float, value: float, n: int, span: float) -> float:
    """Exponential moving average after its n-th value: weight 2 / (span + 1), seeded by the mean of `span`.

    `span` is a float, since numba would compile the kernel anew for each whole number. Source: TA-Lib, EMA.
    """
    weight = 1.0 / n if n <= span else 2.0 / (span + 1.0)
    return average + weight * (value - average)


@kernel
def wilder(average: float, value: float, n: int, span: int) -> float:
    """Wilder's average after its n-th value: weight 1 / span, seeded by the mean of the first `span`.

    Source: Wilder 1978, New Concepts in Technical Trading Systems; TA-Lib, RSI and ATR.
    """
    return average + (value - average) / min(n, span)


@kernel
def sane(value: float) -> bool:
    """True if `value` is a positive number that a venue can mean."""
    return 0.0 < value < SANE


@kernel
def quantity(value: float) -> float:
    """`value`, or 0 where it is missing (NaN), negative or absurd."""
    return value if 0.0 < value < SANE else 0.0
