"""Volatility: moves of the price, from completed buckets. Kernels on scalars.

r is a bucket's log return ln(C[0] / C[1]); o, h, l, c are logs of its open, high, low and close; E(x, k) is
the exponential moving average of x over buckets with span k.
"""

from __future__ import annotations

import math

from ztb.features.averages import NEAR_ZERO, ratio
from ztb.utils.kernel import kernel

STILL = 1e-18
"""A variance below this (a move of a hundred-thousandth of a basis point) is rounding."""
_PARKINSON = 1.0 / (4.0 * math.log(2.0))
_GARMAN_KLASS = 2.0 * math.log(2.0) - 1.0


@kernel
def volatility(variance: float) -> float:
    """Volatility of bucket returns.

    Formula: sqrt(E(r^2, k))
    Unit: log return a bucket
    Source: J.P. Morgan 1996, RiskMetrics Technical Document, ch. 5
    """
    return math.sqrt(variance)


@kernel
def volatility_change(fast: float, slow: float) -> float:
    """Recent volatility against the usual.

    Formula: (a - b) / (a + b), a = sqrt(E(r^2, 8)), b = sqrt(E(r^2, 32))
    Unit: -1 to 1
    Source: Engle 1982, Autoregressive Conditional Heteroscedasticity (clustering)
    """
    return ratio(math.sqrt(fast) - math.sqrt(slow), math.sqrt(fast) + math.sqrt(slow), math.sqrt(STILL))


@kernel
def parkinson_variance(high: float, low: float) -> float:
    """Range variance of one bucket, of which the feature `parkinson_16` is the averaged root.

    Formula: sqrt(E((h - l)^2 / (4 ln 2), k))
    Unit: log return a bucket
    Source: Parkinson 1980, The Extreme Value Method for Estimating the Variance of the Rate of Return
    """
    return (high - low) ** 2 * _PARKINSON


@kernel
def garman_klass_variance(open_: float, high: float, low: float, close: float) -> float:
    """Range and body variance of one bucket, of which `garman_klass_16` is the averaged root.

    Formula: sqrt(E((h - l)^2 / 2 - (2 ln 2 - 1) (c - o)^2, k))
    Unit: log return a bucket
    Source: Garman and Klass 1980, On the Estimation of Security Price Volatilities, eq. 20
    """
    return max(0.0, 0.5 * (high - low) ** 2 - _GARMAN_KLASS * (close - open_) ** 2)


@kernel
def true_range(high: float, low: float, previous_close: float) -> float:
    """Span of one bucket and the close before it, in price; `atr_14` is its Wilder average over the price.

    Formula: wilder(max(H, C[1]) - min(L, C[1]), 14) / C[0]
    Unit: fraction of price
    Source: Wilder 1978, ch. 3; TA-Lib, ATR and NATR
    """
    return max(high, previous_close) - min(low, previous_close)


@kernel
def downside(negative_squares: float, squares: float) -> float:
    """Share of the variance that came from falls, centred.

    Formula: 2 E(r^2 [r < 0], 32) / E(r^2, 32) - 1
    Unit: -1 (rises alone) to 1 (falls alone)
    Source: Barndorff-Nielsen, Kinnebrock and Shephard 2010, Measuring Downside Risk: Realised Semivariance
    """
    return ratio(2.0 * negative_squares - squares, squares, STILL)


@kernel
def jump(neighbours: float, squares: float) -> float:
    """Share of the variance that came in jumps.

    Formula: 1 - (pi / 2) E(|r| |r before|, 32) / E(r^2, 32)
    Unit: share, below 0 where moves are even
    Source: Barndorff-Nielsen and Shephard 2004, Power and Bipower Variation, eq. 7
    """
    return ratio(squares - 0.5 * math.pi * neighbours, squares, STILL)


@kernel
def skewness(cubes: float, squares: float) -> float:
    """Realised skewness of bucket returns.

    Formula: E(r^3, 32) / E(r^2, 32)^1.5
    Unit: dimensionless
    Source: Amaya, Christoffersen, Jacobs and Vasquez 2015, Does Realized Skewness Predict, eq. 3
    """
    return ratio(cubes, squares * math.sqrt(squares), STILL * math.sqrt(STILL))


@kernel
def autocorrelation(products: float, squares: float) -> float:
    """First autocorrelation of bucket returns: trending above 0, reverting below.

    Formula: E(r * r before, 32) / E(r^2, 32)
    Unit: about -1 to 1
    Source: Lo and MacKinlay 1988, Stock Market Prices Do Not Follow Random Walks, eq. 14
    """
    return ratio(products, squares, STILL)


@kernel
def close_location(high: float, low: float, close: float) -> float:
    """The place where a bucket closed in its range, -1 low to 1 high; `money_flow_16` weighs it by volume.

    Formula: E(V (2 C - H - L) / (H - L), 16) / E(V, 16)
    Unit: -1 to 1
    Source: Chaikin 1982 (money flow); TA-Lib, AD (multiplier)
    """
    return ratio(2.0 * close - high - low, high - low, NEAR_ZERO)
