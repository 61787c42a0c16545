"""The first hurdle of a candidate: finite, not collapsed, not too far from the incumbent. Numbers, not opinions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztb.trading.network import MakeNetwork, Serving, new_serving
from ztb.trading.policy import NetworkShape, Weights

_TINY = 1e-12


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


class Trial:
    """A candidate against its incumbent over `observations` (n, D) float32, n >= 1; `advance` in as many steps as
    there is time for, then `verdict`.
    """

    def __init__(
        self,
        shape: NetworkShape,
        incumbent: Weights,
        candidate: Weights,
        observations: NDArray[np.float32],
        config: SanityConfig,
        make: MakeNetwork | None = None,
    ) -> None:
        self._shape = shape
        self._old = new_serving(shape, incumbent, make)
        self._new = new_serving(shape, candidate, make)
        self._observations = observations
        self._config = config
        self._finite = all(np.isfinite(array).all() for array in candidate.values())
        self._kl: list[float] = []
        self._entropy: list[float] = []

    @property
    def remaining(self) -> int:
        """Observations not yet compared on; 0 where none is needed any more."""
        return len(self._observations) - len(self._kl) if self._finite else 0

    def advance(self, rows: int) -> None:
        """Compare on up to `rows` more observations."""
        done = len(self._kl)
        for observation in self._observations[done : done + min(rows, self.remaining)]:
            old, new = _probabilities(self._old, observation), _probabilities(self._new, observation)
            pairs = zip(old, new, strict=True)
            self._kl.append(sum(float(np.sum(p * np.log((p + _TINY) / (q + _TINY)))) for p, q in pairs))
            self._entropy.append(sum(-float(np.sum(q * np.log(q + _TINY))) for q in new))

    def verdict(self) -> SanityVerdict:
        """What came out; only when nothing remains."""
        if not self._finite:
            return SanityVerdict(False, "non_finite", 0.0, 0.0)
        kl = float(np.mean(self._kl))
        fraction = float(np.mean(self._entropy)) / sum(float(np.log(head)) for head in self._shape.heads)
        if kl > self._config.max_kl:
            return SanityVerdict(False, "kl", kl, fraction)
        if fraction < self._config.min_entropy_fraction:
            return SanityVerdict(False, "entropy", kl, fraction)
        return SanityVerdict(True, "passed", kl, fraction)


def _probabilities(serving: Serving, observation: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    return [np.asarray(head, np.float64) for head in serving.probabilities(observation)]
