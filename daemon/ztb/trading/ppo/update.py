"""The PPO update: a rollout in, better weights out (Schulman et al. 2017, algorithm 1).

For each of K epochs, for each minibatch: the network's outputs, the clipped surrogate objective with its gradient by
those outputs (`losses`), back-propagation (`mlp`), and a step of Adam (`adam`). Single-threaded: the same bits in
every process.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
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
    RETURN,
    VALUE,
    VALUE_LOSS,
    loss_of,
)
from ztb.trading.ppo.mlp import BufferCache, MlpNetwork
from ztb.trading.ppo.rollout import Rollout, UpdateStats, minibatches


@dataclass(frozen=True, slots=True)
class _Batch:
    """A rollout, flat: S transitions. The observations are on the network's device, the rest is not."""

    observations: Tensor
    """(S, D)"""
    actions: NDArray[np.int64] | NDArray[np.float32]
    """(S, H) or (S, A)"""
    known: NDArray[np.float32]
    """(S, 4): log-probs, advantages, returns, values, in the order of `losses`."""
    indices: NDArray[np.int64]
    """The transitions that may be trained on."""


@dataclass(slots=True)
class _Sums:
    """Sums over the minibatches of one update, and the last one's figures."""

    figures: NDArray[np.float64] = field(default_factory=lambda: np.zeros(5))
    last: NDArray[np.float64] = field(default_factory=lambda: np.zeros(5))
    grad_norm: float = 0.0
    minibatches: int = 0
    epochs: int = 0
    stopped: bool = False


_PROBED = 256
"""Observations on which it is seen what an update has changed: few beside those that it is learnt from."""


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
        self._optimizer = Adam(self.network.parameters, config.adam_epsilon)
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._buffers = BufferCache(self._buffer)

    def update(self, rollout: Rollout, remaining: float = 1.0) -> UpdateStats:
        """Learn from `rollout`; `remaining` is the share of training to come, which anneals the step size.

        InvariantError: nothing in the rollout may be trained on. NonFiniteError: a number in it, or one that came of
        it, is not finite; then nothing has been learnt, and `state()` is what it was.
        """
        if not rollout.mask.any():
            raise InvariantError("rollout: every transition is masked; collect some that may be trained on")
        check_rollout(rollout)
        self.check()
        before = self.state()
        try:
            with single_threaded(), torch.no_grad():
                return self._update(rollout, remaining)
        except NonFiniteError:
            self.load_state(before)
            raise

    def _update(self, rollout: Rollout, remaining: float) -> UpdateStats:
        config = self.config
        advantages = advantages_of(rollout, config.gamma, config.gae_lambda)
        batch = self._flatten(rollout, advantages, returns=advantages + rollout.values)
        learning_rate = config.learning_rate * (remaining if config.anneal_learning_rate else 1.0)
        probe = batch.indices[:: -(-batch.indices.size // _PROBED)]
        before, sums = self._greedy(batch, probe), _Sums()
        while sums.epochs < config.epochs and not sums.stopped:
            sums.epochs += 1
            for minibatch in minibatches(batch.indices, config.minibatch_size, self._generator):
                if not self._step(batch, minibatch, learning_rate, sums):
                    break
        if not (np.isfinite(sums.figures).all() and np.isfinite(sums.last).all()):
            raise NonFiniteError("loss", "the loss of a minibatch is not finite")
        self.check()
        changed = self._greedy(batch, probe) != before
        churn = float(changed.any(axis=0).mean()) if len(changed) else math.nan
        return _stats(sums, batch, learning_rate, churn=churn, dormant=self.network.dormant())

    def _greedy(self, batch: _Batch, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """The most probable action of each head (H, S) at the transitions `indices`."""
        outputs = self.network.evaluate(self._rows(batch.observations, indices)).cpu().numpy()
        ends = np.cumsum(self.shape.heads, dtype=np.int64)
        heads = np.split(outputs, ends)[: len(ends)]
        return np.array([logits.argmax(axis=0) for logits in heads], np.int64).reshape(
            len(ends), len(indices)
        )

    def _step(self, batch: _Batch, minibatch: NDArray[np.int64], learning_rate: float, sums: _Sums) -> bool:
        """One gradient step; False, and none taken, where the divergence has grown too large."""
        network, target_kl = self.network, self.config.target_kl
        outputs, log_std = network.forward(self._rows(batch.observations, minibatch)), network.log_std()
        gradient, sums.last, by_log_std = self._loss(
            outputs.cpu().numpy(),
            indices=minibatch,
            actions=batch.actions,
            known=batch.known,
            log_std=log_std.cpu().numpy(),
        )
        if target_kl is not None and sums.last[APPROX_KL] > 1.5 * target_kl:
            sums.stopped = True
            return False
        network.backward(torch.from_numpy(gradient).to(self._device), torch.from_numpy(by_log_std))
        sums.grad_norm += self._optimizer.step(network.gradients, learning_rate, self.config.max_grad_norm)
        sums.figures += sums.last
        sums.minibatches += 1
        return True

    def _flatten(
        self, rollout: Rollout, advantages: NDArray[np.float32], returns: NDArray[np.float32]
    ) -> _Batch:
        """NonFiniteError: a return to be trained on is not finite."""
        indices = np.flatnonzero(rollout.mask)
        if not np.isfinite(returns.ravel()[indices]).all():
            raise NonFiniteError("value", "the value's target of a transition is not finite")
        parts = (rollout.logprobs, advantages, returns, rollout.values)
        observations = rollout.observations.reshape(-1, rollout.observations.shape[2])
        return _Batch(
            observations=torch.from_numpy(observations).to(self._device),
            actions=rollout.actions.reshape(-1, rollout.actions.shape[2]),
            known=np.stack([part.ravel() for part in parts], axis=1),
            indices=indices,
        )

    def _rows(self, observations: Tensor, indices: NDArray[np.int64]) -> Tensor:
        """The rows `indices` of `observations` (S, D), in a buffer of this minibatch's size."""
        rows = torch.from_numpy(indices).to(self._device)
        return torch.index_select(observations, 0, rows, out=self._buffers.of(len(indices)))

    def _buffer(self, count: int) -> Tensor:
        return torch.empty((count, self.shape.observation_size), device=self._device)

    def reconfigure(self, config: PPOOptions) -> None:
        """Learn by `config` from the next update on; what it says of the network and of rollouts changes nothing."""
        if config != self.config:
            self.config = config
            self._loss = loss_of(self.shape, config)

    def check(self) -> None:
        """NonFiniteError: a weight or a moment of the optimiser is not finite."""
        if not bool(torch.isfinite(self.network.parameters).all()):
            raise NonFiniteError("weights", "a weight of the network is not finite")
        if not self._optimizer.sound:
            raise NonFiniteError("moments", "a moment of the optimiser is not finite")

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
            "adam": self._optimizer.state(),
            "generator": self._generator.bit_generator.state,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state`, bit for bit. ConfigError: it is of another network. NonFiniteError: it is not finite."""
        check_state(state["adam"], "the optimiser's state")
        self.load_weights(state["weights"])
        self._optimizer.load_state(state["adam"])
        self._generator.bit_generator.state = state["generator"]

    def load_weights(self, weights: Weights) -> None:
        """Take over `weights`, and keep the optimiser's moments. Errors as of `load_state`."""
        check_state(weights, "weights")
        self.network.load(weights)

    def begin_anew(self, weights: Weights) -> None:
        """Take over `weights` and forget the optimiser's moments; random numbers go on. Errors as of `load_state`."""
        self.load_weights(weights)
        self._optimizer.begin()


def explained_variance(values: NDArray[np.float32], returns: NDArray[np.float32]) -> float:
    """1 - Var(returns - values) / Var(returns), in float64; nan where the returns do not vary."""
    variance = float(np.var(returns, dtype=np.float64))
    return 1 - float(np.var(returns - values, dtype=np.float64)) / variance if variance > 0 else float("nan")


def _stats(sums: _Sums, batch: _Batch, learning_rate: float, churn: float, dormant: float) -> UpdateStats:
    count = max(1, sums.minibatches)
    means = (sums.figures / count if sums.minibatches else sums.last).tolist()
    returns, values = batch.known[batch.indices, RETURN], batch.known[batch.indices, VALUE]
    return UpdateStats(
        policy_loss=means[POLICY_LOSS],
        value_loss=means[VALUE_LOSS],
        entropy=means[ENTROPY],
        approx_kl=float(sums.last[APPROX_KL]) if sums.stopped else means[APPROX_KL],
        clip_fraction=means[CLIP_FRACTION],
        explained_variance=explained_variance(values, returns),
        grad_norm=sums.grad_norm / count,
        learning_rate=learning_rate,
        epochs=sums.epochs,
        minibatches=sums.minibatches,
        stopped_by_kl=sums.stopped,
        churn=churn,
        dormant=dormant,
    )
