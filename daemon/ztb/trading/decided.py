"""A decision made, and the words for what became of it."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ztb.execution.risk_gate import BY_NUMBER
from ztb.trading import lane_orders
from ztb.trading.strategy import Action

NO_ORDER = "no_order"
REPLACING = "replacing"
_WORDS = {
    lane_orders.NO_ORDER: NO_ORDER,
    lane_orders.REPLACING: REPLACING,
    **{number: str(reason) for number, reason in enumerate(BY_NUMBER)},
}


def verdict_text(verdict: int) -> str:
    """A verdict of `lane_orders` or a reason of the gate, as the journal has it."""
    return _WORDS[verdict]


def action_of(choice: list[int], logprob: float, value: float) -> Action:
    """`choice`: rung of the ladder and timing; nan is what does not exist."""
    size, timing = choice
    return Action(size, timing, None if logprob != logprob else logprob, None if value != value else value)


class Decided(msgspec.Struct, frozen=True):
    """A decision made: what was seen, chosen, and what became of it. `reward` is of the decision before."""

    ts_ns: int
    decision: int
    observation: NDArray[np.float32]
    uniforms: NDArray[np.float64]
    action: Action
    target: float
    cash: float
    position: float
    mid: float
    equity: float
    reward: float
    verdict: str
