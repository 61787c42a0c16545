"""The price against its past: returns, averages, oscillators. Kernels on scalars and rings.

p is the present mid, C[k], H[k], L[k] are close, high and low of the bucket completed k buckets before the
last completed one; n counts completed buckets. A ring holds bucket j (from 1) at place (j - 1) mod RING.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ztb.features.averages import NEAR_ZERO, clip, ratio
from ztb.utils.kernel import kernel

FloatArray = NDArray[np.float64]

RING = 128
"""Completed buckets kept; a power of two above the longest horizon."""
MASK = RING - 1
FLAT = 1e-9
"""A deviation or range below this share of the price is rounding, not movement."""
Z_BOUND = 10.0


@kernel
def log_return(log_price: float, log_past: float) -> float:
    """Log return over k buckets and what has passed of the present one.

    Formula: ln(p / C[k])
    Unit: log return
    Source: Tsay 2010, Analysis of Financial Time Series, eq. 1.6
    """
    return log_price - log_past


@kernel
def body(log_price: float, log_open: float) -> float:
    """Log return since the present bucket opened; of a bar, from open to close.

    Formula: ln(p / O)
    Unit: log return
    Source: Nison 1991, Japanese Candlestick Charting Techniques, ch. 3 (the real body)
    """
    return log_price - log_open


@kernel
def z_score(price: float, mean: float, deviation: float) -> float:
    """Z-score of the price among the last k closes, held within ±10.

    Formula: (p - mean(C)) / std(C), population deviation of C[0..k-1]
    Unit: standard deviations
    Source: Bollinger 2001, Bollinger on Bollinger Bands; TA-Lib, STDDEV and SMA
    """
    return clip(ratio(price - mean, deviation, FLAT * mean), Z_BOUND)


@kernel
def average_deviation(price: float, average: float) -> float:
    """Distance from an exponential moving average of the closes.

    Formula: p / EMA(C, k) - 1
    Unit: fraction of price
    Source: TA-Lib, EMA
    """
    return ratio(price - average, average, NEAR_ZERO)


@kernel
def stochastic(price: float, low: float, high: float) -> float:
    """Place within the range of the last k buckets, the present price included.

    Formula: 2 (p - min(L, p)) / (max(H, p) - min(L, p)) - 1
    Unit: -1 at the low to 1 at the high
    Source: Lane 1984, Lane's Stochastics; TA-Lib, STOCHF (fast %K)
    """
    low, high = min(low, price), max(high, price)
    return ratio(2.0 * (price - low) - (high - low), high - low, FLAT * price)


@kernel
def drawdown(price: float, high: float) -> float:
    """Fall from the highest price of the last k buckets.

    Formula: p / max(H, p) - 1
    Unit: fraction of price, 0 or below
    Source: Magdon-Ismail and Atiya 2004, Maximum Drawdown
    """
    return ratio(price - max(high, price), max(high, price), NEAR_ZERO)


@kernel
def relative_strength(gain: float, loss: float, price: float) -> float:
    """Wilder's relative strength index of completed buckets, centred.

    Formula: (G - D) / (G + D) = RSI / 50 - 1; G, D: Wilder's averages of rises and falls of C over k
    Unit: -1 to 1
    Source: Wilder 1978, ch. 6; TA-Lib, RSI
    """
    return ratio(gain - loss, gain + loss, FLAT * FLAT * price)


@kernel
def convergence(fast: float, slow: float, price: float) -> float:
    """Distance of two moving averages of the closes, as a fraction of the price.

    Formula: (EMA(C, 12) - EMA(C, 26)) / C[0]
    Unit: fraction of price
    Source: Appel 1979, The Moving Average Convergence-Divergence Method; TA-Lib, MACD
    """
    return ratio(fast - slow, price, NEAR_ZERO)


@kernel
def convergence_turn(line: float, signal: float, price: float) -> float:
    """MACD against its own average over 9 buckets (the histogram), as a fraction of the price.

    Formula: (MACD - EMA(MACD, 9)) / C[0]
    Unit: fraction of price
    Source: Aspray 1986; TA-Lib, MACD (third output)
    """
    return ratio(line - signal, price, NEAR_ZERO)


@kernel
def efficiency(closes: FloatArray, n: int, k: int) -> float:
    """Way made over way travelled of the last k closes.

    Formula: (C[0] - C[k]) / sum(|C[j] - C[j+1]|, j < k)
    Unit: -1 to 1
    Source: Kaufman 1995, Smarter Trading (efficiency ratio), signed
    """
    travelled = 0.0
    for j in range(n - k, n):
        travelled += abs(closes[j & MASK] - closes[(j - 1) & MASK])
    last = closes[(n - 1) & MASK]
    return ratio(last - closes[(n - 1 - k) & MASK], travelled, FLAT * last)


@kernel
def slope(closes: FloatArray, n: int, k: int) -> float:
    """Least-squares slope of the last k closes, per bucket, as a fraction of the price.

    Formula: sum((t - mean t) C) / sum((t - mean t)^2) / C[0], t = 0..k-1
    Unit: fraction of price a bucket
    Source: TA-Lib, LINEARREG_SLOPE
    """
    centre = 0.5 * (k - 1)
    last = closes[(n - 1) & MASK]
    total = 0.0
    for t in range(k):
        total += (t - centre) * (closes[(n - k + t) & MASK] - last)
    return ratio(total * 12.0 / (k * (k * k - 1.0)), last, NEAR_ZERO)


@kernel
def mean_and_deviation(closes: FloatArray, n: int, k: int) -> tuple[float, float]:
    """Mean and population standard deviation of the last k closes, k even.

    Sums are taken around the last close, within sqrt(k - 1) deviations of the mean, so that little cancels
    and equal closes give 0; two closes at a time, since an addition waits for the one before it.
    Source: Chan, Golub and LeVeque 1983, Algorithms for Computing the Sample Variance (shifted data)
    """
    last = closes[(n - 1) & MASK]
    even, odd, even_squares, odd_squares = 0.0, 0.0, 0.0, 0.0
    for j in range(n - k, n, 2):
        first, second = closes[j & MASK] - last, closes[(j + 1) & MASK] - last
        even += first
        odd += second
        even_squares += first * first
        odd_squares += second * second
    shift = (even + odd) / k
    return last + shift, math.sqrt(max(0.0, (even_squares + odd_squares) / k - shift * shift))


@kernel
def highest(highs: FloatArray, n: int, k: int, known: float) -> float:
    """Greatest of the last k entries; `known` is that of the k entries before the last one came."""
    greatest = highs[(n - 1) & MASK]
    if greatest < known and highs[(n - 1 - k) & MASK] < known:
        return known
    if greatest < known:
        for j in range(n - k, n - 1):
            greatest = max(greatest, highs[j & MASK])
    return float(greatest)


@kernel
def lowest(lows: FloatArray, n: int, k: int, known: float) -> float:
    """Least of the last k entries; `known` is that of the k entries before the last one came."""
    least = lows[(n - 1) & MASK]
    if least > known and lows[(n - 1 - k) & MASK] > known:
        return known
    if least > known:
        for j in range(n - k, n - 1):
            least = min(least, lows[j & MASK])
    return float(least)
