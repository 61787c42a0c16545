"""Who comes to the gate, what is checked at the door, and what is said of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ztb.trading.policy.weights import Weights

PASSED = "passed"
SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Weights that would like to trade. `number` is whoever's they are; `schema` names what they were trained to see.

    `trained_to`: number of the last decision that they may have been trained on, with all ticks up to it, and
    `trained_to_ns` its event time.
    """

    number: int
    weights: Weights
    trained_to: int
    trained_to_ns: int
    schema: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided of an entrant, why, and every figure that it rests on."""

    number: int
    passed: bool
    reason: str
    figures: dict[str, Any] = field(default_factory=dict[str, Any])


def fault(weights: Weights, shapes: dict[str, tuple[int, ...]]) -> str:
    """Why `weights` can never trade in a network of `shapes`: `network`, `non_finite`, or nothing."""
    if {name: array.shape for name, array in weights.items()} != shapes:
        return "network"
    if any(array.dtype != np.float32 or not np.isfinite(array).all() for array in weights.values()):
        return "non_finite"
    return ""
