"""Evidence, which forgets, that an account grows after costs: what an expert's weight rests on.

Of what it earned. The growth of each block of decisions, in units of its running root mean square, enters the normal
mixture of `learning.gate.evidence`: S is the sum of these, V that of their squares, and e(S, V) the evidence against
"it does not grow". While nothing is forgotten e is an e-process: where an account does not grow (and blocks are
symmetric), e ever reaches x with probability 1/x at most, however often one looks (Ville's inequality). Both sums are
multiplied by `forgetting` before each block, so that what was earned in a market that is gone stops speaking; with it
the bound holds for stretches of about 1 / (1 - forgetting) blocks rather than for ever.

Of what the market said. Profit is mostly noise: where a hundredth of the next return's variance is to be foreseen,
several times as many decisions must be earned on as forecast to be as sure. So the forecast (`features.forecast`),
made before each return, is evidence too. With h the exposure held beyond what is held on average, and f the forecast,
an account claims h f and pays costs c: it grows if returns are b f with b above the hurdle b0 = sum c / sum h f. (Who
holds the same always claims nothing so: in a falling market a forecast of small recoveries is above 0 again and again,
and the holder falls.) Against each return r, in deviations as f, stands the likelihood ratio of b = 1 to b = b0,

    (1 - b0) f (r - f (1 + b0) / 2),

whose exponential has a mean of 1 at most where b is no larger than b0, if the rest of the return is normal (Wald
1947, "Sequential Analysis"). Its sum is kept within bounds (Page 1954, "Continuous inspection schemes"), so that
neither an old fame nor an old shame takes long to undo, and counts while the hurdle is below 1, less what the
account's own losses speak against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ztb.learning.gate.evidence import log_mixture
from ztb.utils.kernel import entry, kernel

if TYPE_CHECKING:
    from ztb.features.forecast import Foreseen

_WARM_UP = 4
_HORIZON = 32
_MOST_SD = 8.0
"""What one block counts for at most, standard deviations; the same up and down, which keeps the symmetry."""
_CLAIMS_HORIZON = 2048
"""Decisions over which claims and costs are compared."""
_BY_CHANCE, _NO_MORE = 3.0, 1.0
"""Standard deviations of what one claims who changes what is held for other reasons than the forecast: beyond the first
it is a claim, below the second no more. Were they the same, a weight would come and go with it and pay each trip."""
_TAIL = 3.0
"""Standard deviations beyond which a return counts no more."""
_LEAST, _MOST = -3.0, 16.0
"""Bounds of the evidence of forecasts."""
_RESERVE = math.log(20.0)
"""Kept back of it, as it rests on more than profit does: on returns that are a multiple of the forecast."""


FloatArray = NDArray[np.float64]
_SUMS = (
    "foreseen", "followed", "usual", "claimed", "claimed_squares", "paid", "risked", "hurdle", "claims",
)  # fmt: skip
_FORESEEN, _FOLLOWED, _USUAL, _CLAIMED, _SQUARES, _PAID, _RISKED, _HURDLE, _CLAIMS = range(len(_SUMS))
_MID, _FORECAST, _DEVIATION, _CHANGE = range(4)  # of Foreseen


def _row(market: Foreseen) -> FloatArray:
    return np.array([market[:4]], np.float64)


@kernel
def _learn(sums: FloatArray, market: FloatArray, k: int) -> None:
    hurdle, deviation = sums[_HURDLE], market[k, _DEVIATION]
    if deviation <= 0.0 or hurdle >= 1.0:
        return
    forecast = market[k, _FORECAST] / deviation
    change = min(max(market[k, _CHANGE] / deviation, -_TAIL), _TAIL)
    ratio = (1.0 - hurdle) * forecast * (change - 0.5 * (1.0 + hurdle) * forecast)
    sums[_FORESEEN] = min(max(sums[_FORESEEN] + ratio, _LEAST), _MOST)


@kernel
def _claim(sums: FloatArray, market: FloatArray, k: int, cost: float, held: float, growth: float) -> None:
    fading = 1.0 - 1.0 / _CLAIMS_HORIZON
    sums[_FOLLOWED] += 1.0
    sums[_USUAL] += (held - sums[_USUAL]) / min(sums[_FOLLOWED], _CLAIMS_HORIZON)
    claim, risk = (held - sums[_USUAL]) * market[k, _FORECAST], held * market[k, _DEVIATION]
    sums[_CLAIMED] = fading * sums[_CLAIMED] + claim
    sums[_SQUARES] = fading * sums[_SQUARES] + claim * claim
    sums[_PAID] = fading * sums[_PAID] + held * market[k, _CHANGE] - growth
    sums[_RISKED] = fading * sums[_RISKED] + risk * risk
    chance = (_NO_MORE if sums[_CLAIMS] == 1.0 else _BY_CHANCE) * math.sqrt(sums[_SQUARES])
    sums[_CLAIMS] = 1.0 if sums[_CLAIMED] > chance else 0.0
    trip = 2.0 * cost
    if sums[_CLAIMS] == 1.0:
        sums[_HURDLE] = max(0.0, (trip + sums[_PAID]) / (trip + sums[_CLAIMED]))
    else:
        sums[_HURDLE] = 1.0


@kernel
def _foresee(
    sums: FloatArray,
    market: FloatArray,
    cost: float,
    positions: FloatArray,
    before: float,
    equities: FloatArray,
) -> None:
    for k in range(len(market)):
        equity = equities[k]
        if market[k, _MID] > 0.0 and before > 0.0 and equity > 0.0:
            _learn(sums, market, k)
            held = positions[k] * market[k, _MID] / before
            _claim(sums=sums, market=market, k=k, cost=cost, held=held, growth=math.log(equity / before))
        before = equity


@cache
def _foreseeing() -> Callable[[FloatArray, FloatArray, float, FloatArray, float, FloatArray], None]:
    """`_foresee` for arrays that lie together."""
    nothing = np.zeros(0)
    return entry(_foresee, np.zeros(len(_SUMS)), np.zeros((0, 4)), 0.0, nothing, 0.0, nothing)


@dataclass(slots=True)
class GrowthEvidence:
    """The sums over the blocks so far, of which the first `_WARM_UP` give the scale only; and those of forecasts."""

    forgetting: float
    blocks: int = 0
    s: float = 0.0
    v: float = 0.0
    square: float = 0.0
    foreseen: float = 0.0
    """The bounded sum of log likelihood ratios."""
    followed: int = 0
    """Decisions of which exposures are known."""
    usual: float = 0.0
    """The exposure held on average lately."""
    claimed: float = 0.0
    claimed_squares: float = 0.0
    paid: float = 0.0
    risked: float = 0.0
    """Variance of what was held, summed as claims are."""
    hurdle: float = 1.0
    claims: bool = False

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

    def learn_from(self, market: Foreseen) -> None:
        """Take a return that was forecast, at the hurdle as it is."""
        sums = self._sums()
        _learn(sums, _row(market), 0)
        self._take(sums)

    def claim(self, market: Foreseen, held: float, growth: float) -> None:
        """Move the hurdle: what was paid for what was claimed lately, and a trip there and back beside both.

        `held` is the exposure meanwhile, `growth` the account's log growth.
        """
        sums = self._sums()
        _claim(sums=sums, market=_row(market), k=0, cost=market.cost, held=held, growth=growth)
        self._take(sums)

    def foresee(self, market: Foreseen, held: float, growth: float) -> None:
        """Take a return that was forecast, the exposure held meanwhile, and the account's log growth."""
        self.learn_from(market)
        self.claim(market, held, growth)

    def foresee_all(
        self, market: FloatArray, cost: float, positions: FloatArray, before: float, equities: FloatArray
    ) -> None:
        """As `foresee`, N returns, `market` (N, 4) as `Foreseen` has them, mid 0: nothing was forecast.

        `positions` (N,) were held meanwhile, base currency; `equities` (N,) are the account's after each, and
        `before` that of before the first, quote currency.
        """
        sums = self._sums()
        together = np.ascontiguousarray
        _foreseeing()(sums, together(market), cost, together(positions), before, together(equities))
        self._take(sums)

    def _sums(self) -> FloatArray:
        return np.array([getattr(self, name) for name in _SUMS], np.float64)

    def _take(self, sums: FloatArray) -> None:
        for name, value in zip(_SUMS, sums.tolist(), strict=True):
            setattr(self, name, value)
        self.claims, self.followed = bool(self.claims), int(self.followed)

    @property
    def log_e(self) -> float:
        """Natural logarithm of the evidence: of profit, or that of forecasts where it is more."""
        return max(log_mixture(self.s, self.v), self._of_forecasts)

    @property
    def _of_forecasts(self) -> float:
        if self.hurdle >= 1.0 or self.foreseen <= _RESERVE:
            return -math.inf
        return self.foreseen - _RESERVE - max(0.0, log_mixture(-self.s, self.v))

    @property
    def kelly(self) -> float:
        """The multiple of full size that grows fastest, by the evidence that counts; infinite without any.

        Mean over variance of its returns (Kelly 1956; Thorp 2006, "The Kelly criterion", equation 7.3).
        """
        if self.log_e <= 0.0:
            return math.inf
        if self._of_forecasts > log_mixture(self.s, self.v):
            return max(self.claimed - self.paid, 0.0) / self.risked
        return self.s / (self.v * math.sqrt(self.square))

    def copy(self) -> GrowthEvidence:
        """The same evidence, for whoever is to begin with it."""
        return GrowthEvidence(**self.state())

    def state(self) -> dict[str, Any]:
        """Everything that the next block is added to."""
        return {name: getattr(self, name) for name in self.__slots__}
