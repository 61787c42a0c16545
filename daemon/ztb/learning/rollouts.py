"""Rollouts of a policy over recorded history: what pretraining and online learning train on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.errors import NonFiniteError
from ztb.learning.luck import Luck
from ztb.trading.bridge import FACT_EQUITY
from ztb.trading.policy.network import MakeNetwork, new_outputs
from ztb.trading.policy.serving import sample_batch
from ztb.trading.policy.weights import NetworkShape, Weights
from ztb.trading.ppo.rollout import Rollout, empty_rollout
from ztb.trading.simulation import Simulation
from ztb.trading.strategy import OwnReward, not_finite

_KEYS = 2**62


def episode_keys(generator: np.random.Generator, lanes: int) -> NDArray[np.int64]:
    """Keys of the random numbers of `lanes` lanes, (lanes,)."""
    return generator.integers(0, _KEYS, lanes)


class BatchPolicy:
    """A network that decides for many observations at once, from buffers of its own."""

    def __init__(
        self, shape: NetworkShape, weights: Weights, lanes: int, make: MakeNetwork | None = None,
        greedy: bool = False,
    ) -> None:  # fmt: skip
        self._heads = np.array(shape.heads, np.int64)
        self._greedy = int(greedy)
        self.outputs = new_outputs(shape, weights, make, lanes)

    def load(self, weights: Weights) -> None:
        """Decide with `weights` from now on; they are copied."""
        self.outputs.load(weights)

    def decide(
        self,
        observations: NDArray[np.float32],
        uniforms: NDArray[np.float64],
        actions: NDArray[np.int64],
        logprobs: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Actions (N, H) for `observations` (N, D), drawn with `uniforms` (N, H) or greedy, and their log-probs (N,).

        Returns the values (N,), good until the next call.
        """
        outputs = self.outputs(observations)
        sample_batch(outputs, self._heads, uniforms, self._greedy, actions, logprobs)
        return outputs[:, -1]

    def values(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N,) values of `observations` (N, D), at most as many as lanes; good until the next call."""
        return self.outputs(observations)[:, -1]


class WindowCollector:
    """Fills one rollout of T `steps` of all lanes of `simulation`, again and again; episodes go on in between.

    Rewards are the bridge's, or the strategy's own, times `reward_scale`; where `innovations` (K,) of the recording's
    log returns are given, what they brought is taken out (see `Luck`). Random numbers come from `seed` alone.
    """

    def __init__(
        self, shape: NetworkShape, weights: Weights, simulation: Simulation, steps: int, seed: int,
        reward_scale: float = 1.0, make: MakeNetwork | None = None, own_reward: OwnReward | None = None,
        innovations: NDArray[np.float64] | None = None,
    ) -> None:  # fmt: skip
        self.simulation = simulation
        self.rollout = empty_rollout(shape, steps, simulation.num_lanes)
        self._policy = BatchPolicy(shape, weights, simulation.num_lanes, make)
        self._own_reward = own_reward
        self._luck = Luck(simulation, innovations)
        self._reward_scale = np.float32(reward_scale)
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._uniforms = np.empty((simulation.num_lanes, len(shape.heads)))
        simulation.reset(episode_keys(self._generator, simulation.num_lanes))

    def collect(self, weights: Weights) -> Rollout:
        """T steps with the policy of `weights`; the rollout is overwritten by the next call.

        NonFiniteError: the strategy's own reward is not finite; it names the lane and the step.
        """
        self._policy.load(weights)
        steps = len(self.rollout.rewards)
        for t in range(steps):
            self._step(t, t == steps - 1)
        return self.rollout

    def _step(self, t: int, last: bool) -> None:
        rollout, simulation = self.rollout, self.simulation
        observations, actions = rollout.observations[t], rollout.actions[t]
        observations[:] = simulation.outcome.observations
        self._generator.random(out=self._uniforms)
        rollout.values[t] = self._policy.decide(observations, self._uniforms, actions, rollout.logprobs[t])
        before = simulation.lanes.facts[:, FACT_EQUITY].copy()
        luck, outcome = self._luck.step(actions), simulation.outcome
        if self._own_reward is not None:
            outcome.rewards[:] = self._own_reward(before, simulation.lanes.facts[:, FACT_EQUITY])
            if not np.isfinite(outcome.rewards).all():
                raise self._no_reward(self._own_reward, t, before)
        rewards = outcome.rewards - luck
        np.multiply(rewards, self._reward_scale, out=rollout.rewards[t], casting="same_kind")
        rollout.terminated[t] = outcome.terminated
        rollout.truncated[t] = outcome.truncated
        np.logical_not(outcome.tainted, out=rollout.mask[t])
        following = np.flatnonzero(~outcome.terminated if last else outcome.truncated)
        if following.size:
            rollout.next_values[t, following] = self._policy.values(outcome.observations[following])
        ended = outcome.terminated | outcome.truncated
        if ended.any():
            simulation.restart(ended)

    def _no_reward(self, reward: OwnReward, t: int, before: NDArray[np.float64]) -> NonFiniteError:
        """Which lane's own reward is not finite at step `t`, and of which decision of the recording."""
        lanes, rewards = self.simulation.lanes, self.simulation.outcome.rewards
        lane = int(np.flatnonzero(~np.isfinite(rewards))[0])
        decision, after = int(lanes.lane["decision"][lane]) - 1, float(lanes.facts[lane, FACT_EQUITY])
        said = not_finite(reward, decision, float(before[lane]), after, float(rewards[lane]))
        return NonFiniteError("reward", f"{said}, in environment {lane} at step {t}", lane, t)

    def state(self) -> dict[str, Any]:
        """Everything that the next rollout depends on, save the weights, copied."""
        return {"generator": self._generator.bit_generator.state, "simulation": self.simulation.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state()`, bit for bit."""
        self._generator.bit_generator.state = state["generator"]
        self.simulation.load_state(state["simulation"])
