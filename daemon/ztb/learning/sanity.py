"""The first hurdle of a candidate: finite, not collapsed, not too far from the incumbent. Numbers, not opinions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztb.trading.policy import NetworkShape, ServingPolicy, Weights


@dataclass(frozen=True, slots=True)
class SanityConfig:
    """Bounds over recent observations: mean KL(incumbent ‖ candidate), nats; mean entropy over the greatest."""

    max_kl: float = 0.5
    min_entropy_fraction: float = 0.02


@dataclass(frozen=True, slots=True)
class SanityVerdict:
    """`passed` and the numbers it rests on; `reason` names the broken bound."""

    passed: bool
    reason: str
    kl: float
    entropy_fraction: float


def _probabilities(
    shape: NetworkShape, weights: Weights, observations: NDArray[np.float32]
) -> list[list[NDArray[np.float64]]]:
    serving = ServingPolicy(shape, weights)
    return [
        [np.asarray(head, np.float64) for head in serving.probabilities(observation)]
        for observation in observations
    ]


def judge(
    shape: NetworkShape,
    incumbent: Weights,
    candidate: Weights,
    observations: NDArray[np.float32],
    config: SanityConfig,
) -> SanityVerdict:
    """Compare over `observations` (n, D) float32, n >= 1."""
    if not all(np.isfinite(array).all() for array in candidate.values()):
        return SanityVerdict(False, "non_finite", 0.0, 0.0)
    old = _probabilities(shape, incumbent, observations)
    new = _probabilities(shape, candidate, observations)
    tiny = 1e-12
    kl = float(
        np.mean([sum(float(np.sum(p * np.log((p + tiny) / (q + tiny)))) for p, q in zip(a, b, strict=True))
                 for a, b in zip(old, new, strict=True)])
    )  # fmt: skip
    greatest = sum(float(np.log(head)) for head in shape.heads)
    entropy = float(np.mean([sum(-float(np.sum(q * np.log(q + tiny))) for q in heads) for heads in new]))
    fraction = entropy / greatest
    if kl > config.max_kl:
        return SanityVerdict(False, "kl", kl, fraction)
    if fraction < config.min_entropy_fraction:
        return SanityVerdict(False, "entropy", kl, fraction)
    return SanityVerdict(True, "passed", kl, fraction)
