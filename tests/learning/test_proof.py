"""A policy that knows nothing does not trade until something of its line has been promoted."""

from __future__ import annotations

import numpy as np

from ztb.learning.generations import GenerationInfo, ServedPolicy
from ztb.learning.proof import AwaitsProof
from ztb.trading.network import first_weights
from ztb.trading.strategy import Action, Moment
from ztb.trading.weights import NetworkShape, weights_sha256

SHAPE = NetworkShape(3, (5, 3), (4,), False)
LADDER = (-1.0, -0.5, 0.0, 0.5, 1.0)


class Asked:
    """Always fully long; counts how often it was asked."""

    def __init__(self) -> None:
        self.times = 0

    def decide(self, moment: Moment) -> Action:
        self.times += 1
        return Action(4, 2, -0.5, 1.0)


def generation(number: int) -> GenerationInfo:
    weights = first_weights(SHAPE, number, None)
    return GenerationInfo(number, None, weights, weights_sha256(weights))


def test_it_waits_while_generation_0_serves_trades_once_another_does_and_then_closes_what_that_left():
    policy, inner = ServedPolicy(SHAPE, generation(0), sample=False), Asked()
    waiting = AwaitsProof(inner, policy)
    moment = Moment(0, 0, np.zeros(1), {}, np.zeros(3, np.float32), LADDER, 0.7, 100.0, np.zeros(2))
    assert waiting.waits and waiting.decide(moment) == Action(2, 0)  # what is held is not its own
    assert inner.times == 1  # what the strategy remembers goes on
    policy.swap(generation(1))
    assert not waiting.waits and waiting.decide(moment) == Action(4, 2, -0.5, 1.0)
    policy.swap(generation(0))  # rolled back to
    assert waiting.waits and waiting.decide(moment) == Action(2)
    assert AwaitsProof(inner, policy, traded=True).decide(moment) == Action(2)  # after a restart too
