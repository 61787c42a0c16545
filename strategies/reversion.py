"""Buys a sharp fall within a rise, on daily closes, and sells the recovery.

Connors and Alvarez 2009, "Short Term Trading Strategies That Work", chapter 9: in when the close is above its average
of 200 days and the relative strength index of 2 days is below 5, out when the close is above its average of 5 days.
Their parameters, found on shares, not fitted to the shipped history; `strategy.options`: `trend_days`, `exit_days`,
`entry_rsi`.
"""

from __future__ import annotations

from ztb.errors import ConfigError
from ztb.trading.daily import DailyCloses
from ztb.trading.strategy import Action, Moment, StrategyContext, nearest_rung

_RSI_DAYS = 2


class Strategy:
    def __init__(self, context: StrategyContext) -> None:
        options = context.options
        self._trend, self._exit = int(options.get("trend_days", 200)), int(options.get("exit_days", 5))
        self._entry_rsi = float(options.get("entry_rsi", 5.0))
        if not 2 <= self._exit < self._trend or not 0.0 < self._entry_rsi < 100.0:
            raise ConfigError(
                "strategy.options: reversion needs 2 <= exit_days < trend_days and 0 < entry_rsi < 100, got "
                f"{self._exit}, {self._trend} and {self._entry_rsi}"
            )
        self._daily = DailyCloses(self._trend)
        self._rises = self._falls = 0.0
        self._in = Action(nearest_rung(context.ladder, 1.0))
        self._out = Action(nearest_rung(context.ladder, 0.0))
        self._long = False

    def warm_up(self, ts_ns: int, mid: float) -> None:
        """See `trading.strategy`."""
        if self._daily.see(ts_ns, mid):
            self._close(list(self._daily.closes))

    def _close(self, closes: list[float]) -> None:
        """A day has closed: Wilder's averages of rises and falls, then in or out."""
        if len(closes) > 1:
            change = closes[-1] - closes[-2]
            self._rises += (max(change, 0.0) - self._rises) / _RSI_DAYS
            self._falls += (max(-change, 0.0) - self._falls) / _RSI_DAYS
        if len(closes) < self._trend:
            return
        if self._long:
            self._long = closes[-1] <= sum(closes[-self._exit :]) / self._exit
        else:
            self._long = closes[-1] > sum(closes) / len(closes) and self._rsi < self._entry_rsi

    @property
    def _rsi(self) -> float:
        """Wilder 1978, 0 to 100."""
        moves = self._rises + self._falls
        return 100.0 * self._rises / moves if moves > 0.0 else 50.0

    def decide(self, moment: Moment) -> Action:
        self.warm_up(moment.ts_ns, moment.mid)
        return self._in if self._long else self._out
