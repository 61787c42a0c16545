"""Evidence about the mean of a series of differences that may be looked at after every one of them.

A block difference x_j is divided by s_{j-1}, a running root mean square of those before it. With S the sum of these
and V the sum of their squares, exp(λS − λ²V/2) is a supermartingale for every λ >= 0 where the differences are
symmetric around a mean of zero or less (de la Peña 1999, "A general class of exponential inequalities for
martingales and ratios", lemma 6.1), and nearly so where they are not. Mixed over λ with a half-normal density it is
the one-sided normal mixture of Howard, Ramdas, McAuliffe and Sekhon 2021, "Time-uniform, nonparametric,
nonasymptotic confidence sequences", section 3:

    e(S, V) = sqrt(4ρ / (V + ρ)) · exp(S² / (2(V + ρ))) · Φ(S / sqrt(V + ρ))

By Ville's inequality e ever reaches 1/α with probability α at most where the mean is zero or less, however often one
looks. A rare large loss that has not happened yet is beyond any such test: see the alarms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ztb.utils.kernel import kernel

_RHO = 4.0
"""Sharpest after about 50 blocks."""
_WARM_UP = 4
_HORIZON = 32
_FAR = 64.0
_BISECTIONS = 50


@kernel
def _log_normal_cdf(z: float) -> float:
    """ln Φ(z); Mills' ratio where Φ(z) is too small for a float."""
    if z < -30.0:
        return -0.5 * z * z - math.log(-z * math.sqrt(2.0 * math.pi))
    return math.log(0.5 * math.erfc(-z / math.sqrt(2.0)))


@kernel
def log_mixture(s: float, v: float) -> float:
    """ln e(S, V), see the module."""
    total = max(v, 0.0) + _RHO
    z = s / math.sqrt(total)
    return 0.5 * math.log(4.0 * _RHO / total) + 0.5 * z * z + _log_normal_cdf(z)


@dataclass(slots=True)
class EProcess:
    """Sums over the blocks so far; the first `_WARM_UP` only give the scale."""

    blocks: int = 0
    _square: float = 0.0
    _weighted: float = 0.0
    _weights: float = 0.0
    _v: float = 0.0
    _vx: float = 0.0
    _vv: float = 0.0

    def add(self, difference: float) -> None:
        """Take the next block's mean difference."""
        if self.blocks >= _WARM_UP and self._square > 0.0:
            weight = 1.0 / math.sqrt(self._square)
            scaled = difference * weight
            self._weighted += scaled
            self._weights += weight
            self._v += scaled * scaled
            self._vx += scaled * weight
            self._vv += weight * weight
        self.blocks += 1
        self._square += (difference * difference - self._square) / min(self.blocks, _HORIZON)

    @property
    def log_better(self) -> float:
        """Natural logarithm of the evidence e that the mean is above zero."""
        return log_mixture(self._weighted, self._v)

    @property
    def log_worse(self) -> float:
        """The same that it is below zero."""
        return log_mixture(-self._weighted, self._v)

    def bounds(self, alpha: float) -> tuple[float | None, float | None]:
        """Means that the evidence speaks against, each side at `alpha`: those below the first and above the second.

        None: none yet.
        """
        return self._bound(-1.0, alpha), self._bound(1.0, alpha)

    def _bound(self, side: float, alpha: float) -> float | None:
        if self._weights == 0.0:
            return None
        near = self._weighted / self._weights
        far = near + side * _FAR * math.sqrt(self._square)
        if not self._excluded(far, side, alpha):
            return None
        for _ in range(_BISECTIONS):
            middle = 0.5 * (near + far)
            near, far = (near, middle) if self._excluded(middle, side, alpha) else (middle, far)
        return far

    def _excluded(self, mean: float, side: float, alpha: float) -> bool:
        s = self._weighted - mean * self._weights
        v = self._v - 2.0 * mean * self._vx + mean * mean * self._vv
        return log_mixture(-side * s, v) >= math.log(1.0 / alpha)
