"""A policy's network in numbers: its shape, its parameters by name or in one flat vector, and their first values.

A network is one or two towers of tanh layers. Its parameters are a dict of named arrays (`Weights`), or the
same numbers in one flat vector in the order of `parameter_shapes`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ztb.errors import ConfigError

Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class NetworkShape:
    """A tanh network: `observation_size` numbers in; logits of each head in `heads`, or the means of
    `continuous` Gaussian actions, and one value out. `shared_trunk`: one tower for both, else one each.
    """

    observation_size: int
    heads: tuple[int, ...]
    hidden: tuple[int, ...] = (64, 64)
    shared_trunk: bool = True
    continuous: int = 0

    def __post_init__(self) -> None:
        sizes = (self.observation_size, *self.heads, *self.hidden)
        if min(sizes) < 1 or not self.hidden or bool(self.heads) == (self.continuous > 0):
            raise ConfigError(
                f"network: {self} needs an observation, a hidden layer, and either discrete heads or "
                "continuous actions, each of size 1 or more"
            )

    @property
    def policy_outputs(self) -> int:
        """Logits of all heads, or means."""
        return sum(self.heads) + self.continuous

    def towers(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """(name, layer sizes from input to output) of each tower; policy outputs come before the value."""
        body = (self.observation_size, *self.hidden)
        if self.shared_trunk:
            return (("trunk", (*body, self.policy_outputs + 1)),)
        return (("policy", (*body, self.policy_outputs)), ("value", (*body, 1)))


def parameter_shapes(shape: NetworkShape) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter, in the order of the flat vector: weights are (inputs, outputs)."""
    shapes: dict[str, tuple[int, ...]] = {}
    for tower, sizes in shape.towers():
        for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
            shapes[f"{tower}.{layer}.weight"] = (inputs, outputs)
            shapes[f"{tower}.{layer}.bias"] = (outputs,)
    if shape.continuous:
        shapes["log_std"] = (shape.continuous,)
    return shapes


def _orthogonal(
    generator: np.random.Generator, inputs: int, outputs: int, gain: float
) -> NDArray[np.float64]:
    tall = generator.standard_normal((max(inputs, outputs), min(inputs, outputs)))
    q, r = np.linalg.qr(tall)
    q *= np.sign(np.diag(r))
    return gain * (q if inputs >= outputs else q.T)


def _head(generator: np.random.Generator, inputs: int, policy: int, value: int) -> NDArray[np.float64]:
    """The last layer (inputs, policy + value) of a tower: small for the policy, to start undecided."""
    columns = [_orthogonal(generator, inputs, policy, 0.01)] if policy else []
    columns += [_orthogonal(generator, inputs, value, 1.0)] if value else []
    return np.concatenate(columns, axis=1)


def initial_weights(shape: NetworkShape, seed: int, orthogonal: bool = True) -> Weights:
    """Orthogonal weights with gains sqrt(2), policy 0.01, value 1 (Huang et al. 2022, "The 37 Implementation Details
    of PPO", detail 2), or else uniform in ±1 / sqrt(inputs); biases 0; log standard deviations 0.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    layers = _orthogonal_layers(shape, generator) if orthogonal else _uniform_layers(shape, generator)
    return {
        name: np.ascontiguousarray(layers.get(name, np.zeros(size)), np.float32)
        for name, size in parameter_shapes(shape).items()
    }


def _uniform_layers(shape: NetworkShape, generator: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    return {
        name: generator.uniform(-1.0, 1.0, size) / math.sqrt(size[0])
        for name, size in parameter_shapes(shape).items()
        if name.endswith("weight")
    }


def _orthogonal_layers(shape: NetworkShape, generator: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    layers: dict[str, NDArray[np.float64]] = {}
    for tower, sizes in shape.towers():
        for layer, (inputs, outputs) in enumerate(pairwise(sizes[:-1])):
            layers[f"{tower}.{layer}.weight"] = _orthogonal(generator, inputs, outputs, math.sqrt(2))
        policy = 0 if tower == "value" else shape.policy_outputs
        head = _head(generator, sizes[-2], policy, sizes[-1] - policy)
        layers[f"{tower}.{len(shape.hidden)}.weight"] = head
    return layers


def weights_sha256(weights: Weights) -> str:
    """Digest of names (sorted), dtypes, shapes and little-endian bytes; 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        array = np.asarray(weights[name])
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(f"{name} {little.dtype.str} {little.shape}\n".encode() + little.tobytes())
    return digest.hexdigest()


def flatten(
    shape: NetworkShape, weights: Weights, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """All parameters in one vector (P,), copied into `out` where given. ConfigError: not of this network."""
    expected = parameter_shapes(shape)
    found = {name: array.shape for name, array in weights.items()}
    if found != expected:
        differing = sorted(set(found.items()) ^ set(expected.items()))
        raise ConfigError(f"weights: not of the network {shape}; differing: {differing[:4]}")
    vector = np.empty(sum(map(math.prod, expected.values())), np.float32) if out is None else out
    np.concatenate([weights[name].ravel() for name in expected], out=vector)
    return vector


def unflatten(shape: NetworkShape, vector: NDArray[np.float32]) -> Weights:
    """The parameters by name, as views of `vector` (P,)."""
    weights: Weights = {}
    start = 0
    for name, size in parameter_shapes(shape).items():
        weights[name] = vector[start : start + math.prod(size)].reshape(size)
        start += math.prod(size)
    return weights
