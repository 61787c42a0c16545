"""e^x in additions and products only: it vectorises, and no libm can change its bits."""

from __future__ import annotations

import math

import numpy as np

from ztb.utils.kernel import kernel

_LIMIT = 700.0
# log 2 in two parts, of which the first has zeros enough that its product with a small integer is exact.
_LOG_2_HIGH, _LOG_2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_PER_LOG_2 = 1.0 / math.log(2.0)
_TAYLOR = tuple(1.0 / math.factorial(k) for k in range(13))
# A number so large that adding it rounds to an integer, which the lowest bits of the sum then hold.
_ROUND = 1.5 * 2.0**52
_BIAS, _MANTISSA_BITS = 1023, 52


@kernel
def exp(x: float) -> float:
    """e^x, within 1e-15 of itself, for `x` cut off at ±700; nan stays nan.

    2^n e^r with the integer n nearest to x / log 2, e^r by its Taylor series, and n written into the exponent.
    """
    if x > _LIMIT:
        x = _LIMIT
    if x < -_LIMIT:
        x = -_LIMIT
    rounded = np.float64(x * _PER_LOG_2 + _ROUND)
    n = rounded - _ROUND
    r = (x - n * _LOG_2_HIGH) - n * _LOG_2_LOW
    high = ((_TAYLOR[12] * r + _TAYLOR[11]) * r + _TAYLOR[10]) * r + _TAYLOR[9]
    middle = (((high * r + _TAYLOR[8]) * r + _TAYLOR[7]) * r + _TAYLOR[6]) * r + _TAYLOR[5]
    series = ((((middle * r + _TAYLOR[4]) * r + _TAYLOR[3]) * r + _TAYLOR[2]) * r + 1.0) * r + 1.0
    power = np.int64((rounded.view(np.int64) + _BIAS) << _MANTISSA_BITS)
    return series * power.view(np.float64)
