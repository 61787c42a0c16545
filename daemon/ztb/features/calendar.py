"""Time of day and of week, UTC. Kernels on event time."""

from __future__ import annotations

import math

import numpy as np

from ztb.utils.kernel import kernel

MINUTE_NS = 60_000_000_000
_STEPS = 1440
_QUARTER = 360
_DAYS_SINCE_MONDAY = 3  # 1970-01-01 was a Thursday
_SINE = np.array([math.sin(2.0 * math.pi * step / _STEPS) for step in range(_STEPS)])


@kernel
def minute_of_day(ts_ns: int) -> int:
    """Whole minutes since midnight: 0 to 1439."""
    return ts_ns // MINUTE_NS % _STEPS


@kernel
def seventh_of_week(ts_ns: int) -> int:
    """Whole spans of seven minutes since Monday: 0 to 1439."""
    return (ts_ns // MINUTE_NS + _DAYS_SINCE_MONDAY * _STEPS) // 7 % _STEPS


@kernel
def circle_sine(step: int) -> float:
    """Height on the circle of 1440 steps; the angle's sine is looked up.

    Formula: sin(2 pi t / T), t in whole minutes of the day, or spans of 7 minutes of the week from Monday
    Unit: -1 to 1
    Source: Mardia and Jupp 2000, Directional Statistics, ch. 2
    """
    return float(_SINE[step])


@kernel
def circle_cosine(step: int) -> float:
    """Width on the circle of 1440 steps.

    Formula: cos(2 pi t / T), t in whole minutes of the day, or spans of 7 minutes of the week from Monday
    Unit: -1 to 1
    Source: Mardia and Jupp 2000, Directional Statistics, ch. 2
    """
    return float(_SINE[(step + _QUARTER) % _STEPS])
