"""The PPO update: a rollout in, better weights out. Single-threaded, the same bits in every process.

Also here: which transitions go together into a gradient step: a random partition of a rollout's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ztb.errors import InvariantError, NonFiniteError
from ztb.trading.policy.evaluator import Evaluator, MlpEvaluator
from ztb.trading.policy.torch_network import ModuleNetwork, Network, TorchEvaluator, single_threaded
from ztb.trading.policy.weights import NetworkShape, Weights
from ztb.trading.ppo.adam import Adam
from ztb.trading.ppo.config import PPOOptions
from ztb.trading.ppo.finite import check_rollout, check_state
from ztb.trading.ppo.gae import advantages_of
from ztb.trading.ppo.losses import (
    APPROX_KL,
    CLIP_FRACTION,
    ENTROPY,
    POLICY_LOSS,
    VALUE_LOSS,
    loss_of,
)
from ztb.trading.ppo.mlp import BufferCache, MlpNetwork
from ztb.trading.ppo.rollout import Rollout, UpdateStats
from ztb.utils.kernel import kernel


@kernel
def _partition(indices: np.ndarray, parts: int, draws: np.ndarray, grouped: np.ndarray) -> None:
    """`indices` (S,) into `grouped` (S,), part after part, each in order; `draws` (S,) are uniform in [0, 1).

    Labels of parts are shuffled (Durstenfeld 1964, algorithm 235), and the indices counted out by them.
    """
    count = indices.shape[0]
    labels, places = np.arange(count) % parts, np.zeros(parts, np.int64)
    for k in range(count - 1, 0, -1):
        other = int(draws[k] * (k + 1))
        labels[k], labels[other] = labels[other], labels[k]
    for part in range(1, parts):
        places[part] = places[part - 1] + count // parts + (1 if part <= count % parts else 0)
    for k in range(count):
        part = labels[k]
        grouped[places[part]] = indices[k]
        places[part] += 1


def minibatches(
    indices: NDArray[np.int64], size: int, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """A random partition of `indices` into as few equal parts as have at most `size`, give or take one.

    Each part is in order, which memory is read fastest in.
    """
    parts = -(-indices.size // size)
    grouped = np.empty_like(indices)
    _partition(indices, parts, generator.random(indices.size), grouped)
    return np.array_split(grouped, parts)


@dataclass(slots=True)
class _Samples:
    """A rollout, flat: S transitions. The observations are on the network's device, the rest is not."""

    observations: Tensor
    """(S, D)"""
    actions: NDArray[np.int64] | NDArray[np.float32]
    """(S, H)"""
    known: NDArray[np.float32]
    """(S, 4): log-probs, advantages, returns, values."""


@dataclass(slots=True)
class _Progress:
    """Sums over the minibatches of one update; the last one's figures."""

    figures: NDArray[np.float64]
    last: NDArray[np.float64]
    grad_norm: float = 0.0
    minibatches: int = 0
    epochs: int = 0
    stopped: bool = False


class PPOUpdater:
    """A network that learns, its optimiser and its random state."""

    def __init__(
        self,
        shape: NetworkShape,
        config: PPOOptions,
        weights: Weights,
        seed: int,
        device: str = "cpu",
        module: nn.Module | None = None,
    ) -> None:
        """Start from `weights`, or from a user's `module` with its own (see ModuleNetwork), of `shape`."""
        self.shape = shape
        self.config = config
        self._device = torch.device(device)
        self.network: Network = (
            ModuleNetwork(module, device) if module else MlpNetwork(shape, weights, device)
        )
        self._loss = loss_of(shape, config)
        self._buffers = BufferCache(self._buffer)
        self._adam = Adam(self.network.parameters, config.adam_epsilon)
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def reconfigure(self, config: PPOOptions) -> None:
        """Learn by `config` from the next update on; what it says of the network and of rollouts changes nothing."""
        if config != self.config:
            self.config = config
            self._loss = loss_of(self.shape, config)

    def update(self, rollout: Rollout, remaining: float = 1.0) -> UpdateStats:
        """Learn from `rollout`; `remaining` is the share of training to come, which anneals the step size.

        InvariantError: nothing in the rollout may be trained on. NonFiniteError: a number in it, or one that came of
        it, is not finite; then nothing has been learnt, and `state()` is what it was.
        """
        indices = np.flatnonzero(rollout.mask)
        if indices.size == 0:
            raise InvariantError("rollout: every transition is masked; collect some that may be trained on")
        check_rollout(rollout)
        self.check()
        before = self.state()
        try:
            return self._learn(rollout, indices, remaining)
        except NonFiniteError:
            self.load_state(before)
            raise

    def check(self) -> None:
        """NonFiniteError: a weight or a moment of the optimiser is not finite."""
        if not bool(torch.isfinite(self.network.parameters).all()):
            raise NonFiniteError("weights", "a weight of the network is not finite")
        if not self._adam.sound:
            raise NonFiniteError("moments", "a moment of the optimiser is not finite")

    def _learn(self, rollout: Rollout, indices: NDArray[np.int64], remaining: float) -> UpdateStats:
        with single_threaded(), torch.no_grad():
            advantages = advantages_of(rollout, self.config.gamma, self.config.gae_lambda)
            returns = advantages + rollout.values
            known = returns.ravel()[indices]
            if not np.isfinite(known).all():
                raise NonFiniteError("value", "the value's target of a transition is not finite")
            rate = self.config.learning_rate * (remaining if self.config.anneal_learning_rate else 1.0)
            done = self._optimise(self._samples(rollout, advantages, returns), indices, rate)
            if not (np.isfinite(done.figures).all() and np.isfinite(done.last).all()):
                raise NonFiniteError("loss", "the loss of a minibatch is not finite")
            self.check()
        return _stats(done, explained_variance(rollout.values.ravel()[indices], known), rate)

    def _samples(
        self, rollout: Rollout, advantages: NDArray[np.float32], returns: NDArray[np.float32]
    ) -> _Samples:
        parts = (rollout.logprobs, advantages, returns, rollout.values)
        known = np.stack([part.ravel() for part in parts], axis=1)
        actions = rollout.actions.reshape(-1, rollout.actions.shape[2])
        observations = rollout.observations.reshape(-1, rollout.observations.shape[2])
        return _Samples(torch.from_numpy(observations).to(self._device), actions, known)

    def _optimise(self, samples: _Samples, indices: NDArray[np.int64], rate: float) -> _Progress:
        progress = _Progress(np.zeros(5), np.zeros(5))
        while progress.epochs < self.config.epochs and not progress.stopped:
            progress.epochs += 1
            for part in minibatches(indices, self.config.minibatch_size, self._generator):
                if not self._step(samples, part, rate, progress):
                    break
        return progress

    def _step(self, samples: _Samples, indices: NDArray[np.int64], rate: float, progress: _Progress) -> bool:
        """One gradient step; False, and none taken, where the divergence has grown too large."""
        network, limit = self.network, self.config.target_kl
        seen = self._seen(samples.observations, torch.from_numpy(indices).to(self._device))
        outputs, log_std = network.forward(seen), network.log_std()
        gradient, progress.last, by_log_std = self._loss(
            outputs.cpu().numpy(), indices, samples.actions, samples.known, log_std.cpu().numpy()
        )
        if limit is not None and progress.last[APPROX_KL] > 1.5 * limit:
            progress.stopped = True
            return False
        network.backward(torch.from_numpy(gradient).to(self._device), torch.from_numpy(by_log_std))
        progress.grad_norm += self._adam.step(network.gradients, rate, self.config.max_grad_norm)
        progress.figures += progress.last
        progress.minibatches += 1
        return True

    def _seen(self, observations: Tensor, indices: Tensor) -> Tensor:
        """The rows `indices` of `observations` (S, D), in a buffer of this minibatch's size."""
        return torch.index_select(observations, 0, indices, out=self._buffers.of(indices.shape[0]))

    def _buffer(self, count: int) -> Tensor:
        return torch.empty((count, self.shape.observation_size), device=self._device)

    def evaluator(self) -> Evaluator:
        """The network as it is at each call: by the serving kernels where they can reach it, else by torch."""
        if isinstance(self.network, MlpNetwork) and self._device.type == "cpu":
            return MlpEvaluator(self.shape, self.network.parameters.numpy())
        return TorchEvaluator(self.network)

    def weights(self) -> Weights:
        """Copies of the weights by name."""
        return self.network.weights()

    def state(self) -> dict[str, Any]:
        """Everything that the next update depends on, copied: plain data and numpy arrays."""
        return {
            "weights": self.weights(),
            "adam": self._adam.state(),
            "generator": self._generator.bit_generator.state,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state`, bit for bit. ConfigError: it is of another network. NonFiniteError: it is not finite."""
        check_state(state["adam"], "the optimiser's state")
        self.load_weights(state["weights"])
        self._adam.load_state(state["adam"])
        self._generator.bit_generator.state = state["generator"]

    def load_weights(self, weights: Weights) -> None:
        """Take over `weights`, and keep the optimiser's moments. Errors as of `load_state`."""
        check_state(weights, "weights")
        self.network.load(weights)

    def begin_anew(self, weights: Weights) -> None:
        """Take over `weights` and forget the optimiser's moments; random numbers go on. Errors as of `load_state`."""
        self.load_weights(weights)
        self._adam.begin()


def explained_variance(values: NDArray[np.float32], returns: NDArray[np.float32]) -> float:
    """1 - Var(returns - values) / Var(returns), in float64; nan where the returns do not vary."""
    variance = float(np.var(returns, dtype=np.float64))
    return 1 - float(np.var(returns - values, dtype=np.float64)) / variance if variance > 0 else float("nan")


def _stats(done: _Progress, explained: float, rate: float) -> UpdateStats:
    count = max(1, done.minibatches)
    figures = (done.figures / count if done.minibatches else done.last).tolist()
    return UpdateStats(
        policy_loss=figures[POLICY_LOSS],
        value_loss=figures[VALUE_LOSS],
        entropy=figures[ENTROPY],
        approx_kl=float(done.last[APPROX_KL]) if done.stopped else figures[APPROX_KL],
        clip_fraction=figures[CLIP_FRACTION],
        explained_variance=explained,
        grad_norm=done.grad_norm / count,
        learning_rate=rate,
        epochs=done.epochs,
        minibatches=done.minibatches,
        stopped_by_kl=done.stopped,
    )
