"""Rollouts: the network acts, the environments answer."""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ztb.trading.policy.layers import forward
from ztb.trading.policy.network import single_threaded
from ztb.trading.policy.serving import compile_program, sample_batch
from ztb.trading.policy.weights import NetworkShape
from ztb.trading.ppo.actor_critic import Network
from ztb.trading.ppo.mlp import TowerNetwork
from ztb.trading.ppo.normalizer import Normalizer
from ztb.trading.ppo.rollout import Rollout, empty_rollout
from ztb.trading.ppo.spaces import Actions, flat
from ztb.trading.ppo.vector import Step, Stepper

_KEPT_EPISODES = 100


class Evaluator(Protocol):
    """Gives the outputs (N, A + 1) of observations (N, D): policy, then value."""

    def __call__(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Valid until the next call."""
        ...


class KernelEvaluator:
    """The serving kernels on the learner's own parameters, which are read anew at each call."""

    def __init__(self, shape: NetworkShape, parameters: NDArray[np.float32]) -> None:
        self._parameters = parameters
        self._program = compile_program(shape)
        self._columns = shape.policy_outputs + 1

    def __call__(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Evaluator."""
        outputs = np.empty((observations.shape[0], self._columns), np.float32)
        forward(self._parameters, self._program.layers, self._program.scratch, observations, outputs)
        return outputs


class TorchEvaluator:
    """Any network, on its own device."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def __call__(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Evaluator."""
        with single_threaded(), torch.no_grad():
            seen = torch.from_numpy(observations).to(self._network.parameters.device)
            outputs: NDArray[np.float32] = self._network.forward(seen).t().contiguous().cpu().numpy()
        return outputs


def evaluator_of(network: Network) -> Evaluator:
    """The kernels for the shipped kind of network on the CPU, torch for every other."""
    if isinstance(network, TowerNetwork) and network.parameters.device.type == "cpu":
        return KernelEvaluator(network.shape, network.parameters.numpy())
    return TorchEvaluator(network)


class Actor:
    """Draws actions from what the network says."""

    def __init__(self, shape: NetworkShape, network: Network) -> None:
        self._heads = np.array(shape.heads, np.int64)
        self._continuous = shape.continuous
        self._network = network
        self.evaluate = evaluator_of(network)

    def draw(
        self, outputs: NDArray[np.float32], generator: np.random.Generator, deterministic: bool
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """(actions (N, H) or (N, A), log-probs (N,)) for `outputs` (N, A + 1)."""
        if self._continuous:
            return self._gaussian(outputs[:, :-1], generator, deterministic)
        count = outputs.shape[0]
        actions = np.empty((count, self._heads.size), np.int64)
        logprobs = np.empty(count, np.float32)
        uniforms = generator.random((count, self._heads.size))
        sample_batch(outputs, self._heads, uniforms, int(deterministic), actions, logprobs)
        return actions, logprobs

    def _gaussian(
        self, means: NDArray[np.float32], generator: np.random.Generator, deterministic: bool
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        log_std = self._network.log_std().cpu().numpy()
        noise = generator.standard_normal(means.shape) * (not deterministic)
        logprobs = -0.5 * (noise * noise + np.log(2 * np.pi)).sum(1) - log_std.sum()
        actions = means + np.exp(log_std) * noise
        return actions.astype(np.float32), logprobs.astype(np.float32)


class EpisodeStatistics:
    """Returns and lengths of the last finished episodes, in rewards as the environment gives them."""

    def __init__(self, envs: int) -> None:
        self.returns: deque[float] = deque(maxlen=_KEPT_EPISODES)
        self.lengths: deque[int] = deque(maxlen=_KEPT_EPISODES)
        self._running = np.zeros(envs)
        self._steps = np.zeros(envs, np.int64)

    def see(self, step: Step) -> None:
        """Add a step's rewards, and close the episodes that it ended."""
        self._running += step.rewards * step.live
        self._steps += step.live
        for env in np.flatnonzero((step.terminated | step.truncated) & step.live):
            self.returns.append(float(self._running[env]))
            self.lengths.append(int(self._steps[env]))
            self._running[env] = self._steps[env] = 0

    def state(self) -> dict[str, Any]:
        """Plain data and arrays."""
        return {
            "returns": list(self.returns),
            "lengths": list(self.lengths),
            "running": self._running.copy(),
            "steps": self._steps.copy(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.returns = deque(state["returns"], _KEPT_EPISODES)
        self.lengths = deque(state["lengths"], _KEPT_EPISODES)
        self._running, self._steps = np.array(state["running"]), np.array(state["steps"])


class RolloutCollector:
    """Fills one rollout again and again; nothing of its size is allocated a second time."""

    def __init__(
        self,
        stepper: Stepper,
        actor: Actor,
        actions: Actions,
        normalizer: Normalizer,
        rollout_of: tuple[NetworkShape, int],
        generator: np.random.Generator,
    ) -> None:
        """`rollout_of`: for which network, and how many steps."""
        self._stepper, self._actor, self._actions = stepper, actor, actions
        self.normalizer, self._generator = normalizer, generator
        shape, steps = rollout_of
        self._size = shape.observation_size
        self._rollout = empty_rollout(shape, steps, stepper.envs.num_envs)
        self.episodes = EpisodeStatistics(stepper.envs.num_envs)

    def collect(self, most: int) -> Rollout:
        """The next rollout, of `most` transitions at the most; it is overwritten by the one after."""
        steps = min(self._rollout.rewards.shape[0], -(-most // self._stepper.envs.num_envs))
        for t in range(steps):
            self._step(t, last=t == steps - 1)
        return self._rollout.first(steps)

    def _step(self, t: int, last: bool) -> None:
        rollout, stepper = self._rollout, self._stepper
        seen = flat(stepper.observations, self._size)
        self.normalizer.see(seen, ~stepper.resetting)
        rollout.observations[t] = self.normalizer.observations(seen)
        outputs = self._actor.evaluate(rollout.observations[t])
        rollout.values[t] = outputs[:, -1]
        rollout.actions[t], rollout.logprobs[t] = self._actor.draw(outputs, self._generator, False)
        step = stepper.step(self._actions.to_env(rollout.actions[t]))
        self.episodes.see(step)
        self._record(t, step)
        if last or step.truncated.any():
            final = self.normalizer.observations(flat(step.final, self._size))
            rollout.next_values[t] = self._actor.evaluate(final)[:, -1]

    def _record(self, t: int, step: Step) -> None:
        rollout = self._rollout
        done = step.terminated | step.truncated
        rollout.rewards[t] = self.normalizer.rewards(step.rewards, done, step.live)
        rollout.terminated[t] = step.terminated
        rollout.truncated[t] = step.truncated
        rollout.mask[t] = step.live
