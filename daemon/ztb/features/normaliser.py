"""Running mean and variance of what the policy is told, and the z-scores it sees. Kernels on arrays.

`moments` has shape (3, size), float64: how often each column was seen, its mean, its variance. The weight of
a new value is 1 / n for the first `horizon` updates (Welford 1962: plain mean and population variance) and
1 / horizon from then on (West 1979, exponential), so that the scale follows a market that changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ztb.utils.kernel import kernel

FloatArray = NDArray[np.float64]

NORMALISER_KIND = "exponential-welford-1"
"""Enters the schema hash: what a checkpoint's policy was trained to see."""
DEVIATION_FLOOR = 1e-8
"""A column that moves less than this counts as constant: it shows its distance from the mean in these."""
BOUND = 5.0


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


class Normaliser:
    """Running z-scores of `size` columns, updated once a decision.

    `horizon` is in updates. `moments` (see above) may be passed to the kernels `update_moments` and
    `apply_moments`, which is all that `update` and `apply` do.
    """

    def __init__(self, size: int, horizon: float = 10_000.0) -> None:
        self.horizon = horizon
        self.moments: FloatArray = np.zeros((3, size))

    def update(self, values: FloatArray) -> None:
        """Enter one row of values, shape (size,)."""
        update_moments(self.moments, values, self.horizon)

    def apply(self, values: FloatArray, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """z-scores of `values`, shape (size,) float32, within ±5; written to `out` if given."""
        scores = np.empty(len(values), np.float32) if out is None else out
        apply_moments(self.moments, values, scores)
        return scores

    def state(self) -> dict[str, NDArray[np.float64]]:
        """A copy of the moments and the horizon."""
        return {"moments": self.moments.copy(), "horizon": np.array([self.horizon])}

    def load_state(self, state: Mapping[str, NDArray[np.float64]]) -> None:
        """Continue from what `state()` gave."""
        self.moments[:] = state["moments"]
        self.horizon = float(state["horizon"][0])
