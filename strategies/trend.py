"""An ensemble of Donchian channels on daily closes, sized to a target volatility.

Zarattini, Pagani and Barbon 2025, "Catching Crypto Trends" (SSRN 5209907): for each span, in at a new high of the span,
out at a trailing stop, the highest middle of the channel since; the exposure is the mean over the spans, times the
target over the present volatility, at most 1. Spans, target and volatility window are theirs (their three spans beyond
90 days left out), not fitted to the shipped history; `strategy.options`: `spans_days`, `target_volatility`,
`volatility_days`.
"""

from __future__ import annotations

from ztb.errors import ConfigError
from ztb.trading.daily import DailyCloses
from ztb.trading.strategy import Action, Moment, StrategyContext, nearest_rung

_SPANS_DAYS = (5, 10, 20, 30, 60, 90)


class Channel:
    """One span: whether it is in the market, and the stop that takes it out again."""

    def __init__(self, days: int) -> None:
        self.days = days
        self.long = False
        self._stop = 0.0

    def close(self, closes: list[float]) -> None:
        """A day has closed; `closes` are quote currency, oldest first, the last is that day's."""
        if len(closes) < self.days:
            return
        span = closes[-self.days :]
        last, high, middle = span[-1], max(span), (max(span) + min(span)) / 2.0
        if self.long:
            self._stop = max(self._stop, middle)
            self.long = last > self._stop
        elif last >= high:
            self.long, self._stop = True, middle


class Strategy:
    def __init__(self, context: StrategyContext) -> None:
        options = context.options
        spans = options.get("spans_days", _SPANS_DAYS)
        self._target = float(options.get("target_volatility", 0.25))
        self._window = int(options.get("volatility_days", 90))
        if not spans or min(spans) < 2 or self._target <= 0.0 or self._window < 2:
            raise ConfigError(
                f"strategy.options: trend needs spans_days and volatility_days of 2 or more and a target_volatility "
                f"above 0, got {list(spans)}, {self._window} and {self._target}"
            )
        self._channels = [Channel(int(days)) for days in spans]
        self._daily = DailyCloses(max(self._window + 1, *map(int, spans)))
        self._ladder = context.ladder
        self._exposure = 0.0

    def warm_up(self, ts_ns: int, mid: float) -> None:
        """See `trading.strategy`."""
        if self._daily.see(ts_ns, mid):
            closes = list(self._daily.closes)
            for channel in self._channels:
                channel.close(closes)
            volatility = self._daily.volatility(self._window)
            share = sum(channel.long for channel in self._channels) / len(self._channels)
            self._exposure = share * min(1.0, self._target / volatility) if volatility else 0.0

    def decide(self, moment: Moment) -> Action:
        self.warm_up(moment.ts_ns, moment.mid)
        return Action(nearest_rung(self._ladder, self._exposure))
