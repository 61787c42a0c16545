"""A forecast of the next return from the features, learnt as they come. Kernels on arrays.

Returns are taken in deviations (an exponential mean of their squares) with bounded tails (Huber 1964, ψ). For each of
`HORIZONS` the sums of products of the normalised columns with each other and with the next return fade by 1 / horizon
a decision (recursive least squares with forgetting; Ljung and Söderström 1983, section 2.6.2), and every `_REFIT`
decisions the most significant columns are taken into a regression one after the other, until none is left that is as
significant as the best of so many that carry nothing would be one time in a hundred (orthogonal matching pursuit, Pati
and others 1993; Bonferroni). Each regression at its whole size and at half of it, and "nothing is to be foreseen", are
models of the next return; and so are the last few regressions that were once believed and differ, so that what comes
back need not be learnt again. How much each is believed follows how likely it made the returns that came, and a small
share goes back to all at each decision, so that a turn of the market shows soon (fixed share; Herbster and Warmuth
1998). The forecast is the mean of the models by belief. It is always made before the return that it is of: that it is
right is evidence as good as any.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ztb.utils.kernel import allocating_kernel, kernel

FloatArray = NDArray[np.float64]

HORIZONS = np.array([512.0, 4096.0, 32768.0])
"""Decisions after which a sum has faded to 1 / e."""
MEMORIES = 8
"""Regressions that were believed once."""
_FRESH = 2 * len(HORIZONS)
MODELS = _FRESH + MEMORIES + 1
_MOST_TERMS = 6
_REFIT = 32
_LEAST = 256
"""Decisions before anything is forecast."""
BOUND = 5.0
"""What a policy is told lies within ± this."""
_LEAST_COST = 0.05
"""Of the deviation of a return, added to the cost that a forecast is told in."""
_TAIL = 3.0
"""Standard deviations beyond which a return counts no more."""
_MOST = 1.0
"""Standard deviations of the return that a forecast may reach."""
_SHARE = 1.0 / 4096.0
"""Of the belief in each model, what goes back to all at each decision."""
_SCALE_HORIZON = 128.0
_MOST_SQUARE = 25.0
"""Of the mean square of returns, what one counts for in it at most."""
_REMEMBER = 2048
"""Decisions between two looks at what is to be remembered."""
_BELIEVED = 0.5
"""In all regressions together, for one to be remembered."""
_ALIKE = 0.25
"""Of its mean square, by which two regressions' forecasts differ that are taken for the same."""
_SINGULAR = 1e-6

_FALSE_FIND = 0.01
"""Probability at most that columns that carry nothing give a term."""

COUNT, MID, VARIANCE, MEAN, DEVIATION = range(5)
"""Of `Learnt.state`: decisions so far, the last mid, the mean square of returns, the forecast, its deviation."""


class Learnt(NamedTuple):
    """All that the next forecast depends on, of P columns, K horizons, S memories and M models."""

    state: FloatArray
    """(5,)"""
    grams: FloatArray
    """(K, P, P) faded sums of products of the columns"""
    crosses: FloatArray
    """(K, P) and of the columns with the return that followed"""
    sums: FloatArray
    """(K, 3) of 1, of the squared fading, of the squared return"""
    weights: FloatArray
    """(K + S, P) the regressions"""
    beliefs: FloatArray
    """(M,)"""
    kept: FloatArray
    """(S,) the decision at which each memory was last made"""
    told: FloatArray
    """(P,) the columns at the last decision"""
    foreseen: FloatArray
    """(M,) what each model said then, in deviations"""


@allocating_kernel
def _solve(
    gram: FloatArray, cross: FloatArray, chosen: NDArray[np.int64], count: int, out: FloatArray
) -> bool:
    """Least squares of `count` `chosen` columns into `out`, by Cholesky's method; False: they are not independent."""
    lower = np.zeros((count, count))
    for i in range(count):
        for j in range(i + 1):
            total = gram[chosen[i], chosen[j]]
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            if i == j:
                if total <= _SINGULAR * gram[chosen[i], chosen[i]]:
                    return False
                lower[i, i] = math.sqrt(total)
            else:
                lower[i, j] = total / lower[j, j]
    for i in range(count):
        total = cross[chosen[i]]
        for k in range(i):
            total -= lower[i, k] * out[k]
        out[i] = total / lower[i, i]
    for i in range(count - 1, -1, -1):
        total = out[i]
        for k in range(i + 1, count):
            total -= lower[k, i] * out[k]
        out[i] = total / lower[i, i]
    return True


@allocating_kernel
def fit(gram: FloatArray, cross: FloatArray, sums: FloatArray, threshold: float, weights: FloatArray) -> None:
    """Regression `weights` (P,) on the significant ones of P columns, 0 for the rest.

    `gram` (P, P) and `cross` (P,) are faded sums of products; `sums` (3,) of 1, of the squared fading, of the squared
    return: a sum of products has the variance of the return times that of the column times the second.
    """
    size = len(cross)
    weights[:] = 0.0
    chosen, found = np.zeros(_MOST_TERMS, np.int64), np.zeros(_MOST_TERMS)
    if sums[0] <= 0.0:
        return
    rest = sums[2] / sums[0]
    for taken in range(_MOST_TERMS):
        best, most = -1, threshold
        for j in range(size):
            product, known = cross[j], False
            for k in range(taken):
                product -= gram[j, chosen[k]] * found[k]
                known = known or chosen[k] == j
            spread = math.sqrt(max(gram[j, j] / sums[0] * rest * sums[1], 0.0))
            if not known and spread > 0.0 and abs(product) > most * spread:
                best, most = j, abs(product) / spread
        if best < 0:
            break
        chosen[taken] = best
        before = found.copy()
        if not _solve(gram=gram, cross=cross, chosen=chosen, count=taken + 1, out=found):
            found[:] = before
            break
        for k in range(taken + 1):
            weights[chosen[k]] = found[k]


@kernel
def _learn(learnt: Learnt, mid: float) -> None:
    """Take in the return to `mid` since the last decision."""
    state, beliefs, foreseen, told = learnt.state, learnt.beliefs, learnt.foreseen, learnt.told
    change = math.log(mid / state[MID])
    bounded = min(max(change / math.sqrt(state[VARIANCE]), -_TAIL), _TAIL)
    total = 0.0
    for m in range(MODELS):
        beliefs[m] *= math.exp(foreseen[m] * (bounded - 0.5 * foreseen[m]))
        total += beliefs[m]
    for m in range(MODELS):
        beliefs[m] = (1.0 - _SHARE) * beliefs[m] / total + _SHARE / MODELS
    for k in range(len(HORIZONS)):
        fading = 1.0 - 1.0 / HORIZONS[k]
        for i in range(len(told)):
            for j in range(len(told)):
                learnt.grams[k, i, j] = fading * learnt.grams[k, i, j] + told[i] * told[j]
            learnt.crosses[k, i] = fading * learnt.crosses[k, i] + told[i] * bounded
        learnt.sums[k, 0] = fading * learnt.sums[k, 0] + 1.0
        learnt.sums[k, 1] = fading * fading * learnt.sums[k, 1] + 1.0
        learnt.sums[k, 2] = fading * learnt.sums[k, 2] + bounded * bounded
    most = _MOST_SQUARE * state[VARIANCE]
    state[VARIANCE] += (min(change * change, most) - state[VARIANCE]) / _SCALE_HORIZON


@kernel
def _remember(learnt: Learnt) -> None:
    """Keep the regression that is believed most, where they are believed at all.

    It goes in the place of one that is like it, or else of the oldest.
    """
    horizons, beliefs, weights = len(HORIZONS), learnt.beliefs, learnt.weights
    best, whole_belief = 0, 0.0
    for k in range(horizons):
        whole_belief += beliefs[2 * k] + beliefs[2 * k + 1]
        if beliefs[2 * k] + beliefs[2 * k + 1] > beliefs[2 * best] + beliefs[2 * best + 1]:
            best = k
    if whole_belief < _BELIEVED:
        return
    place, oldest, size = 0, np.inf, len(learnt.told)
    for s in range(MEMORIES):
        apart = whole = 0.0
        for i in range(size):
            for j in range(size):
                first = weights[best, i] - weights[horizons + s, i]
                second = weights[best, j] - weights[horizons + s, j]
                apart += first * second * learnt.grams[best, i, j]
                whole += weights[best, i] * weights[best, j] * learnt.grams[best, i, j]
        age = -1.0 if apart <= _ALIKE * whole else learnt.kept[s]
        if age < oldest:
            place, oldest = s, age
    for i in range(size):
        weights[horizons + place, i] = weights[best, i]
    learnt.kept[place] = learnt.state[COUNT]


@kernel
def _foresee(learnt: Learnt) -> float:
    """Each model's forecast of the next return, into `learnt.foreseen`; their mean by belief, in deviations."""
    foreseen, weights = learnt.foreseen, learnt.weights
    for k in range(len(weights)):
        expected = 0.0
        for j in range(len(learnt.told)):
            expected += weights[k, j] * learnt.told[j]
        expected = min(max(expected, -_MOST), _MOST)
        if k < len(HORIZONS):
            foreseen[2 * k], foreseen[2 * k + 1] = expected, 0.5 * expected
        else:
            foreseen[_FRESH + k - len(HORIZONS)] = expected
    mean = 0.0
    for m in range(MODELS):
        mean += learnt.beliefs[m] * foreseen[m]
    return mean


@kernel
def follow(learnt: Learnt, scores: NDArray[np.float32], mid: float, gap: bool, threshold: float) -> None:
    """A decision at `mid` with z-`scores` (F,): learn from the return that led here, forecast the next.

    The forecast, a log return, and the deviation of returns go into `learnt.state`. After a `gap` nothing is learnt.
    """
    state, told = learnt.state, learnt.told
    count = int(state[COUNT])
    if count > 0 and not gap and mid > 0.0 and state[MID] > 0.0:
        if state[VARIANCE] > 0.0:
            _learn(learnt, mid)
        else:
            state[VARIANCE] = math.log(mid / state[MID]) ** 2
    for j in range(len(scores)):
        told[j] = scores[j]
    if count >= _LEAST and count % _REFIT == 0:
        for k in range(len(HORIZONS)):
            fit(
                gram=learnt.grams[k],
                cross=learnt.crosses[k],
                sums=learnt.sums[k],
                threshold=threshold,
                weights=learnt.weights[k],
            )
        if count % _REMEMBER == 0:
            _remember(learnt)
    state[COUNT] = count + 1.0
    state[MID] = mid
    state[DEVIATION] = math.sqrt(state[VARIANCE])
    state[MEAN] = _foresee(learnt) * state[DEVIATION]


@kernel
def signal_of(state: FloatArray, cost: float) -> float:
    """The forecast as the policy is told it: by what a trade costs, and a little of the deviation; within ±5.

    `cost` is that of a unit of turnover. Of order one where a trade begins to be worth it.
    """
    scale = cost + _LEAST_COST * state[DEVIATION]
    return max(-BOUND, min(BOUND, state[MEAN] / scale)) if scale > 0.0 else 0.0


class Foreseen(NamedTuple):
    """A forecast made at the price `mid` of the next log return, with its deviation, and the `change` that came.

    `cost` is that of a unit of turnover.
    """

    mid: float
    forecast: float
    deviation: float
    change: float
    cost: float


class OnlineForecast:
    """A forecast of the next log return from `size` columns, where a unit of turnover costs `cost`."""

    def __init__(self, size: int, cost: float) -> None:
        columns, horizons = size, len(HORIZONS)
        self.cost = cost
        self.threshold = NormalDist().inv_cdf(1.0 - _FALSE_FIND / (2 * columns))
        self.learnt = Learnt(
            state=np.zeros(5),
            grams=np.zeros((horizons, columns, columns)),
            crosses=np.zeros((horizons, columns)),
            sums=np.zeros((horizons, 3)),
            weights=np.zeros((horizons + MEMORIES, columns)),
            beliefs=np.full(MODELS, 1.0 / MODELS),
            kept=np.zeros(MEMORIES),
            told=np.zeros(columns),
            foreseen=np.zeros(MODELS),
        )

    def follow(self, scores: NDArray[np.float32], mid: float, gap: bool) -> None:
        """Learn from the return since the last moment, and foresee the next; `scores` (size,)."""
        follow(learnt=self.learnt, scores=scores, mid=mid, gap=gap, threshold=self.threshold)

    def compare(self, mid: float) -> Foreseen | None:
        """The forecast of the last decision beside what came of it by now; None: nothing was."""
        state = self.learnt.state
        before = float(state[MID])
        if before <= 0.0 or mid <= 0.0:
            return None
        return Foreseen(
            mid=before,
            forecast=self.mean,
            deviation=self.deviation,
            change=math.log(mid / before),
            cost=self.cost,
        )

    @property
    def mean(self) -> float:
        """Of the log return from the last decision to the next."""
        return float(self.learnt.state[MEAN])

    @property
    def deviation(self) -> float:
        """Of such returns."""
        return float(self.learnt.state[DEVIATION])
