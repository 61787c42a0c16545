"""Long while the fast exponential average of the mid is above the slow one, else flat (short where allowed).

The averages run over decisions; `strategy.options` sets `fast` and `slow` (default 12 and 26 decisions).
"""

from __future__ import annotations

from ztb.errors import ConfigError
from ztb.trading.strategy import Action, Moment, StrategyContext


class Strategy:
    def __init__(self, context: StrategyContext) -> None:
        fast, slow = float(context.options.get("fast", 12)), float(context.options.get("slow", 26))
        if not 1.0 <= fast < slow:
            raise ConfigError(
                f"strategy.options: ema_cross needs 1 <= fast < slow, got fast={fast}, slow={slow}"
            )
        self._weights = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0)
        self._averages: tuple[float, float] | None = None
        self._warm_up = int(slow)
        self._rise, self._fall = Action(len(context.ladder) - 1), Action(0)

    def decide(self, moment: Moment) -> Action:
        mid = moment.mid
        fast, slow = self._averages or (mid, mid)
        fast += self._weights[0] * (mid - fast)
        slow += self._weights[1] * (mid - slow)
        self._averages = fast, slow
        if self._warm_up > 0:
            self._warm_up -= 1
            return Action(moment.ladder.index(0.0))
        return self._rise if fast > slow else self._fall
