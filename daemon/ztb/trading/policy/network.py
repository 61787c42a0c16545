"""Which network a policy is: the shipped kind, served from plain arrays, or a strategy's own torch module.

A strategy's own network is a function `network(observation_size, heads)` that returns a `torch.nn.Module` with
float32 parameters and no buffers. Called with observations (B, D) float32 it returns policy logits
(B, sum(heads)) and values (B,). torch is imported only for such a one.

Also here: how many cores torch takes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ztb.errors import StrategyError
from ztb.trading.policy.layers import forward
from ztb.trading.policy.serving import PolicyDecision, ServingPolicy, compile_program, sample_batch
from ztb.trading.policy.weights import NetworkShape, Weights, flatten, initial_weights, parameter_shapes


@contextmanager
def single_threaded() -> Generator[None]:
    """One torch thread inside: sums in one order, and no stolen cores. Small networks are slower on two."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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
    """What serves `weights`."""
    return ServingPolicy(shape, weights) if make is None else ModuleServing(shape, weights, make)


def first_weights(
    shape: NetworkShape, seed: int, make: MakeNetwork | None, orthogonal: bool = True
) -> Weights:
    """Weights that know nothing, a function of `seed` alone; see `initial_weights` for `orthogonal`."""
    if make is None:
        return initial_weights(shape, seed, orthogonal)
    return module_weights(build_module(shape, make, seed))


def weight_shapes(shape: NetworkShape, make: MakeNetwork | None) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the network's weights."""
    return (
        {name: array.shape for name, array in first_weights(shape, 0, make).items()}
        if make
        else (parameter_shapes(shape))
    )


def build_module(shape: NetworkShape, make: MakeNetwork, seed: int) -> Any:
    """The strategy's module, its own random initialisation drawn from `seed`. StrategyError if it fails."""
    import torch

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


def module_weights(module: Any) -> Weights:
    """Copies of a module's parameters by name."""
    return {name: value.detach().cpu().numpy().copy() for name, value in module.named_parameters()}


class Outputs(Protocol):
    """A network with weights, run on batches: (B, A + 1) logits and value of observations (B, D)."""

    def load(self, weights: Weights) -> None: ...

    def __call__(self, observations: NDArray[np.float32]) -> NDArray[np.float32]: ...


def new_outputs(shape: NetworkShape, weights: Weights, make: MakeNetwork | None, rows: int) -> Outputs:
    """What runs `weights` on up to `rows` observations at a time; its results are good until the next call."""
    return TowerOutputs(shape, weights, rows) if make is None else ModuleOutputs(shape, weights, make)


class TowerOutputs:
    """The shipped kind of network, run on batches, from buffers of its own."""

    def __init__(self, shape: NetworkShape, weights: Weights, rows: int) -> None:
        self._shape = shape
        self.program = compile_program(shape)
        self.parameters = flatten(shape, weights)
        self.rows = np.empty((rows, shape.policy_outputs + 1), np.float32)
        """What `forward` is run with, and where its results go."""

    def load(self, weights: Weights) -> None:
        """Run with `weights` from now on; they are copied."""
        flatten(self._shape, weights, self.parameters)

    def __call__(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Outputs`."""
        outputs = self.rows[: len(observations)]
        forward(self.parameters, self.program.layers, self.program.scratch, observations, outputs)
        return outputs


class ModuleOutputs:
    """A strategy's module with weights of its own, run on batches."""

    def __init__(self, shape: NetworkShape, weights: Weights, make: MakeNetwork) -> None:
        self._module = build_module(shape, make, 0)
        self.load(weights)

    def load(self, weights: Weights) -> None:
        """Run with `weights` from now on; they are copied."""
        import torch

        with torch.no_grad():
            for name, parameter in self._module.named_parameters():
                parameter.copy_(torch.from_numpy(weights[name]))

    def __call__(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, A + 1) logits and value of `observations` (B, D)."""
        import torch

        with single_threaded(), torch.no_grad():
            logits, values = self._module(torch.from_numpy(np.ascontiguousarray(observations)))
            outputs: NDArray[np.float32] = torch.cat((logits, values.reshape(-1, 1)), dim=1).numpy()
        return outputs


class ModuleServing:
    """A strategy's own network, deciding as the shipped kind does: the same sampling, the same log-probs."""

    def __init__(self, shape: NetworkShape, weights: Weights, make: MakeNetwork) -> None:
        self._heads = np.array(shape.heads, np.int64)
        self._outputs = ModuleOutputs(shape, weights, make)
        self._actions = np.zeros((1, len(shape.heads)), np.int64)
        self._logprobs = np.zeros(1, np.float32)

    def swap(self, weights: Weights) -> None:
        """Decide with `weights` from now on."""
        self._outputs.load(weights)

    def decide(
        self, observation: NDArray[np.float32], uniforms: NDArray[np.float64], deterministic: bool = False
    ) -> PolicyDecision:
        """See `ServingPolicy.decide`."""
        outputs = self._outputs(observation[None])
        sample_batch(outputs, self._heads, uniforms[None], int(deterministic), self._actions, self._logprobs)
        return PolicyDecision(
            tuple(self._actions[0].tolist()), float(self._logprobs[0]), float(outputs[0, -1])
        )

    def probabilities(self, observation: NDArray[np.float32]) -> list[NDArray[np.float64]]:
        """See `ServingPolicy.probabilities`."""
        logits = self._outputs(observation[None])[0, :-1].astype(np.float64)
        heads = np.split(logits, np.cumsum(self._heads)[:-1])
        return [np.exp(head - head.max()) / np.exp(head - head.max()).sum() for head in heads]
