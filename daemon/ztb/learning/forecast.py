"""A forecast of the next return: a sparse regression on what the policy is told.

Candidates are the features and their products two by two, so that a condition may turn the sign of another column.
Orthogonal matching pursuit (Pati and others 1993) takes in the most significant one after the other until none is
left. Three things keep out what carries nothing, and let in what is weak:

- The returns' tails are bounded (Huber 1964, ψ): of hourly returns a few large ones are most of the noise.
- Deviations of sums are White's (1980), right where volatility comes in clusters.
- A candidate must be as significant as the best of so many that carry nothing is with a probability of 1 %
  (Bonferroni), columns and products each among their own.

What is found so is weighed no higher than the returns with their tails bear out.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ztb.trading.recording import Recording

Floats = NDArray[np.float64]

FALSE_FIND = 0.01
"""Probability at most that columns that carry nothing give a term; the same again for products."""
_MOST_TERMS = 8
_TAIL = 1.0
"""Standard deviations of the return beyond which it counts no more."""
_LEEWAY = 0.5
"""White's standard deviations by which a weight may exceed its least-squares estimate."""
_BLOCK = 64
"""Rows of a product of matrices: so few that no library finds it worth other threads, which wait by spinning."""
_MOST_ROWS = 65_536
"""Rows looked at, evenly spread. They show what explains 0.03 % of the variance; what explains less pays no costs."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Of the log return from one decision to the next: `drift` plus `weights` (T,) times centred terms.

    A term is the product of the features `left` (T,) and `right` (T,); where `right` is -1 it is `left` alone.
    """

    drift: float
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    means: Floats
    weights: Floats

    def of(self, features: NDArray[np.float32]) -> Floats:
        """(K,) of normalised `features` (K, F)."""
        second = np.where(self.right >= 0, features[:, self.right], 1.0)
        terms = features[:, self.left] * second - self.means
        return self.drift + np.asarray(terms @ self.weights, np.float64)

    def innovations(self, recording: Recording) -> Floats:
        """(K,) of each log return to the next decision what was not foreseen; 0 for the last decision's."""
        foreseen = self.of(recording.shared.features[:-1])
        return np.append(_returns(recording) - foreseen, 0.0)


def _returns(recording: Recording) -> Floats:
    return np.asarray(np.diff(np.log(recording.shared.mids)), np.float64)


def fit_forecast(recording: Recording) -> Forecast:
    """The forecast that a recording gives grounds for: often 0, always. Returns across gaps are left out."""
    rows = np.flatnonzero(~recording.shared.tainted[1:])
    rows = rows[:: max(1, -(-len(rows) // _MOST_ROWS))]
    returns = _returns(recording)[rows]
    candidates = _Candidates(recording.shared.features[rows])
    bounded, slope = _bound(returns)
    terms: list[int] = []
    taken, robust, rest = np.empty((len(rows), 0)), np.zeros(0), bounded
    while len(terms) < _MOST_TERMS and (best := candidates.most_significant(rest)) is not None:
        if best in terms:
            break
        terms.append(best)
        taken = np.column_stack([taken, candidates.centred(best)])
        robust = _fit(taken, bounded)
        rest = bounded - taken @ robust
    weights = _borne_out(taken, returns, robust / slope)
    at = np.array(terms, np.int64)[weights != 0.0]
    drift = _drift(returns, candidates.columns)
    return Forecast(
        drift=drift,
        left=candidates.left[at],
        right=candidates.right[at],
        means=candidates.means[at],
        weights=weights[weights != 0.0],
    )


def _fit(terms: Floats, returns: Floats) -> Floats:
    """Least squares: the weights (T,) of `terms` (n, T)."""
    return np.asarray(np.linalg.lstsq(terms, returns, rcond=None)[0], np.float64)


def _borne_out(terms: Floats, returns: Floats, robust: Floats) -> Floats:
    """The weights (T,) as far as the whole returns bear them out, which are what is earned.

    None is larger than its least-squares estimate and a little: what is significant in the small returns alone, such
    as prices that jump between two sides of a book, is not so in the large ones.
    """
    if not len(robust):
        return robust
    centred = returns - returns.mean()
    plain = _fit(terms, centred)
    rest = (centred - terms @ plain)[:, None]
    inverse = np.linalg.pinv(terms.T @ terms)
    deviations = np.sqrt(np.diag(inverse @ (terms * rest).T @ (terms * rest) @ inverse))
    signs = np.sign(robust)
    sizes = np.minimum(np.abs(robust), signs * plain + _LEEWAY * deviations)
    return np.asarray(signs * np.maximum(sizes, 0.0), np.float64)


def _bound(returns: Floats) -> tuple[Floats, float]:
    """Huber's ψ of the returns, its mean taken out; and its mean slope, by which it makes a weak effect smaller."""
    if not len(returns):
        return returns, 1.0
    centred = returns - np.median(returns)
    limit = _TAIL * float(np.std(returns))
    bounded = np.clip(centred, -limit, limit)
    return bounded - bounded.mean(), max(float(np.mean(np.abs(centred) <= limit)), 0.5)


def _drift(returns: Floats, columns: int) -> float:
    """The mean return, where it is as significant as a column must be; else 0."""
    deviation = float(np.std(returns)) if len(returns) else 0.0
    mean = float(np.mean(returns)) if deviation > 0.0 else 0.0
    return mean if abs(mean) * len(returns) ** 0.5 > _threshold(columns) * deviation else 0.0


def _threshold(candidates: int) -> float:
    """The |t| that the largest of so many that carry nothing exceeds with probability FALSE_FIND at most."""
    return NormalDist().inv_cdf(1.0 - FALSE_FIND / (2 * max(1, candidates)))


class _Candidates:
    """Columns of `features` (n, F) and their products two by two: C of them, of which sums alone are ever made."""

    def __init__(self, features: NDArray[np.float32]) -> None:
        self._features = features.astype(np.float64)
        self._squares = np.square(self._features)
        self.columns = size = features.shape[1]
        first, second = np.triu_indices(size)
        self.left = np.concatenate([np.arange(size), first])
        self.right = np.concatenate([np.full(size, -1), second])
        thresholds = [_threshold(size), _threshold(len(first))]
        self._thresholds = np.repeat(thresholds, [size, len(first)])
        self.means = self._sums(self._features, np.ones(len(features))) / max(1, len(features))

    def centred(self, candidate: int) -> Floats:
        """(n,) one of them, its mean taken out."""
        values = self._features[:, self.left[candidate]]
        if self.right[candidate] >= 0:
            values = values * self._features[:, self.right[candidate]]
        return np.asarray(values - self.means[candidate], np.float64)

    def most_significant(self, rest: Floats) -> int | None:
        """The one whose sum with `rest` (n,), of mean 0, is farthest beyond its threshold; None: all are below."""
        means, square = self.means, rest * rest
        variances = self._sums(self._squares, square) - 2.0 * means * self._sums(self._features, square)
        variances += means * means * float(square.sum())
        deviations = np.sqrt(np.maximum(variances, 0.0))
        known = deviations > 1e-12 * max(1.0, float(deviations.max(initial=0.0)))
        significance = np.abs(self._sums(self._features, rest)) / np.where(known, deviations, np.inf)
        beyond = significance - self._thresholds
        best = int(beyond.argmax())
        return best if beyond[best] > 0.0 else None

    def _sums(self, columns: Floats, factor: Floats) -> Floats:
        """(C,) sums over the rows of each of `columns` (n, F), and of each product of two, times `factor` (n,)."""
        weighted = columns * factor[:, None]
        products = np.zeros((self.columns, self.columns))
        for start in range(0, len(columns), _BLOCK):
            part = slice(start, start + _BLOCK)
            products += weighted[part].T @ columns[part]
        return np.concatenate([weighted.sum(axis=0), products[np.triu_indices(self.columns)]])
