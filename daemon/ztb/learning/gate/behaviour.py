"""What two policies would do on the same observations: divergence and entropy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Behaviour(NamedTuple):
    """Means over observations, in nats: KL(incumbent ‖ candidate), and the candidate's entropy, of all heads."""

    kl: float
    entropy: float


def compare(
    incumbent: NDArray[np.float32], candidate: NDArray[np.float32], heads: tuple[int, ...]
) -> Behaviour:
    """From logits (N, A) of the two; not finite where they are not."""
    kl = entropy = 0.0
    start = 0
    for size in heads:
        old = _log_softmax(incumbent[:, start : start + size])
        new = _log_softmax(candidate[:, start : start + size])
        kl += float(np.mean(np.sum(np.exp(old) * (old - new), axis=1)))
        entropy -= float(np.mean(np.sum(np.exp(new) * new, axis=1)))
        start += size
    return Behaviour(kl, entropy)


def greatest_entropy(heads: tuple[int, ...]) -> float:
    """Of actions drawn uniformly, nats."""
    return float(np.sum(np.log(heads)))


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    shifted: NDArray[np.float64] = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    shifted -= np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    return shifted
