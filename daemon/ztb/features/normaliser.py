"""Running mean and variance of the features, their z-scores, and a forecast from these: what a policy is told. Kernels.

`moments` has shape (3, size), float64: how often each column was seen, its mean, its variance. The weight of
a new value is 1 / n for the first `horizon` updates (Welford 1962: plain mean and population variance) and
1 / horizon from then on (West 1979, exponential), so that the scale follows a market that changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ztb.features.forecast import BOUND, DEVIATION, MEAN, MID, Learnt, OnlineForecast, follow, signal_of
from ztb.utils.kernel import kernel

FloatArray = NDArray[np.float64]

NORMALISER_KIND = "exponential-welford-1, forecast-1"
"""Enters the schema hash: what a checkpoint's policy was trained to see."""
DEVIATION_FLOOR = 1e-8
"""A column that moves less than this counts as constant: it shows its distance from the mean in these."""
SHRINKAGE = 0.05
"""Times this a policy is told the z-scores beside a forecast: what they say by themselves it learns by little steps (as
by ridge regression with a penalty of 400), and what the forecast says at once."""


@kernel
def update_moments(moments: FloatArray, values: FloatArray, horizon: float) -> None:
    """Enter one row of values, shape (size,); values that are not finite are passed over."""
    for j in range(len(values)):
        if math.isfinite(values[j]):
            moments[0, j] += 1.0
            weight = 1.0 / min(moments[0, j], horizon)
            distance = values[j] - moments[1, j]
            moments[1, j] += weight * distance
            moments[2, j] = (1.0 - weight) * (moments[2, j] + weight * distance * distance)


@kernel
def apply_moments(moments: FloatArray, values: FloatArray, out: NDArray[np.float32]) -> None:
    """`out` (size,) float32: z-scores within ±5, not NaN; 0 for a column never seen."""
    for j in range(len(values)):
        deviation = max(math.sqrt(moments[2, j]), DEVIATION_FLOOR)
        score = (values[j] - moments[1, j]) / deviation
        known = moments[0, j] > 0.0 and not math.isnan(score)
        out[j] = max(-BOUND, min(BOUND, score)) if known else 0.0


@kernel
def tell(learnt: Learnt, cost: float, scores: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Write the policy's columns, `out` (F + 1,): shrunken z-scores (F,) and the forecast from them."""
    for j in range(len(scores)):
        out[j] = SHRINKAGE * scores[j]
    out[len(scores)] = signal_of(learnt.state, cost)


@kernel
def _follow_all(
    moments: FloatArray,
    horizon: float,
    learnt: Learnt,
    cost: float,
    threshold: float,
    values: FloatArray,
    mids: FloatArray,
    gaps: NDArray[np.bool_],
    scores: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    for k in range(len(values)):
        update_moments(moments, values[k], horizon)
        apply_moments(moments, values[k], scores)
        follow(learnt=learnt, scores=scores, mid=mids[k], gap=gaps[k], threshold=threshold)
        tell(learnt, cost, scores, out[k])


@kernel
def _normalise_all(moments: FloatArray, horizon: float, values: FloatArray, out: NDArray[np.float32]) -> None:
    for k in range(len(values)):
        update_moments(moments, values[k], horizon)
        apply_moments(moments, values[k], out[k])


class MarketMemory(NamedTuple):
    """All that is remembered of the market for policies, as kernels take it."""

    moments: FloatArray
    scores: NDArray[np.float32]
    learnt: Learnt
    horizon: float
    cost: float
    threshold: float
    forecasts: int
    """Whether anything is forecast."""


@kernel
def follow_market(
    memory: MarketMemory,
    values: FloatArray,
    mid: float,
    gap: int,
    told: NDArray[np.float32],
    foreseen: FloatArray,
) -> None:
    """A moment at `mid` (quote currency) with feature `values` (F,): what policies are `told` of it (T,).

    `foreseen` (4,): the forecast of the return that led here, see `Foreseen`; the first is 0 where there was none.
    """
    update_moments(memory.moments, values, memory.horizon)
    foreseen[0] = 0.0
    if memory.forecasts == 0:
        apply_moments(memory.moments, values, told)
        return
    state = memory.learnt.state
    before = state[MID]
    if gap == 0 and before > 0.0 and mid > 0.0:
        foreseen[0] = before
        foreseen[1] = state[MEAN]
        foreseen[2] = state[DEVIATION]
        foreseen[3] = math.log(mid / before)
    apply_moments(memory.moments, values, memory.scores)
    follow(learnt=memory.learnt, scores=memory.scores, mid=mid, gap=gap == 1, threshold=memory.threshold)
    tell(memory.learnt, memory.cost, memory.scores, told)


class Normaliser:
    """Running z-scores of `size` columns, updated once a decision; and, where there is a `forecast`, one more column.

    `horizon` is in updates. `moments` (see above) may be passed to the kernels `update_moments` and
    `apply_moments`, which is all that is done without a forecast.
    """

    def __init__(self, size: int, horizon: float = 10_000.0, forecast: OnlineForecast | None = None) -> None:
        self.horizon = horizon
        self.moments: FloatArray = np.zeros((3, size))
        self.forecast = forecast
        self.width = size if forecast is None else size + 1
        """Columns that a policy is told."""
        self._scores = np.zeros(size, np.float32)

    @classmethod
    def with_forecast(cls, size: int, cost: float) -> Normaliser:
        """The columns of a policy that learns: `size` of them and a forecast, where a unit of turnover costs `cost`."""
        return cls(size, forecast=OnlineForecast(size, cost))

    def update(self, values: FloatArray, mid: float = 0.0, gap: bool = False) -> None:
        """Enter one row of values, shape (size,), at the mid of the market; `gap`: something is missing before it."""
        update_moments(self.moments, values, self.horizon)
        if self.forecast is not None:
            apply_moments(self.moments, values, self._scores)
            self.forecast.follow(self._scores, mid, gap)

    def apply(self, values: FloatArray, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """The columns of `values` (size,) after their update: (width,) float32, within ±5; into `out` if given."""
        told = np.empty(self.width, np.float32) if out is None else out
        if self.forecast is None:
            apply_moments(self.moments, values, told)
        else:
            apply_moments(self.moments, values, self._scores)
            tell(self.forecast.learnt, self.forecast.cost, self._scores, told)
        return told

    def follow(
        self, values: FloatArray, mids: FloatArray, gaps: NDArray[np.bool_], out: NDArray[np.float32]
    ) -> None:
        """`update` and `apply` of K rows: `values` (K, size), `mids` (K,), `gaps` (K,), into `out` (K, width)."""
        if self.forecast is None:
            _normalise_all(self.moments, self.horizon, values, out)
        else:
            known = self.forecast
            _follow_all(
                moments=self.moments,
                horizon=self.horizon,
                learnt=known.learnt,
                cost=known.cost,
                threshold=known.threshold,
                values=values,
                mids=mids,
                gaps=gaps,
                scores=self._scores,
                out=out,
            )

    @property
    def memory(self) -> MarketMemory:
        """The memory itself, for kernels that follow the market without a call of Python."""
        known = self.forecast or OnlineForecast(1, 0.0)
        return MarketMemory(
            moments=self.moments,
            scores=self._scores,
            learnt=known.learnt,
            horizon=self.horizon,
            cost=known.cost,
            threshold=known.threshold,
            forecasts=int(self.forecast is not None),
        )

    def state(self) -> dict[str, NDArray[np.float64]]:
        """A copy of the moments and the horizon, and of what the forecast has learnt."""
        learnt = {} if self.forecast is None else self.forecast.learnt._asdict()
        copied = {f"forecast_{name}": array.copy() for name, array in learnt.items()}
        return {"moments": self.moments.copy(), "horizon": np.array([self.horizon]), **copied}

    def load_state(self, state: Mapping[str, NDArray[np.float64]]) -> None:
        """Continue from what `state()` gave."""
        self.moments[:] = state["moments"]
        self.horizon = float(state["horizon"][0])
        if self.forecast is not None:
            for name, array in self.forecast.learnt._asdict().items():
                array[:] = state[f"forecast_{name}"]
