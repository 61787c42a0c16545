"""One network on many observations at once, and the actions chosen by what it says. No torch but for a user's module.

Rollouts, the gate's tests, looks at a held-out part and `PPOTrainer` all evaluate and act through this.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ztb.trading.policy.categorical import sample_batch
from ztb.trading.policy.layers import forward
from ztb.trading.policy.serving import compile_program
from ztb.trading.policy.weights import NetworkShape, Weights, flatten


class Evaluator(Protocol):
    """A network run on batches: `evaluator(observations)`."""

    def __call__(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Policy outputs, then the value, (N, A + 1), of observations (N, D); valid until the next call."""
        ...

    def load(self, weights: Weights) -> None:
        """Run with `weights` from now on; they are copied. ConfigError: of another network."""
        ...

    @property
    def log_std(self) -> NDArray[np.float32]:
        """Log standard deviations (A,) of Gaussian actions; empty for discrete ones."""
        ...


class MlpEvaluator:
    """The shipped kind of network, run by the kernels that serve it.

    `parameters` (P,) are read anew at each call and may be somebody else's, such as a learner's.
    """

    def __init__(self, shape: NetworkShape, parameters: NDArray[np.float32], rows: int = 1) -> None:
        """`rows`: the largest batch expected; a larger one makes a larger buffer."""
        self._shape = shape
        self.parameters = parameters
        self.program = compile_program(shape)
        self.outputs = np.empty((rows, shape.policy_outputs + 1), np.float32)
        """The buffer for results."""

    def __call__(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """See Evaluator."""
        count = len(observations)
        if count > len(self.outputs):
            self.outputs = np.empty((count, self.outputs.shape[1]), np.float32)
        outputs = self.outputs[:count]
        forward(
            parameters=self.parameters,
            layers=self.program.layers,
            scratch=self.program.scratch,
            observations=observations,
            outputs=outputs,
        )
        return outputs

    def load(self, weights: Weights) -> None:
        """See Evaluator."""
        flatten(self._shape, weights, self.parameters)

    @property
    def log_std(self) -> NDArray[np.float32]:
        """See Evaluator."""
        return self.parameters[len(self.parameters) - self._shape.continuous :]


class Actor:
    """Chooses actions for many observations: draws from the policy's distribution, or its most probable ones."""

    def __init__(self, shape: NetworkShape, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self._heads = np.array(shape.heads, np.int64)
        self._continuous = shape.continuous

    def random(self, generator: np.random.Generator, count: int) -> NDArray[np.float64]:
        """The random numbers for `count` observations: uniform (count, H) for heads, else normal (count, A)."""
        if self._continuous:
            return generator.standard_normal((count, self._continuous))
        return generator.random((count, len(self._heads)))

    def act(
        self,
        observations: NDArray[np.float32],
        random: NDArray[np.float64],
        actions: NDArray[Any],
        logprobs: NDArray[np.float32],
        greedy: bool = False,
    ) -> NDArray[np.float32]:
        """Fill `actions` (N, H) or (N, A), by `random` or `greedy`, and `logprobs` (N,).

        Returns the values (N,) of `observations` (N, D), valid until the network is run again.
        """
        outputs = self.evaluator(observations)
        if self._continuous:
            self._act_gaussian(outputs[:, :-1], random * (not greedy), actions, logprobs)
        else:
            sample_batch(
                outputs=outputs,
                heads=self._heads,
                uniforms=random,
                deterministic=int(greedy),
                actions=actions,
                logprobs=logprobs,
            )
        return outputs[:, -1]

    def _act_gaussian(
        self,
        means: NDArray[np.float32],
        noise: NDArray[np.float64],
        actions: NDArray[Any],
        logprobs: NDArray[np.float32],
    ) -> None:
        log_std = self.evaluator.log_std
        logprobs[:] = -0.5 * (noise * noise + np.log(2 * np.pi)).sum(1) - log_std.sum()
        actions[:] = means + np.exp(log_std) * noise

    def values(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N,) of `observations` (N, D), valid until the network is run again."""
        return self.evaluator(observations)[:, -1]
