"""The policy as it serves: networks as plain float32 arrays, decided on by compiled loops (`layers`). No torch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ztb.errors import ConfigError, InvariantError
from ztb.trading.policy.categorical import probabilities, sample
from ztb.trading.policy.layers import run_program
from ztb.trading.policy.weights import NetworkShape, Weights, flatten
from ztb.utils.kernel import entry, kernel


@dataclass(frozen=True, slots=True)
class Program:
    """A network compiled for the kernels: `layers` (L, 6) int64, `heads` (H,) int64, `scratch` (S,) float32.

    `scratch` holds the observation first and the outputs (policy, then value) last.
    """

    layers: NDArray[np.int64]
    heads: NDArray[np.int64]
    scratch: NDArray[np.float32]


def compile_program(shape: NetworkShape) -> Program:
    """The layer program of a network, with a scratch of its own."""
    rows: list[tuple[int, ...]] = []
    hidden = sum(sum(sizes[1:-1]) for _, sizes in shape.towers())
    output = shape.observation_size + hidden
    offset, free = 0, shape.observation_size
    for _, sizes in shape.towers():
        source = 0
        for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
            last = layer == len(sizes) - 2
            target = output if last else free
            # Sizes, where the parameters start, where it reads and writes in scratch, whether tanh follows.
            rows.append((inputs, outputs, offset, source, target, int(not last)))
            offset += (inputs + 1) * outputs
            source = target
            output, free = (output + outputs, free) if last else (output, free + outputs)
    return Program(np.array(rows, np.int64), np.array(shape.heads, np.int64), np.zeros(output, np.float32))


@kernel
def decide_one(
    parameters: np.ndarray,
    layers: np.ndarray,
    heads: np.ndarray,
    scratch: np.ndarray,
    uniforms: np.ndarray,
    deterministic: int,
    actions: np.ndarray,
) -> tuple[float, float]:
    """(log-prob, value) of the observation at the start of `scratch`; the actions go into `actions` (H,)."""
    run_program(parameters, layers, scratch)
    outputs = scratch[scratch.shape[0] - heads.sum() - 1 :]
    logprob = sample(
        logits=outputs, heads=heads, uniforms=uniforms, deterministic=deterministic, actions=actions
    )
    return logprob, np.float64(outputs[outputs.shape[0] - 1])


class PolicyDecision(NamedTuple):
    """A decision: one action a head, their joint log-prob, and the value of the observation."""

    actions: tuple[int, ...]
    logprob: float
    value: float


class ServingPolicy:
    """The network that trades: decides on one observation at a time from arrays of its own."""

    def __init__(self, shape: NetworkShape, weights: Weights) -> None:
        if not shape.heads:
            raise ConfigError("a serving policy decides on discrete heads; continuous actions have none")
        self.shape = shape
        self._program = compile_program(shape)
        self._parameters = flatten(shape, weights)
        self._spare = np.empty_like(self._parameters)
        self._observation = self._program.scratch[: shape.observation_size]
        self._outputs = self._program.scratch[-shape.policy_outputs - 1 :]
        self._actions = np.zeros(len(shape.heads), np.int64)
        program, uniforms = self._program, np.zeros(len(shape.heads))
        self._entry = entry(
            decide_one,
            self._parameters,
            program.layers,
            program.heads,
            program.scratch,
            uniforms,
            0,
            self._actions,
        )

    def decide(
        self, observation: NDArray[np.float32], uniforms: NDArray[np.float64], deterministic: bool = False
    ) -> PolicyDecision:
        """The actions for `observation` (D,), drawn with `uniforms` (H,) in [0, 1), or the most probable."""
        self._see(observation)
        program = self._program
        logprob, value = self._entry(
            self._parameters,
            program.layers,
            program.heads,
            program.scratch,
            uniforms,
            int(deterministic),
            self._actions,
        )
        return PolicyDecision(tuple(self._actions.tolist()), logprob, value)

    @property
    def parameters(self) -> NDArray[np.float32]:
        """(P,) of the network that serves, see `weights.flatten`."""
        return self._parameters

    def probabilities(self, observation: NDArray[np.float32]) -> list[NDArray[np.float64]]:
        """The probability of each action of each head."""
        self._see(observation)
        run_program(self._parameters, self._program.layers, self._program.scratch)
        return probabilities(self._outputs[:-1], self.shape.heads)

    def swap(self, weights: Weights) -> None:
        """Serve `weights` from the next decision on; they are copied. ConfigError: not of this network."""
        flatten(self.shape, weights, self._spare)
        self._parameters, self._spare = self._spare, self._parameters

    def _see(self, observation: NDArray[np.float32]) -> None:
        if observation.shape != self._observation.shape:
            raise InvariantError(
                f"the policy sees {self._observation.shape} numbers, the observation has {observation.shape}"
            )
        self._observation[:] = observation
