"""A policy's accounts living through a piece of market. Kernels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ztb.trading.bridge import FACT_EQUITY
from ztb.trading.episodes import Lanes
from ztb.trading.layers import forward
from ztb.trading.policy import sample_batch
from ztb.trading.recording import Shared
from ztb.trading.simulation import Outcome, step_all
from ztb.utils.kernel import kernel


class Lived(NamedTuple):
    """What became of P accounts in T steps."""

    rewards: NDArray[np.float64]
    """(T, P)"""
    equity: NDArray[np.float64]
    """(T + 1, P) before, between and after the steps, quote currency"""
    notional: NDArray[np.float64]
    """(T + 1, P) traded so far, quote currency"""
    observations: NDArray[np.float32]
    """(T, D) of the first account"""
    tainted: NDArray[np.bool_]
    """(T,) whether the step spans a gap"""


class Brain(NamedTuple):
    """A network of the shipped kind (see `trading.policy.Program`), and room for what it says of P observations."""

    parameters: NDArray[np.float32]
    layers: NDArray[np.int64]
    heads: NDArray[np.int64]
    scratch: NDArray[np.float32]
    outputs: NDArray[np.float32]
    """(P, A + 1)"""
    logprobs: NDArray[np.float32]
    """(P,)"""


@kernel
def begin_life(lanes: Lanes, lived: Lived) -> None:
    """Note the accounts as they are before the first step."""
    for i in range(lived.equity.shape[1]):
        lived.equity[0, i] = lanes.facts[i, FACT_EQUITY]
        lived.notional[0, i] = lanes.account[i]["traded_notional"]


@kernel
def live_step(
    shared: Shared, lanes: Lanes, outcome: Outcome, actions: NDArray[np.int64], t: int, lived: Lived
) -> int:
    """Step `t` with `actions` (P, 2); returns how many reports were lost for want of room, which is an error."""
    for d in range(lived.observations.shape[1]):
        lived.observations[t, d] = outcome.observations[0, d]
    lost: int = step_all(shared, lanes, outcome, actions)
    for i in range(len(actions)):
        lived.rewards[t, i] = outcome.rewards[i]
        lived.equity[t + 1, i] = lanes.facts[i, FACT_EQUITY]
        lived.notional[t + 1, i] = lanes.account[i]["traded_notional"]
    lived.tainted[t] = outcome.tainted[0]
    return lost


@kernel
def live_piece(
    shared: Shared, lanes: Lanes, outcome: Outcome, brain: Brain, uniforms: NDArray[np.float64],
    deterministic: int, actions: NDArray[np.int64], lived: Lived,
) -> int:  # fmt: skip
    """All steps, with actions drawn with `uniforms` (T, P, H), or the most probable; returns as `live_step`."""
    lost = 0
    for t in range(len(uniforms)):
        forward(brain.parameters, brain.layers, brain.scratch, outcome.observations, brain.outputs)
        sample_batch(brain.outputs, brain.heads, uniforms[t], deterministic, actions, brain.logprobs)
        lost += live_step(shared, lanes, outcome, actions, t, lived)
    return lost
