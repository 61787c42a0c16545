"""Buy at the first decision and keep it: the yardstick of every other strategy."""

from __future__ import annotations

from ztb.trading.strategy import Action, Moment, StrategyContext, nearest_rung


class Strategy:
    def __init__(self, context: StrategyContext) -> None:
        self.follows = Action(nearest_rung(context.ladder, 1.0))

    def decide(self, moment: Moment) -> Action:
        return self.follows
