"""Candidates for the gate, the check at its door, and the verdict on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ztb.trading.policy.weights import Weights

PASSED = "passed"
SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Weights that an update made, and that would like to trade.

    `number` of that update, 0 for generation 0. `trained_to`: number of the last decision that they may have been
    trained on, with all ticks up to it, and `trained_to_ns` its event time. `schema` names what they were trained to
    see. `updater_state`: what the learner goes on from at them, where it is known. `era` counts how often the learner
    was set back: what was trained in an era that has been given up is nobody's candidate any more.
    """

    number: int
    weights: Weights
    trained_to: int = -1
    trained_to_ns: int = 0
    schema: str = ""
    mean_reward: float = 0.0
    updater_state: dict[str, Any] | None = None
    era: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision about a candidate, its reason, and every figure that it rests on."""

    number: int
    passed: bool
    reason: str
    figures: dict[str, Any] = field(default_factory=dict[str, Any])


def fault(weights: Weights, shapes: dict[str, tuple[int, ...]]) -> str:
    """The reason why `weights` can never trade in a network of `shapes`: `network`, `non_finite`, or ""."""
    if {name: array.shape for name, array in weights.items()} != shapes:
        return "network"
    if any(array.dtype != np.float32 or not np.isfinite(array).all() for array in weights.values()):
        return "non_finite"
    return ""
