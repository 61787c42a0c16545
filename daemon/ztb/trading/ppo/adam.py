"""Adam on one flat vector of parameters (Kingma and Ba 2015, algorithm 1), and clipping by global norm.

On the CPU in one compiled pass, which for networks of these sizes is an order of magnitude quicker than torch's
operations one by one; on other devices by those.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ztb.errors import NonFiniteError
from ztb.utils.kernel import kernel

_BETA1, _BETA2 = 0.9, 0.999


@kernel
def _advance(
    parameters: np.ndarray,
    gradients: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    scale: float,
    rate: float,
    epsilon: float,
) -> None:
    """One step of all arrays (P,) against `gradients` times `scale`; sums in float32 as torch has them."""
    shrink, step, floor = np.float32(scale), np.float32(rate), np.float32(epsilon)
    fresh1, kept2, fresh2 = np.float32(1 - _BETA1), np.float32(_BETA2), np.float32(1 - _BETA2)
    for i in range(parameters.shape[0]):
        gradient = gradients[i] * shrink
        mean[i] += fresh1 * (gradient - mean[i])
        square[i] = kept2 * square[i] + fresh2 * (gradient * gradient)
        parameters[i] -= step * (mean[i] / (np.sqrt(square[i]) + floor))


class Adam:
    """The moments of one vector of parameters (P,)."""

    def __init__(self, parameters: Tensor, epsilon: float) -> None:
        self._parameters = parameters
        self._epsilon = epsilon
        self._mean = torch.zeros_like(parameters)
        self._square = torch.zeros_like(parameters)
        self._steps = 0

    def step(self, gradients: Tensor, learning_rate: float, limit: float = math.inf) -> float:
        """One step against `gradients` (P,), scaled so that their norm is at most `limit`; the norm they had.

        NonFiniteError: it is not finite, and no step was taken.
        """
        self._steps += 1
        root = math.sqrt(1 - _BETA2**self._steps)
        rate, epsilon = learning_rate * root / (1 - _BETA1**self._steps), self._epsilon * root
        norm = math.sqrt(float(torch.dot(gradients, gradients)))
        if not math.isfinite(norm):
            self._steps -= 1
            raise NonFiniteError("gradient", f"the gradient's norm is {norm}")
        scale = limit / norm if norm > limit else 1.0
        if gradients.device.type == "cpu":
            mean, square = self._mean.numpy(), self._square.numpy()
            _advance(
                parameters=self._parameters.numpy(),
                gradients=gradients.numpy(),
                mean=mean,
                square=square,
                scale=scale,
                rate=rate,
                epsilon=epsilon,
            )
        else:
            self._advance(gradients * scale, rate, epsilon)
        return norm

    def _advance(self, gradients: Tensor, rate: float, epsilon: float) -> None:
        """The same, on any device."""
        self._mean.lerp_(gradients, 1 - _BETA1)
        self._square.mul_(_BETA2).addcmul_(gradients, gradients, value=1 - _BETA2)
        self._parameters.addcdiv_(self._mean, self._square.sqrt().add_(epsilon), value=-rate)

    @property
    def sound(self) -> bool:
        """True if all moments are finite."""
        return bool(torch.isfinite(self._mean).all()) and bool(torch.isfinite(self._square).all())

    def begin(self) -> None:
        """Without any moments, as before the first step."""
        self._mean.zero_()
        self._square.zero_()
        self._steps = 0

    def state(self) -> dict[str, Any]:
        """Copies of the moments, as numpy arrays, and the count of steps."""
        return {
            "mean": self._mean.cpu().numpy().copy(),
            "square": self._square.cpu().numpy().copy(),
            "steps": self._steps,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._mean.copy_(torch.from_numpy(np.array(state["mean"])))
        self._square.copy_(torch.from_numpy(np.array(state["square"])))
        self._steps = int(state["steps"])
