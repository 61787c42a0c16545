"""Buffers are reused for the sizes in use, and a life of other sizes does not pile them up."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import torch

from ztb.trading.policy.weights import NetworkShape, initial_weights
from ztb.trading.ppo.config import PPOConfig
from ztb.trading.ppo.mlp import BufferCache
from ztb.trading.ppo.update import PPOUpdater


def test_the_same_size_gets_the_same_thing_and_few_sizes_are_kept():
    made: list[int] = []

    def make(size: int) -> np.ndarray:
        made.append(size)
        return np.zeros(size)

    kept = BufferCache(make)
    first = kept.of(3)
    others = [weakref.ref(kept.of(10 + i)) for i in range(50) if kept.of(3) is first]
    gc.collect()
    assert len(others) == 50 and made == [3, *range(10, 60)]
    assert sum(other() is not None for other in others) == 7


def test_a_learner_whose_minibatches_differ_from_update_to_update_does_not_grow():
    shape = NetworkShape(6, (8,), (3,))
    updater = PPOUpdater(shape, PPOConfig(), initial_weights(shape, 0), 0)
    outputs: list[weakref.ref[torch.Tensor]] = []
    for count in range(1, 41):
        seen = updater._rows(torch.zeros((50, 6)), np.arange(count))
        outputs.append(weakref.ref(updater.network.forward(seen)))
    gc.collect()
    assert sum(each() is not None for each in outputs) <= 8
