"""Buys a sharp fall within a rise, on daily closes, and sells the recovery.

Connors and Alvarez 2009, "Short Term Trading Strategies That Work", chapter 9: in when the close is above its average
of 200 days and the relative strength index of 2 days is below 5, out when the close is above its average of 5 days.
Their parameters, found on shares, not fitted to the shipped history; `strategy.options`: `trend_days`, `exit_days`,
`entry_rsi`. The rule is a kernel: see `ztb.trading.kernel_rule`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.errors import ConfigError
from ztb.trading.daily import DAILY, closes_of, see_day
from ztb.trading.kernel_rule import KernelRule, choice, nearest
from ztb.trading.sizing import TIMING_AGGRESSIVE
from ztb.trading.strategy import Action, Moment, StrategyContext
from ztb.utils.kernel import kernel

_RSI_DAYS = 2
_LONG, _RISES, _FALLS, _TREND_DAYS, _EXIT_DAYS, _ENTRY_RSI, _DAILY = range(7)


@kernel
def see(state: NDArray[np.float64], ts_ns: int, mid: float) -> None:
    """Take note of the mid; after a day's close: Wilder's averages of rises and falls, then in or out."""
    daily = state[_DAILY:]
    if not see_day(daily, ts_ns, mid):
        return
    closes = closes_of(daily)
    if len(closes) > 1:
        change = closes[-1] - closes[-2]
        state[_RISES] += (max(change, 0.0) - state[_RISES]) / _RSI_DAYS
        state[_FALLS] += (max(-change, 0.0) - state[_FALLS]) / _RSI_DAYS
    if len(closes) < state[_TREND_DAYS]:
        return
    if state[_LONG] == 1.0:
        exits = int(state[_EXIT_DAYS])
        state[_LONG] = 1.0 if closes[-1] <= mean_of(closes[len(closes) - exits :]) else 0.0
    elif closes[-1] > mean_of(closes) and strength(state) < state[_ENTRY_RSI]:
        state[_LONG] = 1.0


@kernel
def mean_of(values: NDArray[np.float64]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


@kernel
def strength(state: NDArray[np.float64]) -> float:
    """The relative strength index: Wilder 1978, 0 to 100."""
    moves = state[_RISES] + state[_FALLS]
    return 100.0 * state[_RISES] / moves if moves > 0.0 else 50.0


def decide(
    state: NDArray[np.float64],
    moment: NDArray[np.void],
    features: NDArray[np.float64],
    ladder: NDArray[np.float64],
) -> int:
    see(state, moment[0]["ts_ns"], moment[0]["mid"])
    return choice(nearest(ladder, state[_LONG]), TIMING_AGGRESSIVE)


class Strategy:
    def __init__(self, context: StrategyContext) -> None:
        options = context.options
        trend, exits = int(options.get("trend_days", 200)), int(options.get("exit_days", 5))
        entry = float(options.get("entry_rsi", 5.0))
        if not 2 <= exits < trend or not 0.0 < entry < 100.0:
            raise ConfigError(
                "strategy.options: reversion needs 2 <= exit_days < trend_days and 0 < entry_rsi < 100, got "
                f"{exits}, {trend} and {entry}"
            )
        state = np.zeros(_DAILY + DAILY + trend)
        state[_TREND_DAYS], state[_EXIT_DAYS], state[_ENTRY_RSI] = trend, exits, entry
        self.follows = KernelRule(decide, state)

    def warm_up(self, ts_ns: int, mid: float) -> None:
        """See `trading.strategy`."""
        see(self.follows.state, ts_ns, mid)

    def decide(self, moment: Moment) -> Action:
        return self.follows(moment)
