"""Adam on one flat vector of parameters (Kingma and Ba 2015, algorithm 1), and clipping by global norm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

_BETA1, _BETA2 = 0.9, 0.999


class Adam:
    """The moments of one vector of parameters (P,)."""

    def __init__(self, parameters: Tensor, epsilon: float) -> None:
        self._parameters = parameters
        self._epsilon = epsilon
        self._mean = torch.zeros_like(parameters)
        self._square = torch.zeros_like(parameters)
        self._steps = 0

    def step(self, gradients: Tensor, learning_rate: float) -> None:
        """One step against `gradients` (P,)."""
        self._steps += 1
        correction1 = 1 - _BETA1**self._steps
        correction2 = 1 - _BETA2**self._steps
        self._mean.lerp_(gradients, 1 - _BETA1)
        self._square.mul_(_BETA2).addcmul_(gradients, gradients, value=1 - _BETA2)
        root = math.sqrt(correction2)
        denominator = self._square.sqrt().add_(self._epsilon * root)
        self._parameters.addcdiv_(self._mean, denominator, value=-learning_rate * root / correction1)

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


def clip_norm(gradients: Tensor, limit: float) -> float:
    """Scale `gradients` (P,) in place so that their norm is at most `limit`; the norm they had."""
    norm = float(torch.linalg.vector_norm(gradients))
    if norm > limit:
        gradients.mul_(limit / norm)
    return norm
