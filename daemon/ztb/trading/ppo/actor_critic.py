"""Networks that learn, on torch: all parameters in one flat vector, all gradients in another.

Outputs are (B, A + 1), a row for each observation: policy outputs, then the value. The gradient of
the loss comes in at the outputs in the same layout; the tanh towers carry it back by formulas written out
here, a user's own module by autograd.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ztb.errors import ConfigError
from ztb.trading.policy import tanh
from ztb.trading.weights import NetworkShape, Weights, flatten, unflatten
from ztb.utils.kernel import kernel

_ROWS = 64

# torch's public functions have no fused form of grad * (1 - tanh²) that writes where it reads.
_tanh_backward: Callable[..., Any] = torch.ops.aten.tanh_backward.grad_input


class Network(Protocol):
    """What the update needs of a network; `parameters` and `gradients` are (P,) float32 of one device."""

    parameters: Tensor
    gradients: Tensor

    def forward(self, observations: Tensor) -> Tensor:
        """Outputs (B, A + 1) of `observations` (B, D), kept for `backward` until the next call."""
        ...

    def backward(self, gradient: Tensor, by_log_std: Tensor) -> None:
        """Fill `gradients` from those of the loss by the last outputs, (B, A + 1), and by `log_std`, (A,)."""
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


class _Tower:
    """One tower of tanh layers: its parameters and gradients are views, activations kept by batch size."""

    def __init__(self, sizes: tuple[int, ...], parameters: Tensor, gradients: Tensor) -> None:
        self._sizes = sizes
        self._layers = list(zip(_views(sizes, parameters), _views(sizes, gradients), strict=True))
        self._workspaces: dict[int, list[Tensor]] = {}
        self._inputs: list[Tensor] = []

    def _workspace(self, batch: int, device: torch.device) -> list[Tensor]:
        if batch not in self._workspaces:
            widths = self._sizes[1:-1]
            self._workspaces[batch] = [
                torch.empty((batch, width), device=device) for width in (*widths, *widths)
            ]
        return self._workspaces[batch]

    def forward(self, observations: Tensor, outputs: Tensor) -> None:
        """Write outputs (B, O)."""
        activations = self._workspace(observations.shape[0], observations.device)
        self._inputs = [observations]
        for ((weight, bias), _), activation in zip(self._layers[:-1], activations, strict=False):
            torch.addmm(bias, self._inputs[-1], weight, out=activation)
            _tanh_(activation)
            self._inputs.append(activation)
        weight, bias = self._layers[-1][0]
        # The head is narrow: BLAS is several times as fast on its transposed products.
        outputs.copy_(torch.addmm(bias[:, None], weight.t(), self._inputs[-1].t()).t())

    def backward(self, gradient: Tensor) -> None:
        """Fill this tower's gradients from those of its outputs (B, O)."""
        hidden = len(self._layers) - 1
        deltas = self._workspace(gradient.shape[0], gradient.device)[hidden:]
        (weight, _), (weight_gradient, bias_gradient) = self._layers[hidden]
        weight_gradient.copy_(torch.mm(gradient.t().contiguous(), self._inputs[hidden]).t())
        torch.sum(gradient, 0, out=bias_gradient)
        torch.mm(gradient, weight.t(), out=deltas[-1])
        for level in range(hidden - 1, -1, -1):
            (weight, _), (weight_gradient, bias_gradient) = self._layers[level]
            _through_tanh(deltas[level], self._inputs[level + 1], bias_gradient)
            torch.mm(self._inputs[level].t(), deltas[level], out=weight_gradient)
            if level:
                torch.mm(deltas[level], weight.t(), out=deltas[level - 1])


def _tanh_(activation: Tensor) -> None:
    """In place; on the CPU by the kernel that serves, six times as fast as torch's."""
    if activation.device.type == "cpu":
        tanh(activation.numpy().reshape(-1))
    else:
        activation.tanh_()


def _through_tanh(delta: Tensor, activation: Tensor, total: Tensor) -> None:
    """`delta` (B, W) back through tanh, in place, and its sum over the rows into `total` (W,)."""
    if delta.device.type == "cpu":
        through_tanh(delta.numpy(), activation.numpy(), total.numpy())
    else:
        _tanh_backward(delta, activation, grad_input=delta)
        torch.sum(delta, 0, out=total)


@kernel
def through_tanh(delta: np.ndarray, activation: np.ndarray, total: np.ndarray) -> None:
    """delta (1 - activation²) in the place of `delta` (B, W), and its sum over the rows into `total` (W,).

    One pass over memory. Sums of `_ROWS` rows are in float32, theirs in float64.
    """
    rows, width = delta.shape
    sums, part = np.zeros(width), np.empty(width, np.float32)
    for first in range(0, rows, _ROWS):
        part[:] = np.float32(0.0)
        for b in range(first, min(first + _ROWS, rows)):
            for j in range(width):
                by_input = delta[b, j] * (np.float32(1.0) - activation[b, j] * activation[b, j])
                delta[b, j] = by_input
                part[j] += by_input
        for j in range(width):
            sums[j] += part[j]
    for j in range(width):
        total[j] = sums[j]


def _views(sizes: tuple[int, ...], vector: Tensor) -> list[tuple[Tensor, Tensor]]:
    """(weight (I, O), bias (O,)) of each layer, as views of the tower's part of a flat vector."""
    views: list[tuple[Tensor, Tensor]] = []
    start = 0
    for inputs, outputs in pairwise(sizes):
        block = vector[start : start + (inputs + 1) * outputs].view(inputs + 1, outputs)
        views.append((block[:-1], block[-1]))
        start += block.numel()
    return views


class TowerNetwork:
    """The shipped network kind: one or two tanh towers, gradients by hand."""

    def __init__(self, shape: NetworkShape, weights: Weights, device: str) -> None:
        self.shape = shape
        self.parameters = torch.from_numpy(flatten(shape, weights)).to(device)
        self.gradients = torch.zeros_like(self.parameters)
        self._outputs: dict[int, Tensor] = {}
        self._towers: list[tuple[slice, _Tower]] = []
        start = column = 0
        for _, sizes in shape.towers():
            part = slice(start, start + sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes)))
            tower = _Tower(sizes, self.parameters[part], self.gradients[part])
            self._towers.append((slice(column, column + sizes[-1]), tower))
            start, column = part.stop, column + sizes[-1]
        self._body = start

    def forward(self, observations: Tensor) -> Tensor:
        """See Network."""
        batch = observations.shape[0]
        if batch not in self._outputs:
            self._outputs[batch] = observations.new_empty((batch, self.shape.policy_outputs + 1))
        outputs = self._outputs[batch]
        for columns, tower in self._towers:
            tower.forward(observations, outputs[:, columns])
        return outputs

    def backward(self, gradient: Tensor, by_log_std: Tensor) -> None:
        """See Network."""
        for columns, tower in self._towers:
            tower.backward(gradient[:, columns])
        self.gradients[self._body :].copy_(by_log_std)

    def log_std(self) -> Tensor:
        """See Network."""
        return self.parameters[self._body :]

    def weights(self) -> Weights:
        """See Network."""
        return unflatten(self.shape, _copy(self.parameters))

    def load(self, weights: Weights) -> None:
        """See Network."""
        self.parameters.copy_(torch.from_numpy(flatten(self.shape, weights)))


class ModuleNetwork:
    """A user's own module: called with observations (B, D), it returns policy outputs (B, A) and values (B,).

    Its parameters must be float32; one named `log_std` (A,) belongs to Gaussian actions. Gradients: autograd.
    """

    def __init__(self, module: nn.Module, device: str) -> None:
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

    def forward(self, observations: Tensor) -> Tensor:
        """See Network."""
        with torch.enable_grad():
            policy, values = self.module(observations)
            self._outputs = torch.cat((policy, values.reshape(-1, 1)), dim=1)
        return self._outputs.detach()

    def backward(self, gradient: Tensor, by_log_std: Tensor) -> None:
        """See Network."""
        if self._outputs is not None:
            self.gradients.zero_()
            torch.autograd.backward([self._outputs], [gradient])
            self._outputs = None
        self.gradients[self._deviations].copy_(by_log_std)

    def log_std(self) -> Tensor:
        """See Network."""
        return self.parameters[self._deviations]

    def weights(self) -> Weights:
        """See Network."""
        shapes, vector = self._shapes(), _copy(self.parameters)
        return {name: vector[part].reshape(shapes[name]) for name, part in self._places.items()}

    def load(self, weights: Weights) -> None:
        """See Network."""
        if {name: array.shape for name, array in weights.items()} != self._shapes():
            raise ConfigError(f"weights: not of this module, which has {self._shapes()}")
        vector = np.concatenate([weights[name].ravel() for name in self._places])
        self.parameters.copy_(torch.from_numpy(vector))

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(parameter.shape) for name, parameter in self.module.named_parameters()}


def _copy(vector: Tensor) -> NDArray[np.float32]:
    copied: NDArray[np.float32] = vector.detach().cpu().numpy().copy()
    return copied
