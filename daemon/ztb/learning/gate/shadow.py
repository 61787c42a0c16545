"""Accounts on which a policy trades the market as it came, piece after piece, with costs and nobody's money.

All policies draw the same random numbers for the same decision and account, and their venues the same latencies and
queues (common random numbers: Glasserman and Yao 1992, "Some guidelines and guarantees for common random numbers"),
so that what differs is due to what they do. The venue is the paper exchange; the risk gate is no part of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztb.execution.paper_config import PaperConfig
from ztb.learning.rollouts import BatchPolicy
from ztb.trading.bridge import FACT_EQUITY, BridgeConfig
from ztb.trading.episodes import Episodes
from ztb.trading.network import MakeNetwork
from ztb.trading.policy import NetworkShape, Weights
from ztb.trading.recording import Recording
from ztb.trading.simulation import Simulation
from ztb.trading.strategy import OwnReward


@dataclass(frozen=True, slots=True)
class Terms:
    """How everybody at the gate trades: as the live account does. `sample`: actions are sampled, not greedy."""

    shape: NetworkShape
    bridge: BridgeConfig
    paper: PaperConfig
    start_cash: float
    sample: bool = True
    make: MakeNetwork | None = None
    own_reward: OwnReward | None = None


@dataclass(frozen=True, slots=True)
class Traded:
    """What a policy did with T steps on P accounts; `equity` has the T + 1 moments before, between and after them.

    `turnover` is notional traded over equity before; `tainted` (T,) marks steps that span a gap.
    """

    rewards: NDArray[np.float64]
    equity: NDArray[np.float64]
    turnover: NDArray[np.float64]
    observations: NDArray[np.float32]
    """(T, D) of the first account."""
    tainted: NDArray[np.bool_]


class Shadow:
    """One policy's accounts. `keys` (P,): of the random numbers of each account's venue."""

    def __init__(self, terms: Terms, weights: Weights, keys: NDArray[np.int64]) -> None:
        self._terms = terms
        self._keys = keys
        self._policy = BatchPolicy(terms.shape, weights, len(keys), terms.make, greedy=not terms.sample)
        self._simulation: Simulation | None = None

    def fork(self, weights: Weights) -> Shadow:
        """A policy of `weights` that goes on from what these accounts hold."""
        forked = Shadow(self._terms, weights, self._keys)
        if self._simulation is not None:
            forked._simulation = self._simulation_on(self._simulation.recording)
            forked._simulation.load_state(self._simulation.state())
        return forked

    def interrupt(self) -> None:
        """What comes next does not follow on what came last: all accounts begin anew, without a position."""
        self._simulation = None

    def outputs(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, A) logits of the policy for `observations` (N, D), copied."""
        n = len(self._keys)
        parts = [self._policy.outputs(observations[i : i + n]).copy() for i in range(0, len(observations), n)]
        return np.concatenate(parts)[:, :-1]

    def trade(self, piece: Recording, uniforms: NDArray[np.float64]) -> Traded:
        """Trade the T steps between the decisions of `piece`, which follows the last; `uniforms` (T, P, H)."""
        simulation = self._continue(piece)
        steps, paths, _ = uniforms.shape
        traded = Traded(
            np.empty((steps, paths)), np.empty((steps + 1, paths)), np.empty((steps, paths)),
            np.empty((steps, simulation.observation_size), np.float32), np.empty(steps, np.bool_),
        )  # fmt: skip
        traded.equity[0] = simulation.lanes.facts[:, FACT_EQUITY]
        actions = np.zeros((paths, len(self._terms.shape.heads)), np.int64)
        logprobs = np.zeros(paths, np.float32)
        for t in range(steps):
            traded.observations[t] = simulation.outcome.observations[0]
            self._policy.decide(simulation.outcome.observations, uniforms[t], actions, logprobs)
            self._step(simulation, actions, traded, t)
        return traded

    def _step(self, simulation: Simulation, actions: NDArray[np.int64], traded: Traded, t: int) -> None:
        notional = simulation.lanes.account["traded_notional"].copy()
        outcome = simulation.step(actions)
        before, after = traded.equity[t], simulation.lanes.facts[:, FACT_EQUITY]
        own = self._terms.own_reward
        traded.rewards[t] = outcome.rewards if own is None else own(before, after)
        traded.equity[t + 1] = after
        notional = simulation.lanes.account["traded_notional"] - notional
        traded.turnover[t] = np.divide(notional, before, out=np.zeros_like(before), where=before > 0.0)
        traded.tainted[t] = outcome.tainted[0]

    def _continue(self, piece: Recording) -> Simulation:
        """The accounts as they are, at the first decision of `piece`."""
        before, simulation = self._simulation, self._simulation_on(piece)
        if before is None:
            simulation.reset(self._keys)
        else:
            simulation.load_state(before.state())
            simulation.lanes.lane["decision"] = 0
            simulation.lanes.lane["last"] = piece.decisions - 1
        self._simulation = simulation
        return simulation

    def _simulation_on(self, piece: Recording) -> Simulation:
        terms = self._terms
        return Simulation(piece, terms.bridge, terms.paper, terms.start_cash, Episodes(), len(self._keys))
