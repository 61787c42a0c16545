"""Accounts on which a policy trades the market as it came, piece after piece, with costs and nobody's money.

All policies draw the same random numbers for the same decision and account, and their venues the same latencies and
queues (common random numbers: Glasserman and Yao 1992, "Some guidelines and guarantees for common random numbers"),
so that what differs is due to what they do. The venue is the paper exchange; the risk gate is no part of it.

Also here: a policy's accounts living through a piece of market. Kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ztb.errors import InvariantError
from ztb.execution.paper_config import PaperConfig
from ztb.learning.rollouts import new_actor
from ztb.trading.bridge import FACT_EQUITY
from ztb.trading.episodes import Episodes
from ztb.trading.lane_state import Lanes
from ztb.trading.policy.categorical import sample_batch
from ztb.trading.policy.evaluator import MlpEvaluator
from ztb.trading.policy.layers import forward
from ztb.trading.policy.network import MakeNetwork
from ztb.trading.policy.weights import NetworkShape, Weights
from ztb.trading.recording import Recording, Shared
from ztb.trading.settings import BridgeConfig
from ztb.trading.simulation import Simulation, StepOutcome, step_all
from ztb.trading.strategy import OwnReward
from ztb.utils.kernel import kernel


class Trajectory(NamedTuple):
    """The course of P accounts over T steps."""

    rewards: NDArray[np.float64]
    """(T, P)"""
    equity: NDArray[np.float64]
    """(T + 1, P) before, between and after the steps, quote currency"""
    notional: NDArray[np.float64]
    """(T + 1, P) traded so far, quote currency"""
    observations: NDArray[np.float32]
    """(T, D) of the first account"""
    tainted: NDArray[np.bool_]
    """(T,) whether the step spans a gap"""


class PolicyArrays(NamedTuple):
    """A network of the shipped kind (`trading.policy.serving.Program`), and room for what it says of P observations."""

    parameters: NDArray[np.float32]
    layers: NDArray[np.int64]
    heads: NDArray[np.int64]
    scratch: NDArray[np.float32]
    outputs: NDArray[np.float32]
    """(P, A + 1)"""
    logprobs: NDArray[np.float32]
    """(P,)"""


@kernel
def begin_trajectory(lanes: Lanes, lived: Trajectory) -> None:
    """Note the accounts as they are before the first step."""
    for i in range(lived.equity.shape[1]):
        lived.equity[0, i] = lanes.facts[i, FACT_EQUITY]
        lived.notional[0, i] = lanes.account[i]["traded_notional"]


@kernel
def rollout_step(
    shared: Shared, lanes: Lanes, outcome: StepOutcome, actions: NDArray[np.int64], t: int, lived: Trajectory
) -> int:
    """Step `t` with `actions` (P, 2); returns how many reports were lost for want of room, which is an error."""
    for d in range(lived.observations.shape[1]):
        lived.observations[t, d] = outcome.observations[0, d]
    lost: int = step_all(shared, lanes, outcome, actions)
    for i in range(len(actions)):
        lived.rewards[t, i] = outcome.rewards[i]
        lived.equity[t + 1, i] = lanes.facts[i, FACT_EQUITY]
        lived.notional[t + 1, i] = lanes.account[i]["traded_notional"]
    lived.tainted[t] = outcome.tainted[0]
    return lost


@kernel
def rollout_segment(
    shared: Shared,
    lanes: Lanes,
    outcome: StepOutcome,
    brain: PolicyArrays,
    uniforms: NDArray[np.float64],
    deterministic: int,
    actions: NDArray[np.int64],
    lived: Trajectory,
) -> int:
    """All steps, with actions drawn with `uniforms` (T, P, H), or the most probable; returns as `rollout_step`."""
    lost = 0
    for t in range(len(uniforms)):
        forward(
            parameters=brain.parameters,
            layers=brain.layers,
            scratch=brain.scratch,
            observations=outcome.observations,
            outputs=brain.outputs,
        )
        sample_batch(
            outputs=brain.outputs,
            heads=brain.heads,
            uniforms=uniforms[t],
            deterministic=deterministic,
            actions=actions,
            logprobs=brain.logprobs,
        )
        lost += rollout_step(shared, lanes, outcome, actions, t, lived)
    return lost


@dataclass(frozen=True, slots=True)
class ShadowTerms:
    """Terms on which everybody at the gate trades: the live account's. `sample`: actions are sampled, not greedy."""

    shape: NetworkShape
    bridge: BridgeConfig
    paper: PaperConfig
    start_cash: float
    sample: bool = True
    make: MakeNetwork | None = None
    own_reward: OwnReward | None = None


@dataclass(frozen=True, slots=True)
class ShadowTrading:
    """A policy's trading of T steps on P accounts."""

    rewards: NDArray[np.float64]
    """(T, P)"""
    equity: NDArray[np.float64]
    """(T + 1, P) before, between and after the steps"""
    turnover: NDArray[np.float64]
    """(T, P) notional traded over equity before"""
    observations: NDArray[np.float32]
    """(T, D) of the first account"""
    tainted: NDArray[np.bool_]
    """(T,) whether the step spans a gap"""


class Shadow:
    """One policy's accounts. `keys` (P,): of the random numbers of each account's venue."""

    def __init__(self, terms: ShadowTerms, weights: Weights, keys: NDArray[np.int64]) -> None:
        self._terms = terms
        self._keys = keys
        self._actor = new_actor(terms.shape, weights, len(keys), terms.make)
        self._actions = np.zeros((len(keys), len(terms.shape.heads)), np.int64)
        self._logprobs = np.zeros(len(keys), np.float32)
        self._simulation: Simulation | None = None

    def fork(self, weights: Weights) -> Shadow:
        """A policy of `weights` that goes on from what these accounts hold."""
        forked = Shadow(self._terms, weights, self._keys)
        if self._simulation is not None:
            forked._simulation = self._simulation_on(self._simulation.recording)
            forked._simulation.load_state(self._simulation.state())
        return forked

    def interrupt(self) -> None:
        """Begin all accounts anew, without a position: the next step does not follow on the last."""
        self._simulation = None

    def logits(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, A) of the policy for `observations` (N, D), copied."""
        n = len(self._keys)
        parts = [
            self._actor.evaluator(observations[i : i + n]).copy() for i in range(0, len(observations), n)
        ]
        return np.concatenate(parts)[:, :-1]

    def trade(self, piece: Recording, uniforms: NDArray[np.float64]) -> ShadowTrading:
        """Trade the T steps between the decisions of `piece`, which follows the last; `uniforms` (T, P, H)."""
        simulation = self._continue(piece)
        lived = _empty(len(uniforms), len(self._keys), simulation.observation_size)
        begin_trajectory(simulation.lanes, lived)
        if self._live(simulation, uniforms, lived):
            raise InvariantError("reports of orders were lost: more fills a row than there is room for")
        before, own = lived.equity[:-1], self._terms.own_reward
        turnover = np.divide(
            np.diff(lived.notional, axis=0), before, out=np.zeros_like(before), where=before > 0.0
        )
        rewards = lived.rewards if own is None else own(before, lived.equity[1:])
        return ShadowTrading(
            rewards=rewards,
            equity=lived.equity,
            turnover=turnover,
            observations=lived.observations,
            tainted=lived.tainted,
        )

    def _live(self, simulation: Simulation, uniforms: NDArray[np.float64], lived: Trajectory) -> int:
        """All steps in one kernel where the network is of the shipped kind, else one by one; the same either way."""
        shared, lanes, outcome = simulation.recording.shared, simulation.lanes, simulation.outcome
        evaluator, greedy = self._actor.evaluator, not self._terms.sample
        if isinstance(evaluator, MlpEvaluator):
            program = evaluator.program
            brain = PolicyArrays(
                parameters=evaluator.parameters,
                layers=program.layers,
                heads=program.heads,
                scratch=program.scratch,
                outputs=evaluator.outputs,
                logprobs=self._logprobs,
            )
            return rollout_segment(
                shared=shared,
                lanes=lanes,
                outcome=outcome,
                brain=brain,
                uniforms=uniforms,
                deterministic=int(greedy),
                actions=self._actions,
                lived=lived,
            )
        lost = 0
        for t, drawn in enumerate(uniforms):
            self._actor.act(outcome.observations, drawn, self._actions, self._logprobs, greedy=greedy)
            lost += rollout_step(
                shared=shared, lanes=lanes, outcome=outcome, actions=self._actions, t=t, lived=lived
            )
        return lost

    def _continue(self, piece: Recording) -> Simulation:
        """The accounts as they are, at the first decision of `piece`."""
        if self._simulation is None:
            self._simulation = self._simulation_on(piece)
            self._simulation.reset(self._keys)
        else:
            self._simulation.go_on(piece)
        return self._simulation

    def _simulation_on(self, piece: Recording) -> Simulation:
        terms = self._terms
        return Simulation(
            recording=piece,
            bridge=terms.bridge,
            paper=terms.paper,
            start_cash=terms.start_cash,
            episodes=Episodes(),
            num_lanes=len(self._keys),
        )


def _empty(steps: int, paths: int, observation_size: int) -> Trajectory:
    return Trajectory(
        rewards=np.empty((steps, paths)),
        equity=np.empty((steps + 1, paths)),
        notional=np.empty((steps + 1, paths)),
        observations=np.empty((steps, observation_size), np.float32),
        tainted=np.empty(steps, np.bool_),
    )
