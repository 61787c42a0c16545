"""Long while the fast exponential average of the mid is above the slow one, else flat (short where allowed).

The averages run over decisions; `strategy.options` sets `fast` and `slow` (default 12 and 26 decisions). The rule is a
kernel: see `ztb.trading.kernel_rule`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.errors import ConfigError
from ztb.trading.kernel_rule import KernelRule, choice, nearest
from ztb.trading.sizing import TIMING_AGGRESSIVE
from ztb.trading.strategy import Action, Moment, StrategyContext

_FAST, _SLOW, _FAST_WEIGHT, _SLOW_WEIGHT, _WARM_UP, _BEGUN = range(6)


def decide(
    state: NDArray[np.float64],
    moment: NDArray[np.void],
    features: NDArray[np.float64],
    ladder: NDArray[np.float64],
) -> int:
    mid = moment[0]["mid"]
    if state[_BEGUN] == 0.0:
        state[_FAST], state[_SLOW], state[_BEGUN] = mid, mid, 1.0
    state[_FAST] += state[_FAST_WEIGHT] * (mid - state[_FAST])
    state[_SLOW] += state[_SLOW_WEIGHT] * (mid - state[_SLOW])
    if state[_WARM_UP] > 0.0:
        state[_WARM_UP] -= 1.0
        return choice(nearest(ladder, 0.0), TIMING_AGGRESSIVE)
    return choice(len(ladder) - 1 if state[_FAST] > state[_SLOW] else 0, TIMING_AGGRESSIVE)


class Strategy:
    def __init__(self, context: StrategyContext) -> None:
        fast, slow = float(context.options.get("fast", 12)), float(context.options.get("slow", 26))
        if not 1.0 <= fast < slow:
            raise ConfigError(
                f"strategy.options: ema_cross needs 1 <= fast < slow, got fast={fast}, slow={slow}"
            )
        weights = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0)
        self.follows = KernelRule(decide, np.array([0.0, 0.0, *weights, float(int(slow)), 0.0]))

    def decide(self, moment: Moment) -> Action:
        return self.follows(moment)
