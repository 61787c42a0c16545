"""Networks on torch: what learning and evaluation ask of one, and a user's own module as one.

All parameters are in one flat vector, all gradients in another. Outputs are (A + 1, B), a column for each
observation: policy outputs, then the value. The gradient of the loss comes in at the outputs in the same layout;
the shipped kind (`trading.ppo.mlp`) carries it back by formulas written out, a user's own module by autograd.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ztb.errors import ConfigError, StrategyError
from ztb.trading.policy.weights import NetworkShape, Weights


@contextmanager
def single_threaded() -> Generator[None]:
    """One torch thread inside: sums in one order, and no stolen cores. Small networks are slower on two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Network(Protocol):
    """A network that learns; `parameters` and `gradients` are (P,) float32 of one device."""

    parameters: Tensor
    gradients: Tensor

    def evaluate(self, observations: Tensor) -> Tensor:
        """Outputs (A + 1, B) of `observations` (B, D), valid until the next call of this or `forward`."""
        ...

    def forward(self, observations: Tensor) -> Tensor:
        """The same, contiguous, and kept for `backward`."""
        ...

    def backward(self, gradient: Tensor, by_log_std: Tensor) -> None:
        """Fill `gradients` from those of the loss by the last outputs, (A + 1, B), and by `log_std`, (A,)."""
        ...

    def dormant(self) -> float:
        """The share of hidden units that are dormant on the last outputs' observations; nan: they are not known."""
        ...

    def log_std(self) -> Tensor:
        """The Gaussian actions' log standard deviations (A,), a view; empty for discrete heads."""
        ...

    def weights(self) -> Weights:
        """Copies of the parameters by name."""
        ...

    def load(self, weights: Weights) -> None:
        """Copy `weights` in. ConfigError: of another network."""
        ...


class ModuleNetwork:
    """A user's own module: called with observations (B, D), it returns policy outputs (B, A) and values (B,).

    Its parameters must be float32; one named `log_std` (A,) belongs to Gaussian actions. Gradients: autograd.
    """

    def __init__(self, module: nn.Module, device: str = "cpu") -> None:
        self.module = module.to(device)
        named = dict(module.named_parameters())
        if any(parameter.dtype != torch.float32 for parameter in named.values()) or list(module.buffers()):
            raise ConfigError("network: a module of float32 parameters and no buffers is needed")
        self.parameters = torch.cat([parameter.detach().reshape(-1) for parameter in named.values()])
        self.gradients = torch.zeros_like(self.parameters)
        self._outputs: Tensor | None = None
        self._places: dict[str, slice] = {}
        start = 0
        for name, parameter in named.items():
            self._places[name] = part = slice(start, start + parameter.numel())
            parameter.data = self.parameters[part].view(parameter.shape)
            parameter.grad = self.gradients[part].view(parameter.shape)
            start = part.stop
        self._deviations = self._places.get("log_std", slice(0, 0))

    def evaluate(self, observations: Tensor) -> Tensor:
        """See Network."""
        policy, values = self.module(observations)
        return torch.cat((policy, values.reshape(-1, 1)), dim=1).t()

    def forward(self, observations: Tensor) -> Tensor:
        """See Network."""
        with torch.enable_grad():
            self._outputs = self.evaluate(observations).contiguous()
        return self._outputs.detach()

    def backward(self, gradient: Tensor, by_log_std: Tensor) -> None:
        """See Network."""
        if self._outputs is not None:
            self.gradients.zero_()
            torch.autograd.backward([self._outputs], [gradient])
            self._outputs = None
        self.gradients[self._deviations].copy_(by_log_std)

    def dormant(self) -> float:
        """See Network. Which of a module's tensors are its units is for nobody to guess."""
        return math.nan

    def log_std(self) -> Tensor:
        """See Network."""
        return self.parameters[self._deviations]

    def weights(self) -> Weights:
        """See Network."""
        shapes, vector = self._shapes(), copy_of(self.parameters)
        return {name: vector[part].reshape(shapes[name]) for name, part in self._places.items()}

    def load(self, weights: Weights) -> None:
        """See Network."""
        if {name: array.shape for name, array in weights.items()} != self._shapes():
            raise ConfigError(f"weights: not of this module, which has {self._shapes()}")
        vector = np.concatenate([weights[name].ravel() for name in self._places])
        self.parameters.copy_(torch.from_numpy(vector))

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(parameter.shape) for name, parameter in self.module.named_parameters()}


class TorchEvaluator:
    """Any torch network run on batches, on its own device; see `trading.policy.evaluator.Evaluator`."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def __call__(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Evaluator."""
        with single_threaded(), torch.no_grad():
            seen = torch.from_numpy(np.ascontiguousarray(observations)).to(self._network.parameters.device)
            outputs: NDArray[np.float32] = self._network.evaluate(seen).t().contiguous().cpu().numpy()
        return outputs

    def load(self, weights: Weights) -> None:
        """See Evaluator."""
        self._network.load(weights)

    @property
    def log_std(self) -> NDArray[np.float32]:
        """See Evaluator."""
        log_std: NDArray[np.float32] = self._network.log_std().cpu().numpy()
        return log_std


def build_module(
    shape: NetworkShape, make: Callable[[int, tuple[int, ...]], nn.Module], seed: int
) -> nn.Module:
    """A strategy's module, its own random initialisation drawn from `seed`. StrategyError: it fails."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            module = make(shape.observation_size, shape.heads)
            with torch.no_grad():
                logits, values = module(torch.zeros(2, shape.observation_size))
        except Exception as error:
            raise StrategyError(f"network(): {type(error).__name__}: {error}") from error
    if tuple(logits.shape) != (2, sum(shape.heads)) or values.reshape(-1).shape[0] != 2:
        raise StrategyError(
            f"network(): for 2 observations it must return logits (2, {sum(shape.heads)}) and values (2,), "
            f"not {tuple(logits.shape)} and {tuple(values.shape)}"
        )
    return module


def copy_of(vector: Tensor) -> NDArray[np.float32]:
    """A vector of any device, copied to this one's memory."""
    copied: NDArray[np.float32] = vector.detach().cpu().numpy().copy()
    return copied
