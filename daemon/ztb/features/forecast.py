"""What of the next return is to be foreseen from the features, learnt as they come. Kernels on arrays.

Returns are taken in deviations (an exponential mean of their squares) with bounded tails (Huber 1964, ψ). For each of
`HORIZONS` the sums of products of the normalised columns with each other and with the next return fade by 1 / horizon
a decision (recursive least squares with forgetting; Ljung and Söderström 1983, section 2.6.2), and every `_REFIT`
decisions the most significant columns are taken into a regression one after the other, until none is left that is as
significant as the best of so many that carry nothing would be one time in a hundred (orthogonal matching pursuit, Pati
and others 1993; Bonferroni). Each regression at its whole size and at half of it, and "nothing is to be foreseen", are
models of the next return; and so are the last few regressions that were once believed and differ, so that what comes
back need not be learnt again. How much each is believed follows how likely it made the returns that came, and a small
share goes back to all at each decision, so that a turn of the market shows soon (fixed share, Herbster and Warmuth 1998).
The forecast is the mean of the models by belief. It is made before the return that it is of, always: that it is right is
evidence as good as any.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ztb.utils.kernel import kernel

FloatArray = NDArray[np.float64]

HORIZONS = np.array([512.0, 4096.0, 32768.0])
"""Decisions after which a sum has faded to 1 / e."""
MEMORIES = 4
"""Regressions that were believed once."""
_FRESH = 2 * len(HORIZONS)
MODELS = _FRESH + MEMORIES + 1
_MOST_TERMS = 6
_REFIT = 32
_LEAST = 256
"""Decisions before anything is forecast."""
_TAIL = 3.0
"""Standard deviations beyond which a return counts no more."""
_MOST = 1.0
"""Standard deviations of the return that a forecast may reach."""
_SHARE = 1.0 / 4096.0
"""Of the belief in each model, what goes back to all at each decision."""
_SCALE_HORIZON = 128.0
_REMEMBER = 512
"""Decisions between two looks at what is to be remembered."""
_BELIEVED = 0.5
_ALIKE = 0.25
"""Of its mean square, by which two regressions' forecasts differ that are taken for the same."""
_SINGULAR = 1e-6

_COUNT, _MID, _VARIANCE, _MEAN, _DEVIATION = range(5)


@kernel
def _solve(gram: FloatArray, cross: FloatArray, chosen: NDArray[np.int64], count: int, out: FloatArray) -> bool:
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


@kernel
def fit(gram: FloatArray, cross: FloatArray, sums: FloatArray, threshold: float, weights: FloatArray) -> None:
    """Regression `weights` (P,) on the significant ones of P columns, 0 for the rest.

    `gram` (P, P) and `cross` (P,) are faded sums of products; `sums` (3,) of 1, of the squared fading and of the squared
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
        if not _solve(gram, cross, chosen, taken + 1, found):
            found[:] = before
            break
        for k in range(taken + 1):
            weights[chosen[k]] = found[k]


@kernel
def learn(
    state: FloatArray, grams: FloatArray, crosses: FloatArray, sums: FloatArray, beliefs: FloatArray,
    told: FloatArray, foreseen: FloatArray, mid: float,
) -> None:  # fmt: skip
    """Take in the return to `mid` since `told` (P,) was seen and `foreseen` (M,) were forecast."""
    change = math.log(mid / state[_MID])
    bounded = min(max(change / math.sqrt(state[_VARIANCE]), -_TAIL), _TAIL)
    total = 0.0
    for m in range(MODELS):
        beliefs[m] *= math.exp(foreseen[m] * (bounded - 0.5 * foreseen[m]))
        total += beliefs[m]
    for m in range(MODELS):
        beliefs[m] = (1.0 - _SHARE) * beliefs[m] / total + _SHARE / MODELS
    size = len(told)
    for k in range(len(HORIZONS)):
        fading = 1.0 - 1.0 / HORIZONS[k]
        for i in range(size):
            value = told[i]
            for j in range(size):
                grams[k, i, j] = fading * grams[k, i, j] + value * told[j]
            crosses[k, i] = fading * crosses[k, i] + value * bounded
        sums[k, 0] = fading * sums[k, 0] + 1.0
        sums[k, 1] = fading * fading * sums[k, 1] + 1.0
        sums[k, 2] = fading * sums[k, 2] + bounded * bounded
    most = 25.0 * state[_VARIANCE]
    state[_VARIANCE] += (min(change * change, most) - state[_VARIANCE]) / _SCALE_HORIZON


@kernel
def remember(grams: FloatArray, weights: FloatArray, beliefs: FloatArray, kept: FloatArray, count: int) -> None:
    """Keep the regression that is believed now, in the place of one that is like it, or else of the oldest.

    `weights` (K + S, P): those of the K horizons, and S that are remembered, the last time at decisions `kept` (S,).
    """
    horizons = len(HORIZONS)
    best = 0
    for k in range(horizons):
        if beliefs[2 * k] + beliefs[2 * k + 1] > beliefs[2 * best] + beliefs[2 * best + 1]:
            best = k
    if beliefs[2 * best] + beliefs[2 * best + 1] < _BELIEVED:
        return
    gram, size = grams[best], weights.shape[1]
    place, oldest = 0, np.inf
    for s in range(MEMORIES):
        apart = whole = 0.0
        for i in range(size):
            for j in range(size):
                first = weights[best, i] - weights[horizons + s, i]
                second = weights[best, j] - weights[horizons + s, j]
                apart += first * second * gram[i, j]
                whole += weights[best, i] * weights[best, j] * gram[i, j]
        age = -1.0 if apart <= _ALIKE * whole else kept[s]
        if age < oldest:
            place, oldest = s, age
    weights[horizons + place] = weights[best]
    kept[place] = count


@kernel
def follow(
    state: FloatArray, grams: FloatArray, crosses: FloatArray, sums: FloatArray, weights: FloatArray,
    beliefs: FloatArray, kept: FloatArray, told: FloatArray, foreseen: FloatArray, features: NDArray[np.float32], mid: float,
    gap: bool, threshold: float,
) -> None:  # fmt: skip
    """A decision at `mid` with normalised `features` (F,): learn from the return that led here, forecast the next.

    The forecast and the deviation that it is measured in go into `state`, in log returns. After a `gap` nothing is learnt.
    """
    count = int(state[_COUNT])
    if count > 0 and not gap and mid > 0.0 and state[_MID] > 0.0:
        change = math.log(mid / state[_MID])
        if state[_VARIANCE] == 0.0:
            state[_VARIANCE] = change * change
        else:
            learn(state, grams, crosses, sums, beliefs, told, foreseen, mid)
    for j in range(len(features)):
        told[j] = features[j]
    told[len(features)] = 1.0
    if count >= _LEAST and count % _REFIT == 0:
        for k in range(len(HORIZONS)):
            fit(grams[k], crosses[k], sums[k], threshold, weights[k])
    if count >= _LEAST and count % _REMEMBER == 0:
        remember(grams, weights, beliefs, kept, count)
    mean = 0.0
    for k in range(len(weights)):
        expected = 0.0
        for j in range(len(told)):
            expected += weights[k, j] * told[j]
        expected = min(max(expected, -_MOST), _MOST)
        if k < len(HORIZONS):
            foreseen[2 * k], foreseen[2 * k + 1] = expected, 0.5 * expected
        else:
            foreseen[_FRESH + k - len(HORIZONS)] = expected
    for m in range(MODELS):
        mean += beliefs[m] * foreseen[m]
    state[_COUNT] = count + 1.0
    state[_MID] = mid
    state[_DEVIATION] = math.sqrt(state[_VARIANCE])
    state[_MEAN] = mean * state[_DEVIATION]


@kernel
def follow_all(
    state: FloatArray, grams: FloatArray, crosses: FloatArray, sums: FloatArray, weights: FloatArray,
    beliefs: FloatArray, kept: FloatArray, told: FloatArray, foreseen: FloatArray, features: NDArray[np.float32], mids: FloatArray,
    gaps: NDArray[np.bool_], threshold: float, out: FloatArray, deviations: FloatArray,
) -> None:  # fmt: skip
    """`follow` for each of K decisions: `features` (K, F), `mids` (K,), `gaps` (K,); forecasts into `out` (K,)."""
    for k in range(len(mids)):
        follow(
            state, grams, crosses, sums, weights, beliefs, kept, told, foreseen, features[k], mids[k], gaps[k],
            threshold,
        )  # fmt: skip
        out[k], deviations[k] = state[_MEAN], state[_DEVIATION]
