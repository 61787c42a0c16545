"""The shipped kind of network, as it learns: one or two towers of tanh layers, gradients by formulas written out.

Two towers of the same widths are a stack: one batched product is a layer of both. All buffers, and the views of them
that BLAS and the kernels take, are made once for each size of a minibatch. Only here is back-propagation written by
hand, for speed; `tests/trading/ppo/test_ppo_mlp.py` holds it to autograd.

Also here: buffers by the size of a minibatch, made once and kept: as many sizes as an update has, not as a life of
updates.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from ztb.trading.policy.layers import tanh
from ztb.trading.policy.torch_network import copy_of
from ztb.trading.policy.weights import NetworkShape, Weights, flatten, unflatten
from ztb.utils.kernel import allocating_kernel

_T = TypeVar("_T")
_MOST = 8  # an update's minibatches have two sizes, and others where memory runs short


class BufferCache(Generic[_T]):
    """Objects made by `make`, one for each size; those of the sizes asked for last are kept."""

    def __init__(self, make: Callable[[int], _T]) -> None:
        self._make = make
        self._made: dict[int, _T] = {}

    def of(self, size: int) -> _T:
        """The same thing for the same size, as long as it is kept."""
        made = self._made.pop(size, None)
        if made is None:
            made = self._make(size)
            if len(self._made) >= _MOST:
                del self._made[next(iter(self._made))]
        self._made[size] = made
        return made


_ROWS = 64
_DORMANT = 0.025

# torch's public functions have no fused form of grad * (1 - tanh²) that writes where it reads.
_tanh_backward: Callable[..., Any] = torch.ops.aten.tanh_backward.grad_input

_Affine = tuple[Tensor, Tensor]
"""Weight (..., I, O) and bias (..., O), views of a flat vector."""


@allocating_kernel
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


def _through_tanh(delta: Tensor, activation: Tensor, total: Tensor) -> None:
    """The same on any device."""
    _tanh_backward(delta, activation, grad_input=delta)
    torch.sum(delta, 0, out=total)


class _Layer:
    """A hidden layer of T towers for B observations."""

    def __init__(self, parameters: _Affine, gradients: _Affine, batch: int) -> None:
        """`parameters` and `gradients`: weight (T, I, O) and bias (T, O)."""
        weight, bias = parameters
        self._weight, self._turned, self._bias = weight, weight.transpose(1, 2), bias[:, None]
        self._by_weight, by_bias = gradients
        self.activation = weight.new_empty((weight.shape[0], batch, weight.shape[2]))
        self.delta = torch.empty_like(self.activation)
        """The gradient by the activation, and after `backward` by what tanh was taken of."""
        self._inputs = self.activation
        each = list(zip(self.delta, self.activation, by_bias, strict=True))
        if weight.device.type == "cpu":
            # By the kernel that serves, six times as fast as torch's.
            self._tanh: Callable[[], object] = partial(tanh, self.activation.numpy().reshape(-1))
            self._through = [partial(through_tanh, *(part.numpy() for part in parts)) for parts in each]
        else:
            self._tanh = self.activation.tanh_
            self._through = [partial(_through_tanh, *parts) for parts in each]

    def forward(self, inputs: Tensor) -> Tensor:
        """Activations (T, B, O) of `inputs` (T, B, I), which are kept for `backward`."""
        self._inputs = inputs
        torch.baddbmm(self._bias, inputs, self._weight, out=self.activation)
        self._tanh()
        return self.activation

    def backward(self, below: Tensor | None) -> None:
        """Fill this layer's gradients from `delta`, and `below` (T, B, I), the gradient by its inputs."""
        for through in self._through:
            through()
        torch.bmm(self._inputs.transpose(1, 2), self.delta, out=self._by_weight)
        if below is not None:
            torch.bmm(self.delta, self._turned, out=below)


class _Head:
    """The last layer of one tower. It is narrow: BLAS is several times as fast on its transposed products."""

    def __init__(self, parameters: _Affine, gradients: _Affine, inputs: Tensor, delta: Tensor) -> None:
        """`inputs` (B, I) are the activations below, `delta` (B, I) is where the gradient by them goes."""
        weight, bias = parameters
        self._turned, self._bias = weight.t(), bias[:, None]
        self._by_weight, self._by_bias = gradients
        self._by_turned = torch.empty_like(self._turned, memory_format=torch.contiguous_format)
        self._inputs, self._delta = inputs, delta

    def forward(self, outputs: Tensor) -> None:
        """Write `outputs` (O, B)."""
        torch.addmm(self._bias, self._turned, self._inputs.t(), out=outputs)

    def backward(self, gradient: Tensor) -> None:
        """Fill this layer's gradients, and the layer's below, from that of the outputs (O, B)."""
        torch.mm(gradient, self._inputs, out=self._by_turned)
        self._by_weight.copy_(self._by_turned.t())
        torch.sum(gradient, 1, out=self._by_bias)
        torch.mm(gradient.t(), self._turned, out=self._delta)


class _Workspace:
    """A network's layers for B observations."""

    def __init__(self, shape: NetworkShape, parameters: Tensor, gradients: Tensor, batch: int) -> None:
        self.outputs = parameters.new_empty((shape.policy_outputs + 1, batch))
        self.layers = [
            _Layer(values, slopes, batch)
            for values, slopes in zip(_hidden(shape, parameters), _hidden(shape, gradients), strict=True)
        ]
        self.heads: list[tuple[_Head, slice]] = []
        last, row = self.layers[-1], 0
        heads = zip(_heads(shape, parameters), _heads(shape, gradients), strict=True)
        for (values, slopes), activation, delta in zip(heads, last.activation, last.delta, strict=True):
            rows = slice(row, row + values[1].shape[0])
            self.heads.append((_Head(values, slopes, activation, delta), rows))
            row = rows.stop


def _tower_sizes(shape: NetworkShape) -> list[int]:
    """Parameters of each tower; they lie one tower after the other in the flat vector."""
    return [sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes)) for _, sizes in shape.towers()]


def _hidden(shape: NetworkShape, vector: Tensor) -> list[_Affine]:
    """The hidden layers of all T towers as views of a flat vector: weights (T, I, O), biases (T, O)."""
    views: list[_Affine] = []
    towers, start = _tower_sizes(shape), 0
    for inputs, outputs in pairwise((shape.observation_size, *shape.hidden)):
        size = (len(towers), inputs + 1, outputs)
        block = vector.as_strided(size, (towers[0], outputs, 1), start)
        views.append((block[:, :-1], block[:, -1]))
        start += (inputs + 1) * outputs
    return views


def _heads(shape: NetworkShape, vector: Tensor) -> list[_Affine]:
    """The last layer of each tower as views of a flat vector: weight (I, O), bias (O,)."""
    views: list[_Affine] = []
    for (_, sizes), end in zip(shape.towers(), accumulate(_tower_sizes(shape)), strict=True):
        block = vector[:end][-(sizes[-2] + 1) * sizes[-1] :].view(-1, sizes[-1])
        views.append((block[:-1], block[-1]))
    return views


class MlpNetwork:
    """The shipped network kind: one or two tanh towers, gradients by hand."""

    def __init__(self, shape: NetworkShape, weights: Weights, device: str) -> None:
        self.shape = shape
        self.parameters = torch.tensor(flatten(shape, weights), device=device)
        self.gradients = torch.zeros_like(self.parameters)
        self._log_std = self.parameters[sum(_tower_sizes(shape)) :]
        self._by_log_std = self.gradients[sum(_tower_sizes(shape)) :]
        self._rooms = BufferCache(partial(_Workspace, shape, self.parameters, self.gradients))
        self._batch = 0

    def evaluate(self, observations: Tensor) -> Tensor:
        """See Network."""
        return self.forward(observations)

    def forward(self, observations: Tensor) -> Tensor:
        """See Network."""
        self._batch = observations.shape[0]
        room = self._rooms.of(self._batch)
        inputs = observations.expand(len(room.heads), -1, -1)
        for layer in room.layers:
            inputs = layer.forward(inputs)
        for head, rows in room.heads:
            head.forward(room.outputs[rows])
        return room.outputs

    def backward(self, gradient: Tensor, by_log_std: Tensor) -> None:
        """See Network."""
        room = self._rooms.of(self._batch)
        for head, rows in room.heads:
            head.backward(gradient[rows])
        below = [None, *(layer.delta for layer in room.layers[:-1])]
        for layer, delta in zip(reversed(room.layers), reversed(below), strict=True):
            layer.backward(delta)
        self._by_log_std.copy_(by_log_std)

    def dormant(self) -> float:
        """See Network: units whose mean magnitude is at most `_DORMANT` of their layer's (Sokal, Agarwal, Castro and
        Evci 2023, "The dormant neuron phenomenon in deep reinforcement learning", equation 1).
        """
        scores: list[Tensor] = []
        for layer in self._rooms.of(self._batch).layers:
            mean = layer.activation.abs().mean(dim=1)
            scores.append((mean / mean.mean(dim=1, keepdim=True)).reshape(-1))
        # Where a whole layer is silent, 0 / 0 is nobody's share.
        return 1.0 - float((torch.cat(scores) > _DORMANT).double().mean())

    def log_std(self) -> Tensor:
        """See Network."""
        return self._log_std

    def weights(self) -> Weights:
        """See Network."""
        return unflatten(self.shape, copy_of(self.parameters))

    def load(self, weights: Weights) -> None:
        """See Network."""
        self.parameters.copy_(torch.from_numpy(flatten(self.shape, weights)))
