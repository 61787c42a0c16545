"""The policy that keeps learning while it trades."""

from __future__ import annotations

from ztb.errors import ConfigError
from ztb.trading.strategy import Action, Moment, StrategyContext


class Strategy:
    learns = True

    def __init__(self, context: StrategyContext) -> None:
        if context.policy is None:
            raise ConfigError("ppo_online needs a policy to serve; it is made by the daemon, not by hand")
        self.follows = context.policy

    def decide(self, moment: Moment) -> Action:
        return self.follows.act(moment.observation, moment.uniforms)
