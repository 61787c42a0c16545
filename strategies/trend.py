"""An ensemble of Donchian channels on daily closes, sized to a target volatility.

Zarattini, Pagani and Barbon 2025, "Catching Crypto Trends" (SSRN 5209907): for each span, in at a new high of the span,
out at a trailing stop, the highest middle of the channel since; the exposure is the mean over the spans, times the
target over the present volatility, at most 1. Spans, target and volatility window are theirs (their three spans beyond
90 days left out), not fitted to the shipped history; `strategy.options`: `spans_days`, `target_volatility`,
`volatility_days`. The rule is a kernel: see `ztb.trading.kernel_rule`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.errors import ConfigError
from ztb.trading.daily import DAILY, closes_of, see_day, volatility
from ztb.trading.kernel_rule import KernelRule, choice, nearest
from ztb.trading.sizing import TIMING_AGGRESSIVE
from ztb.trading.strategy import Action, Moment, StrategyContext
from ztb.utils.kernel import kernel

_SPANS_DAYS = (5, 10, 20, 30, 60, 90)
_EXPOSURE, _TARGET, _WINDOW, _SPANS, _CHANNELS = range(5)
_DAYS, _LONG, _STOP, _CHANNEL = range(
    4
)  # of each channel: its span, whether it is in the market, where it is out


@kernel
def follow_channel(channel: NDArray[np.float64], closes: NDArray[np.float64]) -> None:
    """A day has closed; `closes` are quote currency, oldest first, the last is that day's."""
    days = int(channel[_DAYS])
    if len(closes) < days:
        return
    span = closes[len(closes) - days :]
    last, high, middle = span[-1], span.max(), (span.max() + span.min()) / 2.0
    if channel[_LONG] == 1.0:
        channel[_STOP] = max(channel[_STOP], middle)
        channel[_LONG] = 1.0 if last > channel[_STOP] else 0.0
    elif last >= high:
        channel[_LONG] = 1.0
        channel[_STOP] = middle


@kernel
def see(state: NDArray[np.float64], ts_ns: int, mid: float) -> None:
    """Take note of the mid; after a day's close the exposure is another."""
    spans = int(state[_SPANS])
    daily = state[_CHANNELS + _CHANNEL * spans :]
    if not see_day(daily, ts_ns, mid):
        return
    closes, long = closes_of(daily), 0.0
    for n in range(spans):
        channel = state[_CHANNELS + _CHANNEL * n : _CHANNELS + _CHANNEL * (n + 1)]
        follow_channel(channel, closes)
        long += channel[_LONG]
    present = volatility(closes, int(state[_WINDOW]))
    state[_EXPOSURE] = long / spans * min(1.0, state[_TARGET] / present) if present > 0.0 else 0.0


def decide(
    state: NDArray[np.float64],
    moment: NDArray[np.void],
    features: NDArray[np.float64],
    ladder: NDArray[np.float64],
) -> int:
    see(state, moment[0]["ts_ns"], moment[0]["mid"])
    return choice(nearest(ladder, state[_EXPOSURE]), TIMING_AGGRESSIVE)


class Strategy:
    def __init__(self, context: StrategyContext) -> None:
        options = context.options
        spans = options.get("spans_days", _SPANS_DAYS)
        target = float(options.get("target_volatility", 0.25))
        window = int(options.get("volatility_days", 90))
        if not spans or min(spans) < 2 or target <= 0.0 or window < 2:
            raise ConfigError(
                f"strategy.options: trend needs spans_days and volatility_days of 2 or more and a target_volatility "
                f"above 0, got {list(spans)}, {window} and {target}"
            )
        days = [int(span) for span in spans]
        channels = [number for span in days for number in (float(span), 0.0, 0.0)]
        daily = np.zeros(DAILY + max(window + 1, *days))
        self.follows = KernelRule(decide, np.array([0.0, target, window, len(days), *channels, *daily]))

    def warm_up(self, ts_ns: int, mid: float) -> None:
        """See `trading.strategy`."""
        see(self.follows.state, ts_ns, mid)

    def decide(self, moment: Moment) -> Action:
        return self.follows(moment)
