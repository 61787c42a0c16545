"""A simulation of recorded history as environments for rollouts: what pretraining and online learning train on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.errors import NonFiniteError
from ztb.learning.luck import Luck
from ztb.trading.bridge import FACT_EQUITY
from ztb.trading.policy.evaluator import Actor
from ztb.trading.policy.network import MakeNetwork, new_evaluator
from ztb.trading.policy.weights import NetworkShape, Weights
from ztb.trading.ppo.collector import RolloutCollector, Step
from ztb.trading.ppo.rollout import empty_rollout
from ztb.trading.simulation import Simulation
from ztb.trading.strategy import OwnReward, not_finite

_KEYS = 2**62


def episode_keys(generator: np.random.Generator, lanes: int) -> NDArray[np.int64]:
    """Keys of the random numbers of `lanes` lanes, (lanes,)."""
    return generator.integers(0, _KEYS, lanes)


def new_actor(shape: NetworkShape, weights: Weights, lanes: int, make: MakeNetwork | None = None) -> Actor:
    """Acts for `lanes` lanes at a time with a copy of `weights`; see `Actor`."""
    return Actor(shape, new_evaluator(shape, weights, make, lanes))


class SimulatedEnvironments:
    """The lanes of `simulation` (`trading.ppo.collector.Environments`).

    Rewards are the bridge's, or the strategy's own, times `reward_scale`; where `innovations` (K,) of the recording's
    log returns are given, what they brought is taken out (see `Luck`).
    """

    def __init__(
        self,
        simulation: Simulation,
        reward_scale: float = 1.0,
        own_reward: OwnReward | None = None,
        innovations: NDArray[np.float64] | None = None,
    ) -> None:
        self.simulation = simulation
        self._own_reward = own_reward
        self._luck = Luck(simulation, innovations)
        self._reward_scale = np.float32(reward_scale)

    @property
    def num_envs(self) -> int:
        """See Environments."""
        return self.simulation.num_lanes

    def observe(self) -> NDArray[np.float32]:
        """See Environments."""
        return self.simulation.outcome.observations

    def step(self, actions: NDArray[Any]) -> Step:
        """See Environments. NonFiniteError: the strategy's own reward is not finite; it names lane and decision."""
        simulation = self.simulation
        before = simulation.lanes.facts[:, FACT_EQUITY].copy()
        luck, outcome = self._luck.step(actions), simulation.outcome
        if self._own_reward is not None:
            outcome.rewards[:] = self._own_reward(before, simulation.lanes.facts[:, FACT_EQUITY])
            if not np.isfinite(outcome.rewards).all():
                raise self._no_reward(self._own_reward, before)
        final, ended = outcome.observations, outcome.terminated | outcome.truncated
        if ended.any():
            final = final.copy()
            simulation.restart(ended)
        return Step(
            final=final,
            rewards=(outcome.rewards - luck) * self._reward_scale,
            terminated=outcome.terminated,
            truncated=outcome.truncated,
            mask=~outcome.tainted,
        )

    def _no_reward(self, reward: OwnReward, before: NDArray[np.float64]) -> NonFiniteError:
        """The lane whose own reward is not finite, and the decision of the recording."""
        lanes, rewards = self.simulation.lanes, self.simulation.outcome.rewards
        lane = int(np.flatnonzero(~np.isfinite(rewards))[0])
        decision, after = int(lanes.lane["decision"][lane]) - 1, float(lanes.facts[lane, FACT_EQUITY])
        said = not_finite(
            reward=reward,
            decision=decision,
            before=float(before[lane]),
            after=after,
            value=float(rewards[lane]),
        )
        return NonFiniteError("reward", f"{said}, in environment {lane}", lane)


def simulated_rollouts(
    shape: NetworkShape,
    weights: Weights,
    environments: SimulatedEnvironments,
    steps: int,
    seed: int,
    make: MakeNetwork | None = None,
) -> RolloutCollector[SimulatedEnvironments]:
    """A collector of `steps` of all lanes, from new episodes; random numbers come from `seed` alone."""
    lanes, generator = environments.num_envs, np.random.Generator(np.random.PCG64(seed))
    environments.simulation.reset(episode_keys(generator, lanes))
    return RolloutCollector(
        environments, new_actor(shape, weights, lanes, make), empty_rollout(shape, steps, lanes), generator
    )
