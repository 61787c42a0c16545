"""Evidence, which forgets, that an account grows after costs: what an expert's weight rests on.

The growth of each block of decisions, in units of its running root mean square, enters the normal mixture of
`learning.gate.evidence`: S is the sum of these, V that of their squares, and e(S, V) the evidence against "it does not
grow". While nothing is forgotten e is an e-process: where an account does not grow (and blocks are symmetric), e ever
reaches x with probability 1/x at most, however often one looks (Ville's inequality). Both sums are multiplied by
`forgetting` before each block, so that what was earned in a market that is gone stops speaking; with it the bound holds
for stretches of about 1 / (1 - forgetting) blocks rather than for ever.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from ztb.learning.gate.evidence import log_mixture

_WARM_UP = 4
_HORIZON = 32
_MOST_SD = 8.0
"""What one block counts for at most, standard deviations; the same up and down, which keeps the symmetry."""


@dataclass(slots=True)
class GrowthEvidence:
    """The sums over the blocks so far; the first `_WARM_UP` give the scale only."""

    forgetting: float
    blocks: int = 0
    s: float = 0.0
    v: float = 0.0
    square: float = 0.0

    def add(self, growth: float) -> None:
        """Take the log growth of the next block; one in which nothing was held says nothing."""
        if growth == 0.0:
            return
        if self.blocks >= _WARM_UP:
            scaled = min(max(growth / math.sqrt(self.square), -_MOST_SD), _MOST_SD)
            self.s = self.forgetting * self.s + scaled
            self.v = self.forgetting * self.v + scaled * scaled
        self.blocks += 1
        self.square += (growth * growth - self.square) / min(self.blocks, _HORIZON)

    @property
    def log_e(self) -> float:
        """Natural logarithm of the evidence."""
        return log_mixture(self.s, self.v)

    def copy(self) -> GrowthEvidence:
        """The same evidence, for whoever is to begin with it."""
        return GrowthEvidence(**asdict(self))

    def state(self) -> dict[str, Any]:
        """Everything that the next block is added to."""
        return asdict(self)
