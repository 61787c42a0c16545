"""Statistics of many looks at the past: each once, on plain arrays, with its source and equation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_NORMAL = NormalDist()
_EULER = 0.5772156649015329


def sharpe_ratio(returns: Floats) -> float:
    """Mean over standard deviation (n − 1) of `returns` (n,), a period, risk-free rate 0; 0 where nothing moves."""
    if len(returns) < 2:
        return 0.0
    deviation = float(returns.std(ddof=1))
    return float(returns.mean()) / deviation if deviation > 1e-12 else 0.0


def moments(returns: Floats) -> tuple[float, float]:
    """Skewness and kurtosis (3 for the normal) of `returns` (n,); those of the normal where nothing moves."""
    centred = returns - returns.mean()
    variance = float((centred**2).mean())
    if variance <= 1e-24:
        return 0.0, 3.0
    return float((centred**3).mean()) / variance**1.5, float((centred**4).mean()) / variance**2


def probabilistic_sharpe(returns: Floats, benchmark: float) -> float:
    """Probability that the true Sharpe ratio a period is above `benchmark`, given `returns` (n,).

    Bailey and López de Prado 2012, "The Sharpe Ratio Efficient Frontier", equation 8:
    Φ((SR − SR*) √(n − 1) / √(1 − γ₃ SR + (γ₄ − 1)/4 SR²)).
    """
    ratio = sharpe_ratio(returns)
    skewness, kurtosis = moments(returns)
    variance = 1.0 - skewness * ratio + (kurtosis - 1.0) / 4.0 * ratio**2
    return _NORMAL.cdf(
        (ratio - benchmark) * math.sqrt(max(len(returns) - 1, 0)) / math.sqrt(max(variance, 1e-12))
    )


def expected_maximum(looks: int, variance: float) -> float:
    """The Sharpe ratio that the best of `looks` worthless ones has on average, where theirs vary by `variance`.

    Bailey and López de Prado 2014, "The Deflated Sharpe Ratio", equation 1:
    √V ((1 − γ) Φ⁻¹(1 − 1/N) + γ Φ⁻¹(1 − 1/(N e))); 0 for a single look.
    """
    if looks < 2:
        return 0.0
    return math.sqrt(variance) * (
        (1.0 - _EULER) * _NORMAL.inv_cdf(1.0 - 1.0 / looks)
        + _EULER * _NORMAL.inv_cdf(1.0 - 1.0 / (looks * math.e))
    )


def deflated_sharpe(returns: Floats, looks: int, ratios: Floats) -> float:
    """Probability that `returns` (n,), the best of `looks`, have a Sharpe ratio above what luck gives the best.

    Bailey and López de Prado 2014, equation 2: the probabilistic Sharpe ratio against `expected_maximum`. The variance
    between looks is that of `ratios` (N,), a period, but no less than what chance alone gives them, 1 / (n − 1): a few
    alike say little of the many that were tried elsewhere.
    """
    chance = 1.0 / max(len(returns) - 1, 1)
    variance = max(float(ratios.var(ddof=1)), chance) if len(ratios) > 1 else chance
    return probabilistic_sharpe(returns, expected_maximum(looks, variance))


@dataclass(frozen=True, slots=True)
class Overfitting:
    """The finding of combinatorially symmetric cross-validation. `probability`: how often the best in one half of
    the time was in the lower half of all in the other; `loss`: how often it lost there. `splits`: ways to halve the
    time."""

    probability: float
    loss: float
    splits: int


def overfitting(returns: Floats, blocks: int = 12) -> Overfitting | None:
    """Probability of backtest overfitting of choosing the best of N configurations by Sharpe ratio; None for fewer
    than two, or less than two periods a block.

    `returns`: (T, N). Bailey, Borwein, López de Prado and Zhu 2017, "The Probability of Backtest Overfitting", section
    2.2: time is cut into `blocks` (even), and for each half of them the best inside is ranked outside, ω = r/(N + 1);
    the probability is that of λ = ln(ω/(1 − ω)) ≤ 0. Ties share their mean rank.
    """
    periods, n = returns.shape
    blocks = min(blocks, periods // 2 // 2 * 2)
    if n < 2 or blocks < 2:
        return None
    edges = np.linspace(0, periods, blocks + 1).astype(np.int64)
    counts = np.diff(edges).astype(np.float64)
    sums = np.add.reduceat(returns, edges[:-1], axis=0)
    squares = np.add.reduceat(returns**2, edges[:-1], axis=0)
    logits, losses = list[float](), 0
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.zeros(blocks, np.bool_)
        inside[list(chosen)] = True
        best = int(np.argmax(_ratios(sums[inside], squares[inside], counts[inside])))
        outside = _ratios(sums[~inside], squares[~inside], counts[~inside])
        below, equal = int((outside < outside[best]).sum()), int((outside == outside[best]).sum())
        rank = below + (equal + 1) / 2
        logits.append(math.log(rank / (n + 1 - rank)))
        losses += bool(sums[~inside, best].sum() < 0.0)
    worse = sum(logit <= 0.0 for logit in logits)
    return Overfitting(worse / len(logits), losses / len(logits), len(logits))


def _ratios(sums: Floats, squares: Floats, counts: Floats) -> Floats:
    """Sharpe ratios (N,) from sums (B, N) and sums of squares (B, N) over blocks of `counts` (B,) periods."""
    n = counts.sum()
    mean = sums.sum(axis=0) / n
    variance = np.maximum(squares.sum(axis=0) / n - mean**2, 0.0)
    ratios: Floats = np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=variance > 1e-24)
    return ratios


def block_length(series: Floats) -> float:
    """The mean length of blocks with which a stationary bootstrap of `series` (n,) estimates the variance of its mean
    best; at least 1.

    Politis and White 2004, "Automatic Block-Length Selection for the Dependent Bootstrap", corrected by Patton,
    Politis and White 2009: b = (2 ĝ² / d̂)^(1/3) n^(1/3), ĝ = Σ λ(k/M) |k| R̂(k), d̂ = 2 (Σ λ(k/M) R̂(k))², with the
    trapezoid λ and autocovariances R̂; M is twice the lag after which autocorrelations stay insignificant.
    """
    n = len(series)
    centred = series - series.mean()
    if n < 8 or float((centred**2).sum()) <= 1e-24:
        return 1.0
    quiet = max(5, math.ceil(math.log10(n)))
    most = min(math.ceil(math.sqrt(n)) + quiet, n - 1)
    covariances = np.array([float(centred[k:] @ centred[: n - k]) / n for k in range(most + 1)])
    significant = 2.0 * math.sqrt(math.log10(n) / n)
    loud = np.abs(correlations(centred, most)) >= significant
    after = _quiet_after(loud, quiet)
    width = min(2 * max(after, 1), most)
    lags = np.arange(-width, width + 1)
    window = np.minimum(1.0, 2.0 * (1.0 - np.abs(lags) / width))
    weighted = window * covariances[np.abs(lags)]
    g, spread = float((weighted * np.abs(lags)).sum()), float(weighted.sum())
    if spread == 0.0:
        return 1.0
    length = (2.0 * g**2 / (2.0 * spread**2)) ** (1.0 / 3.0) * n ** (1.0 / 3.0)
    longest = math.ceil(min(3.0 * math.sqrt(n), n / 3.0))
    return float(min(max(length, 1.0), longest))


def correlations(centred: Floats, most: int) -> Floats:
    """Correlations (most,) of a centred series with itself, lags 1 on, each of the parts that overlap."""
    found = np.zeros(most)
    for lag in range(1, most + 1):
        early, late = centred[:-lag], centred[lag:]
        size = math.sqrt(float(early @ early) * float(late @ late))
        found[lag - 1] = float(early @ late) / size if size > 0.0 else 0.0
    return found


def _quiet_after(loud: NDArray[np.bool_], quiet: int) -> int:
    """The last lag before the first `quiet` insignificant ones in a row; else the last significant one."""
    for lag in range(len(loud) - quiet + 1):
        if not loud[lag : lag + quiet].any():
            return lag
    places = np.flatnonzero(loud)
    return int(places[-1]) + 1 if len(places) else 0


def resampled(n: int, draws: int, length: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """Rows (draws, n) of stationary bootstraps of n rows: blocks begin anywhere, and end with probability 1/`length`.

    Politis and Romano 1994, "The Stationary Bootstrap"; rows go round.
    """
    begins = generator.random((draws, n)) < 1.0 / length
    begins[:, 0] = True
    starts = generator.integers(0, n, (draws, n))
    steps = np.arange(n)
    last = np.maximum.accumulate(np.where(begins, steps, 0), axis=1)
    rows: NDArray[np.int64] = (np.take_along_axis(starts, last, axis=1) + steps - last) % n
    return rows


def bootstrap_interval(
    series: Floats, statistic: str, generator: np.random.Generator, draws: int = 2000, level: float = 0.95
) -> tuple[float, float] | None:
    """Bounds between which `statistic` of `series` (n,), 'mean' or 'sharpe', lies with probability `level`; None for
    fewer than 20 periods.

    Percentiles of stationary bootstraps (Politis and Romano 1994) with `block_length`; Efron and Tibshirani 1993, "An
    Introduction to the Bootstrap", chapter 13.
    """
    if len(series) < 20:
        return None
    drawn = series[resampled(len(series), draws, block_length(series), generator)]
    found = drawn.mean(axis=1)
    if statistic == "sharpe":
        deviations = drawn.std(axis=1, ddof=1)
        found = np.divide(found, deviations, out=np.zeros(draws), where=deviations > 1e-12)
    low, high = np.quantile(found, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)


def superior_ability(
    returns: Floats, benchmark: Floats, generator: np.random.Generator, draws: int = 2000
) -> float:
    """p-value of "none of N configurations earns more than the benchmark": how often chance makes the best as good.

    `returns`: (T, N), `benchmark`: (T,). Hansen 2005, "A Test for Superior Predictive Ability": with d = returns −
    benchmark, T^SPA = max(max_k √T d̄_k / ω̂_k, 0), its distribution from stationary bootstraps of d_k − g(d̄_k), where
    the consistent g leaves out who is so bad (d̄_k < −ω̂_k √(2 ln ln T / T)) that he does not matter; ω̂_k² is the
    bootstrap's variance of √T d̄_k. 1 where nobody differs from the benchmark.
    """
    excess = returns - benchmark[:, None]
    n = len(excess)
    moving = excess.std(axis=0) > 1e-12
    if not moving.any() or n < 8:
        return 1.0
    excess = excess[:, moving]
    length = float(np.median([block_length(column) for column in excess.T]))
    rows = resampled(n, draws, length, generator)
    means = excess.mean(axis=0)
    drawn = np.stack([column[rows].mean(axis=1) for column in excess.T], axis=1)
    scale = math.sqrt(n) * (drawn - means).std(axis=0)
    hopeless = means < -scale * math.sqrt(2.0 * math.log(math.log(n)) / n)
    centred = drawn - np.where(hopeless, 0.0, means)
    statistic = max(float((math.sqrt(n) * means / scale).max()), 0.0)
    by_chance = np.maximum((math.sqrt(n) * centred / scale).max(axis=1), 0.0)
    return float((by_chance >= statistic).mean())
