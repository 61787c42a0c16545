"""A storm: fault upon fault, drawn from a seed; and what of them has struck."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from chaos.faults import FAULTS
from chaos.stage import Stage
from ztb.testing.exchange.faults import Armed

_SOONEST_S, _LATEST_S = 0.5, 8.0

Pair = tuple[str, str]
PAIRS: set[Pair] = {(a, b) for a in FAULTS for b in FAULTS if a <= b}
"""Of kinds that follow upon each other, in either order."""


@dataclass(frozen=True)
class Drawn:
    """A fault of a storm; `struck` says whether anything went wrong by it."""

    kind: str
    struck: bool


@dataclass
class Struck:
    """What has struck in storms, how often: kinds, and pairs of those drawn one after the other."""

    kinds: Counter[str] = field(default_factory=Counter[str])
    pairs: Counter[Pair] = field(default_factory=Counter[Pair])

    def add(self, drawn: list[Drawn]) -> None:
        """Count a storm that is over."""
        self.kinds.update(one.kind for one in drawn if one.struck)
        both = ((a.kind, b.kind) for a, b in pairwise(drawn) if a.struck and b.struck)
        self.pairs.update((min(pair), max(pair)) for pair in both)

    @property
    def missing(self) -> list[Pair]:
        """Pairs that never struck; no kind is in none of them."""
        return sorted(PAIRS - self.pairs.keys())

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.kinds.most_common())
        return f"{kinds}; {len(self.pairs)} of {len(PAIRS)} pairs"


def drawn_from(rng: np.random.Generator) -> Iterator[str]:
    """Kinds without end."""
    while True:
        yield str(rng.choice(list(FAULTS)))


async def storm(
    it: Stage, rng: np.random.Generator, seconds: float, kinds: Iterator[str] | None = None
) -> list[Drawn]:
    """Faults for so long, one every few seconds, of `kinds` until they end, by default drawn; what came of each."""
    end_s, waits = it.loop.time() + seconds, list[tuple[str, list[Armed], list[float]]]()
    kinds = drawn_from(rng) if kinds is None else kinds
    while it.loop.time() < end_s and (kind := next(kinds, None)) is not None:
        armed, strays = len(it.gateway.faults.armed), len(it.venue.strays)
        FAULTS[kind](it, rng)
        waits.append((kind, it.gateway.faults.armed[armed:], it.venue.strays[strays:]))
        await asyncio.sleep(float(rng.uniform(_SOONEST_S, _LATEST_S)))
    return [Drawn(kind, _struck(it, armed, strays)) for kind, armed, strays in waits]


def _struck(it: Stage, armed: list[Armed], strays: list[float]) -> bool:
    """What was armed has happened, a stray is under way; what is neither happened at once."""
    if strays:
        return not set(strays) & set(it.venue.strays)
    return all(one.happened for one in armed)
