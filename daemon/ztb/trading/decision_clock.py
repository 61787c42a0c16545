"""The decision clock: due at each bar, each N ticks, or each N nanoseconds of event time; never without a tick."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ztb.market.ticks import BAR, DEPTH, LAST, Ticks, empty_ticks, plain_ticks
from ztb.trading.settings import DecisionConfig
from ztb.utils.kernel import entry, kernel


class Every(IntEnum):
    BAR = 0
    TICKS = 1
    TIME = 2


CLOCK: np.dtype[np.void] = np.dtype([("every", "<i8"), ("step", "<i8"), ("next", "<i8"), ("started", "<i8")])
_BAR, _TICKS, _TIME = int(Every.BAR), int(Every.TICKS), int(Every.TIME)


@kernel
def find_due(ticks: Ticks, i0: int, i1: int, state: NDArray[np.void]) -> int:
    """The first row in [i0, i1) after which a decision is due, or i1; moves the clock past that row.

    On time, the grid is multiples of `step` since 1970: due is the first row at or after the next multiple, and
    the very first row only sets the clock. A depth message counts as one tick, with its last row.
    """
    clock = state[0]
    for i in range(i0, i1):
        tick = ticks[i]
        if tick["kind"] == DEPTH and (tick["flags"] & LAST) == 0:
            continue
        if clock["every"] == _BAR:
            if tick["kind"] == BAR:
                return i
        elif clock["every"] == _TICKS:
            clock["next"] += 1
            if clock["next"] >= clock["step"]:
                clock["next"] = 0
                return i
        elif clock["started"] == 0:
            clock["started"] = 1
            clock["next"] = (tick["ts_ns"] // clock["step"] + 1) * clock["step"]
        elif tick["ts_ns"] >= clock["next"]:
            clock["next"] = (tick["ts_ns"] // clock["step"] + 1) * clock["step"]
            return i
    return i1


class DecisionClock:
    """Says when decisions are due. `step` is ticks for TICKS, nanoseconds for TIME, unused for BAR."""

    def __init__(self, every: Every, step: int) -> None:
        self.state = np.zeros(1, CLOCK)
        self.state["every"] = int(every)
        self.state["step"] = step
        self._block = empty_ticks(0)
        self._entry = entry(find_due, self._block, 0, 0, self.state)

    @classmethod
    def of(cls, config: DecisionConfig, bar_ns: int | None) -> DecisionClock:
        """As configured, on bars of `bar_ns` or, None, on other ticks. ConfigError: see `DecisionConfig`."""
        every, step, _ = config.clock_terms(bar_ns)
        return cls(Every[every.upper()], step)

    def find_due(self, ticks: Ticks, i0: int, i1: int) -> int:
        """The row of [i0, i1) at which a decision is due; `i1` if none is."""
        if ticks is not self._block:
            self._block = plain_ticks(ticks)
        return self._entry(self._block, i0, i1, self.state)
