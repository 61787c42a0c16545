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
    "forgetting", "blocks", "s", "v", "square",
    "foreseen", "followed", "usual", "claimed", "claimed_squares", "paid", "risked", "hurdle", "claims",
)  # fmt: skip
(
    _FORGETTING, _BLOCKS, _S, _V, _SQUARE,
    _FORESEEN, _FOLLOWED, _USUAL, _CLAIMED, _SQUARES, _PAID, _RISKED, _HURDLE, _CLAIMS,
) = range(len(_SUMS))  # fmt: skip
_COUNTS = {"blocks": int, "followed": int, "claims": bool}
_MID, _FORECAST, _DEVIATION, _CHANGE = range(4)  # of Foreseen
LOG_E, KELLY = range(2)  # what `appraise` says


@kernel
def _learn(sums: FloatArray, market: FloatArray, k: int) -> None:
    """Take a return that was forecast, at the hurdle as it is."""
    hurdle, deviation = sums[_HURDLE], market[k, _DEVIATION]
    if deviation <= 0.0 or hurdle >= 1.0:
        return
    forecast = market[k, _FORECAST] / deviation
    change = min(max(market[k, _CHANGE] / deviation, -_TAIL), _TAIL)
    ratio = (1.0 - hurdle) * forecast * (change - 0.5 * (1.0 + hurdle) * forecast)
    sums[_FORESEEN] = min(max(sums[_FORESEEN] + ratio, _LEAST), _MOST)


@kernel
def _claim(sums: FloatArray, market: FloatArray, k: int, cost: float, held: float, growth: float) -> None:
    """Move the hurdle: what was paid for what was claimed lately, and a trip there and back beside both."""
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
def _learn_all(sums: FloatArray, market: FloatArray) -> None:
    for k in range(len(market)):
        if market[k, _MID] > 0.0:
            _learn(sums, market, k)


@kernel
def _claim_all(
    sums: FloatArray, market: FloatArray, cost: float, held: FloatArray, growths: FloatArray
) -> None:
    for k in range(len(market)):
        if market[k, _MID] > 0.0:
            _claim(sums=sums, market=market, k=k, cost=cost, held=held[k], growth=growths[k])


@kernel
def _trade(
    table: FloatArray,
    rows: NDArray[np.int64],
    market: FloatArray,
    cost: float,
    positions: FloatArray,
    before: FloatArray,
    equities: FloatArray,
) -> None:
    for j in range(len(rows)):
        sums, last = table[rows[j]], before[j]
        for k in range(len(market)):
            equity = equities[j, k]
            if market[k, _MID] > 0.0 and last > 0.0 and equity > 0.0:
                _learn(sums, market, k)
                held = positions[j, k] * market[k, _MID] / last
                _claim(sums=sums, market=market, k=k, cost=cost, held=held, growth=math.log(equity / last))
            last = equity


@kernel
def _appraise(table: FloatArray, said: FloatArray) -> None:
    for k in range(len(table)):
        sums = table[k]
        s, v, foreseen = sums[_S], sums[_V], sums[_FORESEEN]
        of_profit, of_forecasts = log_mixture(s, v), -math.inf
        if sums[_HURDLE] < 1.0 and foreseen > _RESERVE:
            of_forecasts = foreseen - _RESERVE - max(0.0, log_mixture(-s, v))
        said[k, LOG_E] = max(of_profit, of_forecasts)
        if said[k, LOG_E] <= 0.0:
            said[k, KELLY] = math.inf
        elif of_forecasts > of_profit:
            said[k, KELLY] = max(sums[_CLAIMED] - sums[_PAID], 0.0) / sums[_RISKED]
        else:
            said[k, KELLY] = s / (v * math.sqrt(sums[_SQUARE]))


@cache
def _appraising() -> Callable[[FloatArray, FloatArray], None]:
    """`_appraise` for arrays that lie together."""
    return entry(_appraise, np.zeros((0, len(_SUMS))), np.zeros((0, 2)))


@cache
def _trading() -> Callable[
    [FloatArray, NDArray[np.int64], FloatArray, float, FloatArray, FloatArray, FloatArray], None
]:
    """`_trade` for arrays that lie together."""
    nobody, nothing = np.zeros(0, np.int64), np.zeros((0, 0))
    return entry(
        _trade, np.zeros((0, len(_SUMS))), nobody, np.zeros((0, 4)), 0.0, nothing, np.zeros(0), nothing
    )


def foresee_all(
    table: FloatArray,
    rows: NDArray[np.int64],
    market: FloatArray,
    cost: float,
    positions: FloatArray,
    before: FloatArray,
    equities: FloatArray,
) -> None:
    """Let evidence take N returns: the sums (M, F) of which `rows` (K,) are meant.

    `market` (N, 4) as `Foreseen` has it, mid 0: nothing was forecast; `positions` (K, N) were held meanwhile, base
    currency; `equities` (K, N) are the accounts' after each, and `before` (K,) those of before the first, quote
    currency.
    """
    _trading()(table, rows, market, cost, positions, before, equities)


def appraise(table: FloatArray) -> FloatArray:
    """(K, 2) of the sums (K, F) of K accounts: natural logarithm of the evidence, of profit, or that of forecasts where
    it is more; and the multiple of full size that grows fastest, by the evidence that counts, infinite without any.

    The latter is mean over variance of its returns (Kelly 1956; Thorp 2006, "The Kelly criterion", equation 7.3).
    """
    said = np.empty((len(table), 2))
    _appraising()(table, said)
    return said


class GrowthEvidence:
    """The sums over the blocks so far, of which the first `_WARM_UP` give the scale only; and those of forecasts.

    `foreseen` is the bounded sum of log likelihood ratios, `followed` the decisions of which exposures are known,
    `usual` is the exposure held on average lately, `risked` the variance of what was held, summed as claims are.
    """

    __slots__ = ("sums",)

    def __init__(
        self,
        forgetting: float,
        blocks: float = 0,
        s: float = 0.0,
        v: float = 0.0,
        square: float = 0.0,
        *,
        hurdle: float = 1.0,
        **forecasts: float,
    ) -> None:
        """`forecasts`: the other sums of forecasts, by name."""
        self.sums = np.zeros(len(_SUMS))
        self.sums[: _SQUARE + 1] = forgetting, blocks, s, v, square
        self.sums[_HURDLE] = hurdle
        for name, value in forecasts.items():
            self.sums[_SUMS.index(name)] = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GrowthEvidence) and bool(np.array_equal(self.sums, other.sums))

    __hash__ = None  # type: ignore[assignment] # as anything that changes

    def add(self, growth: float) -> None:
        """Take the log growth of the next block; one in which nothing was held says nothing."""
        if growth == 0.0:
            return
        forgetting, blocks, s, v, square = self.sums[: _SQUARE + 1].tolist()
        if blocks >= _WARM_UP:
            scaled = min(max(growth / math.sqrt(square), -_MOST_SD), _MOST_SD)
            s = forgetting * s + scaled
            v = forgetting * v + scaled * scaled
        blocks += 1.0
        square += (growth * growth - square) / min(blocks, _HORIZON)
        self.sums[: _SQUARE + 1] = forgetting, blocks, s, v, square

    def learn(self, market: FloatArray) -> None:
        """Take N returns, the hurdle as it is: `market` (N, 4) as `Foreseen` has them, mid 0: nothing was forecast."""
        _learn_all(self.sums, market)

    def claim(self, market: FloatArray, cost: float, held: FloatArray, growths: FloatArray) -> None:
        """Move the hurdle by what was claimed and paid over N returns, `market` as in `learn`.

        `held` (N,) are the exposures meanwhile, `growths` (N,) the account's log growth, `cost` that of a unit of
        turnover.
        """
        _claim_all(sums=self.sums, market=market, cost=cost, held=held, growths=growths)

    def foresee(self, market: Foreseen, held: float, growth: float) -> None:
        """Take a return that was forecast, the exposure held meanwhile, and the account's log growth."""
        row = np.array([market[:4]])
        self.learn(row)
        self.claim(row, market.cost, np.array([held]), np.array([growth]))

    @property
    def blocks(self) -> int:
        """Blocks in which anything was held."""
        return int(self.sums.item(_BLOCKS))

    @property
    def log_e(self) -> float:
        """Natural logarithm of the evidence, see `appraise`."""
        return appraise(self.sums[None]).item(0, LOG_E)

    @property
    def kelly(self) -> float:
        """The multiple of full size that grows fastest, see `appraise`."""
        return appraise(self.sums[None]).item(0, KELLY)

    def copy(self) -> GrowthEvidence:
        """The same evidence, for whoever is to begin with it."""
        other = GrowthEvidence(1.0)
        other.sums[:] = self.sums
        return other

    def become(self, other: GrowthEvidence) -> None:
        """Go on from what `other` rests on."""
        self.sums[:] = other.sums

    def state(self) -> dict[str, Any]:
        """Everything that the next block is added to, by name."""
        state: dict[str, Any] = dict(zip(_SUMS, self.sums.tolist(), strict=True))
        for name, kind in _COUNTS.items():
            state[name] = kind(state[name])
        return state
