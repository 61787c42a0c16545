"""Daily closes of the mid, as rules that look back for weeks need them. Kernels on a rule's own numbers.

`daily` (DAILY + most,): the present day, the last mid that was seen of it, how many closes are known, and these, oldest
first, quote currency: the last mid of each UTC day, of the last `most` days that had any.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ztb.utils.kernel import allocating_kernel, kernel

FloatArray = NDArray[np.float64]

DAY_NS = 86_400_000_000_000
DAYS_A_YEAR = 365  # these markets never close
_DAY, _LAST, _COUNT, DAILY = range(4)


@kernel
def see_day(daily: FloatArray, ts_ns: int, mid: float) -> bool:
    """Take note of `mid` at event time `ts_ns`; True where it is the first of a new day, the one before closed."""
    if mid <= 0.0:
        return False
    day, count = float(ts_ns // DAY_NS), int(daily[_COUNT])
    closed = daily[_LAST] > 0.0 and day > daily[_DAY]
    if closed:
        if DAILY + count == len(daily):
            for i in range(DAILY, len(daily) - 1):
                daily[i] = daily[i + 1]
            count -= 1
        daily[DAILY + count] = daily[_LAST]
        daily[_COUNT] = count + 1
    daily[_DAY] = day
    daily[_LAST] = mid
    return bool(closed)


@allocating_kernel
def closes_of(daily: FloatArray) -> FloatArray:
    """The closes that are known, oldest first."""
    return daily[DAILY : DAILY + int(daily[_COUNT])]


@kernel
def volatility(closes: FloatArray, days: int) -> float:
    """Standard deviation a year of the log returns of the last `days` days; 0 before there are as many."""
    if len(closes) <= days:
        return 0.0
    last, total, squares = closes[len(closes) - days - 1 :], 0.0, 0.0
    for i in range(days):
        total += math.log(last[i + 1] / last[i])
    mean = total / days
    for i in range(days):
        squares += (math.log(last[i + 1] / last[i]) - mean) ** 2
    return math.sqrt(squares / (days - 1) * DAYS_A_YEAR)
