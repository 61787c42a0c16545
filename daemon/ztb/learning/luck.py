"""Luck, a part of a reward: the exposure held, times what of the return nobody could foresee.

A control variate (Glasserman 2004, "Monte Carlo Methods in Financial Engineering", section 4.1): its mean is 0 for
every policy that knows no more than the forecast, so that rewards less luck rank such policies alike, and their noise
is that of the costs instead of that of the market.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.trading.bridge import FACT_EQUITY, FACT_MID
from ztb.trading.simulation import Simulation
from ztb.trading.sizing import TIMING_AGGRESSIVE


class Luck:
    """Of the lanes of `simulation`, whose recording's log returns held `innovations` (K,); None: there is none."""

    def __init__(self, simulation: Simulation, innovations: NDArray[np.float64] | None) -> None:
        self._simulation = simulation
        self._innovations = innovations

    def step(self, actions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Take a step of the simulation with `actions` (N, 2); the luck in its rewards (N,), in log returns.

        Counted is the exposure that was settled before the return came: after an order to trade at once, what that
        led to; else what was held before, as whether a limit order is filled hangs on the return itself.
        """
        lanes = self._simulation.lanes
        if self._innovations is None:
            self._simulation.step(actions)
            return np.zeros(self._simulation.num_lanes)
        at = lanes.lane["decision"].copy()
        worth = lanes.facts[:, FACT_MID] / lanes.facts[:, FACT_EQUITY]
        held = lanes.account["position"].copy()
        settled = (lanes.lane["working"] == 0) & (actions[:, 1] == TIMING_AGGRESSIVE)
        self._simulation.step(actions)
        held[settled] = lanes.account["position"][settled]
        return np.asarray(held * worth * self._innovations[at], np.float64)
