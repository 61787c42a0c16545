"""A strategy's own network leaves the machine to others."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ztb.trading.policy.network import first_weights, new_serving
from ztb.trading.policy.weights import NetworkShape


class Counting(nn.Module):
    """Remembers with how many threads it was run."""

    threads: list[int] = []  # noqa: RUF012

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.policy, self.value = nn.Linear(inputs, outputs), nn.Linear(inputs, 1)

    def forward(self, observations):
        self.threads.append(torch.get_num_threads())
        return self.policy(observations), self.value(observations)


def test_it_decides_on_one_core_and_torch_is_left_as_it_was():
    shape = NetworkShape(6, (3, 2))
    make = lambda inputs, heads: Counting(inputs, sum(heads))  # noqa: E731
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        serving = new_serving(shape, first_weights(shape, 0, make), make)
        Counting.threads.clear()
        serving.decide(np.zeros(6, np.float32), np.full(2, 0.5))
        assert Counting.threads == [1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
