"""A random target at every decision: what chance earns, and what it costs."""

from __future__ import annotations

from ztb.trading.strategy import Action, Moment, StrategyContext


class Strategy:
    def __init__(self, context: StrategyContext) -> None:
        self._rungs = len(context.ladder)

    def decide(self, moment: Moment) -> Action:
        return Action(int(moment.uniforms[0] * self._rungs), int(moment.uniforms[1] * 3))
