"""The two kinds of network a policy may be: the shipped one, run from plain arrays, or a strategy's own torch module.

A strategy's own network is a function `network(observation_size, heads)` that returns a `torch.nn.Module` with
float32 parameters and no buffers. Called with observations (B, D) float32 it returns policy logits
(B, sum(heads)) and values (B,). torch is imported only for such a one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ztb.trading.policy.categorical import probabilities
from ztb.trading.policy.evaluator import Actor, Evaluator, MlpEvaluator
from ztb.trading.policy.serving import PolicyDecision, ServingPolicy
from ztb.trading.policy.weights import NetworkShape, Weights, flatten, initial_weights, parameter_shapes

MakeNetwork = Callable[[int, tuple[int, ...]], Any]
"""(observation_size, heads) to a `torch.nn.Module`; see the module."""


class Serving(Protocol):
    """A network that decides; see `trading.policy.serving.ServingPolicy`."""

    def decide(
        self, observation: NDArray[np.float32], uniforms: NDArray[np.float64], deterministic: bool = False
    ) -> PolicyDecision: ...

    def probabilities(self, observation: NDArray[np.float32]) -> list[NDArray[np.float64]]: ...

    def swap(self, weights: Weights) -> None: ...


def new_serving(shape: NetworkShape, weights: Weights, make: MakeNetwork | None) -> Serving:
    """A policy that serves `weights`, one observation at a time."""
    return ServingPolicy(shape, weights) if make is None else ModuleServing(shape, weights, make)


def new_evaluator(shape: NetworkShape, weights: Weights, make: MakeNetwork | None, rows: int) -> Evaluator:
    """A network with a copy of `weights`, for batches of up to `rows` observations."""
    if make is None:
        return MlpEvaluator(shape, flatten(shape, weights), rows)
    from ztb.trading.policy.torch_network import ModuleNetwork, TorchEvaluator, build_module

    evaluator = TorchEvaluator(ModuleNetwork(build_module(shape, make, 0)))
    evaluator.load(weights)
    return evaluator


def first_weights(
    shape: NetworkShape, seed: int, make: MakeNetwork | None, orthogonal: bool = True
) -> Weights:
    """Weights that know nothing, a function of `seed` alone; see `initial_weights` for `orthogonal`."""
    if make is None:
        return initial_weights(shape, seed, orthogonal)
    from ztb.trading.policy.torch_network import ModuleNetwork, build_module

    return ModuleNetwork(build_module(shape, make, seed)).weights()


def weight_shapes(shape: NetworkShape, make: MakeNetwork | None) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the network's weights."""
    if make is None:
        return parameter_shapes(shape)
    return {name: array.shape for name, array in first_weights(shape, 0, make).items()}


class ModuleServing:
    """A strategy's own network, deciding as the shipped kind does: the same sampling, the same log-probs."""

    def __init__(self, shape: NetworkShape, weights: Weights, make: MakeNetwork) -> None:
        self._heads = shape.heads
        self._actor = Actor(shape, new_evaluator(shape, weights, make, 1))
        self._actions = np.zeros((1, len(shape.heads)), np.int64)
        self._logprobs = np.zeros(1, np.float32)

    def swap(self, weights: Weights) -> None:
        """Decide with `weights` from now on."""
        self._actor.evaluator.load(weights)

    def decide(
        self, observation: NDArray[np.float32], uniforms: NDArray[np.float64], deterministic: bool = False
    ) -> PolicyDecision:
        """See `ServingPolicy.decide`."""
        values = self._actor.act(
            observation[None], uniforms[None], self._actions, self._logprobs, greedy=deterministic
        )
        return PolicyDecision(
            actions=tuple(self._actions[0].tolist()), logprob=float(self._logprobs[0]), value=float(values[0])
        )

    def probabilities(self, observation: NDArray[np.float32]) -> list[NDArray[np.float64]]:
        """See `ServingPolicy.probabilities`."""
        return probabilities(self._actor.evaluator(observation[None])[0, :-1], self._heads)
