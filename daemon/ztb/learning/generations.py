"""Generations: numbers, weights, parents, which one serves, and the swap between two ticks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ztb.trading.policy.network import MakeNetwork, new_serving
from ztb.trading.policy.serving import ServingPolicy
from ztb.trading.policy.weights import NetworkShape, Weights, weights_sha256
from ztb.trading.strategy import Action


@dataclass(frozen=True, slots=True)
class GenerationInfo:
    """One generation: immutable weights and where they came from."""

    number: int
    parent: int | None
    weights: Weights
    sha256: str


class ServedPolicy:
    """The policy that acts, with its generation; `swap` changes both between two decisions."""

    def __init__(
        self, shape: NetworkShape, info: GenerationInfo, sample: bool, make: MakeNetwork | None = None
    ) -> None:
        self.shape = shape
        self.make = make
        self.info = info
        self.greedy = not sample
        self._serving = new_serving(shape, info.weights, make)

    @property
    def parameters(self) -> NDArray[np.float32] | None:
        """See `trading.strategy.NetworkPolicy`."""
        return self._serving.parameters if isinstance(self._serving, ServingPolicy) else None

    def act(self, observation: NDArray[np.float32], uniforms: NDArray[np.float64]) -> Action:
        """Sampled (or greedy) action with its log-prob and value; see `trading.strategy.Policy`."""
        choice = self._serving.decide(observation, uniforms, deterministic=self.greedy)
        size, timing = choice.actions
        return Action(size, timing, choice.logprob, choice.value)

    def swap(self, info: GenerationInfo) -> None:
        """Serve `info` from the next decision on."""
        self._serving.swap(info.weights)
        self.info = info


@dataclass(frozen=True, slots=True)
class Descent:
    """The origin of a generation: the one from whose learner it was trained on, and its digest."""

    parent: int | None
    sha256: str


@dataclass(slots=True)
class Lineage:
    """Numbers generations, counts what became of them, and knows who descends from whom."""

    made: int = 0
    promoted: int = 0
    rejected: int = 0
    rolled_back: int = 0
    known: dict[int, Descent] = field(default_factory=dict[int, Descent])
    quarantined: set[int] = field(default_factory=set[int])
    served: list[int] = field(default_factory=list[int])
    """In the order in which they did, some more than once."""
    resumed: bool = False
    """True if the first generation that serves was made by an earlier run on the same folder."""

    def make(self, parent: int | None, weights: Weights) -> GenerationInfo:
        """A new generation with the next number, from 0."""
        info = GenerationInfo(self.made, parent, weights, weights_sha256(weights))
        self.known[info.number] = Descent(parent, info.sha256)
        self.made += 1
        return info

    def descent(self, generation: int) -> set[int]:
        """`generation` and all that descend from it. Parents have smaller numbers than their children."""
        found = {generation}
        for number in range(generation + 1, self.made):
            if self.known[number].parent in found:
                found.add(number)
        return found

    def quarantine(self, generation: int) -> set[int]:
        """Bar `generation` and its descent from ever serving again; all of them."""
        gone = self.descent(generation)
        self.quarantined |= gone
        return gone

    def barred(self, info: GenerationInfo) -> bool:
        """True if `info` is in quarantine, descends from what is, or is the same weights."""
        if info.number in self.quarantined or info.parent in self.quarantined:
            return True
        return any(self.known[number].sha256 == info.sha256 for number in self.quarantined)
