"""The PPO update: a rollout in, better weights out. Single-threaded, the same bits in every process."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ztb.errors import InvariantError
from ztb.trading.policy import NetworkShape, Weights
from ztb.trading.ppo.actor_critic import ModuleNetwork, Network, TowerNetwork
from ztb.trading.ppo.adam import Adam, clip_norm
from ztb.trading.ppo.config import PPOConfig
from ztb.trading.ppo.gae import advantages_of
from ztb.trading.ppo.losses import (
    APPROX_KL,
    CLIP_FRACTION,
    ENTROPY,
    POLICY_LOSS,
    VALUE_LOSS,
    Categorical,
    Distribution,
    Gaussian,
    Minibatch,
    ppo_loss,
)
from ztb.trading.ppo.rollout import Rollout
from ztb.trading.ppo.stats import UpdateStats


@contextmanager
def single_threaded() -> Generator[None]:
    """One torch thread inside: sums in one order, and no stolen cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(slots=True)
class _Samples:
    """A rollout on the device, flat: S transitions."""

    observations: Tensor
    """(S, D)"""
    actions: Tensor
    """(H, S)"""
    columns: Tensor
    """(4, S): log-probs, advantages, returns, values."""

    def minibatch(self, indices: Tensor) -> Minibatch:
        logprobs, advantages, returns, values = self.columns.index_select(1, indices)
        return Minibatch(
            self.observations.index_select(0, indices),
            self.actions.index_select(1, indices),
            logprobs,
            advantages,
            returns,
            values,
        )


@dataclass(slots=True)
class _Progress:
    """Sums over the minibatches of one update."""

    figures: Tensor
    grad_norm: Tensor
    minibatches: int = 0
    epochs: int = 0
    stopped: bool = False
    last: Tensor = field(default_factory=lambda: torch.zeros(5))


class PPOUpdater:
    """A network that learns, its optimiser and its random state."""

    def __init__(
        self,
        shape: NetworkShape,
        config: PPOConfig,
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
            ModuleNetwork(module, device) if module else TowerNetwork(shape, weights, device)
        )
        log_std = self.network.log_std()
        self._distribution: Distribution = Gaussian(*log_std) if log_std else Categorical(shape.heads, device)
        self._adam = Adam(self.network.parameters, config.adam_epsilon)
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def update(self, rollout: Rollout, remaining: float = 1.0) -> UpdateStats:
        """Learn from `rollout`; `remaining` is the share of training to come, which anneals the step size.

        InvariantError: nothing in the rollout may be trained on.
        """
        indices = np.flatnonzero(rollout.mask)
        if indices.size == 0:
            raise InvariantError("rollout: every transition is masked; collect some that may be trained on")
        with single_threaded(), torch.no_grad():
            advantages = advantages_of(rollout, self.config.gamma, self.config.gae_lambda)
            returns = advantages + rollout.values
            rate = self.config.learning_rate * (remaining if self.config.anneal_learning_rate else 1.0)
            done = self._optimise(self._samples(rollout, advantages, returns), indices, rate)
        explained = explained_variance(rollout.values.ravel()[indices], returns.ravel()[indices])
        return _stats(done, explained, rate)

    def _samples(
        self, rollout: Rollout, advantages: NDArray[np.float32], returns: NDArray[np.float32]
    ) -> _Samples:
        columns = np.stack([part.ravel() for part in (rollout.logprobs, advantages, returns, rollout.values)])
        actions = np.ascontiguousarray(rollout.actions.reshape(-1, rollout.actions.shape[2]).T)
        observations = rollout.observations.reshape(-1, rollout.observations.shape[2])
        return _Samples(
            *(torch.from_numpy(part).to(self._device) for part in (observations, actions, columns))
        )

    def _optimise(self, samples: _Samples, indices: NDArray[np.int64], rate: float) -> _Progress:
        zeros = torch.zeros(6, device=self._device)
        progress = _Progress(zeros[:5], zeros[5])
        parts = -(-indices.size // self.config.minibatch_size)
        while progress.epochs < self.config.epochs and not progress.stopped:
            progress.epochs += 1
            shuffled = torch.from_numpy(self._generator.permutation(indices)).to(self._device)
            for part in shuffled.tensor_split(parts):
                if not self._step(samples.minibatch(part), rate, progress):
                    break
        return progress

    def _step(self, batch: Minibatch, rate: float, progress: _Progress) -> bool:
        """One gradient step; False, and none taken, where the divergence has grown too large."""
        network, config = self.network, self.config
        outputs = network.forward(batch.observations)
        gradient = torch.empty_like(outputs)
        figures = ppo_loss(config, self._distribution, outputs, batch, gradient)
        progress.last = figures
        if config.target_kl is not None and float(figures[APPROX_KL]) > 1.5 * config.target_kl:
            progress.stopped = True
            return False
        network.backward(gradient)
        progress.grad_norm += clip_norm(network.gradients, config.max_grad_norm)
        self._adam.step(network.gradients, rate)
        progress.figures += figures
        progress.minibatches += 1
        return True

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
        """Go on from `state`, bit for bit. ConfigError: it is of another network."""
        self.load_weights(state["weights"])
        self._adam.load_state(state["adam"])
        self._generator.bit_generator.state = state["generator"]

    def load_weights(self, weights: Weights) -> None:
        """Take over `weights`, and keep the optimiser's moments. ConfigError: of another network."""
        self.network.load(weights)


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
        grad_norm=float(done.grad_norm) / count,
        learning_rate=rate,
        epochs=done.epochs,
        minibatches=done.minibatches,
        stopped_by_kl=done.stopped,
    )
