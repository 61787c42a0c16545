"""Luck, a part of a reward: the exposure held, times what of the return nobody could foresee.

A control variate (Glasserman 2004, "Monte Carlo Methods in Financial Engineering", section 4.1): its mean is 0 for
every policy that knows no more than the forecast, so that rewards less luck rank such policies alike, and their noise
is that of the costs instead of that of the market.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.trading.bridge import FACT_EQUITY, FACT_MID
from ztb.trading.lane_state import Lanes
from ztb.trading.recording import Shared
from ztb.trading.simulation import Simulation, StepOutcome, check_step
from ztb.trading.sizing import TIMING_AGGRESSIVE
from ztb.utils.kernel import kernel
from ztb.utils.linkage import ask


@kernel
def _step(
    step: int,
    shared: Shared,
    lanes: Lanes,
    outcome: StepOutcome,
    actions: NDArray[np.int64],
    rungs: int,
    innovations: NDArray[np.float64],
    before: NDArray[np.float64],
    luck: NDArray[np.float64],
) -> int:
    """As `step_checked`, whose address is `step`; `before` (3, N) is room."""
    for i in range(len(actions)):
        before[0, i] = lanes.facts[i, FACT_MID] / lanes.facts[i, FACT_EQUITY]
        before[1, i] = lanes.account[i]["position"]
        before[2, i] = lanes.lane[i]["working"] == 0 and actions[i, 1] == TIMING_AGGRESSIVE
    lost: int = ask(step, (shared, lanes, outcome, actions, rungs))
    for i in range(len(actions)):
        held = lanes.account[i]["position"] if before[2, i] else before[1, i]
        luck[i] = held * before[0, i] * innovations[lanes.lane[i]["decision"] - 1]
    return lost


class Luck:
    """Of the lanes of `simulation`, whose recording's log returns held `innovations` (K,); None: there is none."""

    def __init__(self, simulation: Simulation, innovations: NDArray[np.float64] | None) -> None:
        self._simulation = simulation
        self._innovations = innovations
        self._luck = np.zeros(simulation.num_lanes)
        self._before = np.zeros((3, simulation.num_lanes))
        self._address = 0

    def step(self, actions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Take a step of the simulation with `actions` (N, 2); the luck in its rewards (N,), in log returns.

        Counted is the exposure that was settled before the return came: after an order to trade at once, what that
        led to; else what was held before, as whether a limit order is filled hangs on the return itself. The array is
        overwritten by the next step.
        """
        simulation = self._simulation
        if self._innovations is None:
            simulation.step(actions)
            return self._luck
        if not self._address:
            self._address = simulation.address_of_step(actions)
        lost = _step(
            step=self._address,
            shared=simulation.recording.shared,
            lanes=simulation.lanes,
            outcome=simulation.outcome,
            actions=actions,
            rungs=len(simulation.bridge.ladder),
            innovations=self._innovations,
            before=self._before,
            luck=self._luck,
        )
        check_step(lost, actions)
        return self._luck
