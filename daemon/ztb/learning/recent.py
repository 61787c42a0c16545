"""Rollouts of the learner's current policy over the recent window: what makes up for own transitions being few."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np

from ztb.execution.paper_config import PaperConfig
from ztb.learning.rollouts import SimulatedEnvironments, simulated_rollouts
from ztb.learning.settings import OnlineConfig
from ztb.learning.window import RecentWindow
from ztb.market.instrument import Instrument
from ztb.trading.episodes import Episodes
from ztb.trading.policy.network import MakeNetwork
from ztb.trading.policy.weights import NetworkShape, Weights
from ztb.trading.ppo.collector import RolloutCollector
from ztb.trading.recording import Recording
from ztb.trading.settings import BridgeConfig
from ztb.trading.simulation import Simulation
from ztb.trading.strategy import OwnReward

_SEEDS = 2**62
_BEYOND = 2.0
_LEAST_DRAWDOWN, _MOST_DRAWDOWN = 0.02, 0.9


@dataclass(frozen=True, slots=True)
class AccountState:
    """`equity` of an account, quote currency, and its `drawdown`, the share that is lost of its highest equity."""

    equity: float
    drawdown: float


@dataclass(frozen=True, slots=True)
class RecentConfig:
    """Things that the policy is rolled out on. `strategy`: whose own reward is used."""

    instrument: Instrument
    period_ns: int
    feature_size: int
    bridge: BridgeConfig
    paper: PaperConfig
    start_cash: float
    strategy: str | None = None


class RecentRollouts:
    """Makes collectors on the window as it is. Random numbers come from `seed` alone."""

    def __init__(
        self,
        shape: NetworkShape,
        config: RecentConfig,
        online: OnlineConfig,
        seed: int,
        make: MakeNetwork | None = None,
        own_reward: OwnReward | None = None,
    ) -> None:
        self.config = config
        self.window = RecentWindow(config.instrument, config.period_ns, online.window_decisions)
        self._subscribers: list[deque[Recording]] = []
        self._shape = shape
        self._online = online
        self.make = make
        self.own_reward = own_reward
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def advance(self) -> None:
        """Roll out over the decisions since the last call too; subscribers get them, led by the one before them."""
        piece = self.window.cut()
        if piece is not None:
            for pieces in self._subscribers:
                pieces.append(piece)

    def subscribe(self) -> deque[Recording]:
        """A queue of the pieces that are cut from now on; whoever asked for it empties it."""
        self._subscribers.append(deque())
        return self._subscribers[-1]

    def collector(
        self, weights: Weights, account: AccountState
    ) -> RolloutCollector[SimulatedEnvironments] | None:
        """A collector of rollouts over the window; None while that is too short for one.

        Its accounts are worth what `account` is, since what a lot is of that matters to small ones; a ruined one is
        given start cash. Their drawdowns are drawn from 0 to beyond the present one: without, a policy knows how to
        trade in none, and once in one stops trading, or what it has learnt is never seen.
        """
        config, recording = self.config, self.window.recording()
        lanes, horizon = self._online.rollout_lanes, self._online.rollout_horizon_decisions
        if recording is None or recording.decisions <= horizon:
            return None
        fallen = min(_BEYOND * account.drawdown + _LEAST_DRAWDOWN, _MOST_DRAWDOWN)
        episodes = Episodes(horizon, True, random_account=True, most_drawdown=fallen)
        cash = account.equity if account.equity > 0.0 else config.start_cash
        simulation = Simulation(
            recording=recording,
            bridge=config.bridge,
            paper=config.paper,
            start_cash=cash,
            episodes=episodes,
            num_lanes=lanes,
        )
        return simulated_rollouts(
            self._shape,
            weights,
            SimulatedEnvironments(simulation, self._online.reward_scale, self.own_reward),
            steps=horizon,
            seed=int(self._generator.integers(_SEEDS)),
            make=self.make,
        )

    def state(self) -> dict[str, Any]:
        """Everything that the next rollouts depend on, save weights and window."""
        return {"generator": self._generator.bit_generator.state}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state()`, bit for bit."""
        self._generator.bit_generator.state = state["generator"]
