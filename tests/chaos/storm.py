"""A storm: fault upon fault, drawn from a seed; and what of them has struck."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from chaos.faults import FAULTS
from chaos.stage import Stage
from ztb.testing.exchange.faults import Armed

_SOONEST_S, _LATEST_S = 0.5, 8.0
_KINDS = 2**31  # the seed of the kinds, beside those of the faults' numbers

Pair = tuple[str, str]
PAIRS: set[Pair] = {(a, b) for a in FAULTS for b in FAULTS if a <= b}
"""Of kinds that follow upon each other, in either order."""

OF_ORDERS = {"status after accepting", "stray", "session ends"}
"""Kinds that strike only where orders are sent, and their news heard."""

MARKET_PAIRS: set[Pair] = {pair for pair in PAIRS if not OF_ORDERS & set(pair)}


@dataclass(frozen=True)
class Drawn:
    """A fault of a storm; `struck` says whether anything went wrong by it."""

    kind: str
    struck: bool


@dataclass
class Struck:
    """What has struck in storms, how often: kinds, and pairs of those drawn one after the other; `wanted` are to strike."""

    kinds: Counter[str] = field(default_factory=Counter[str])
    pairs: Counter[Pair] = field(default_factory=Counter[Pair])
    wanted: set[Pair] = field(default_factory=lambda: PAIRS)

    def add(self, drawn: list[Drawn]) -> None:
        """Count a storm that is over."""
        self.kinds.update(one.kind for one in drawn if one.struck)
        both = ((a.kind, b.kind) for a, b in pairwise(drawn) if a.struck and b.struck)
        self.pairs.update((min(pair), max(pair)) for pair in both)

    @property
    def missing(self) -> list[Pair]:
        """Pairs that never struck; no kind is in none of them."""
        return sorted(self.wanted - self.pairs.keys())

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.kinds.most_common())
        return f"{kinds}; {len(self.wanted & self.pairs.keys())} of {len(self.wanted)} pairs"


def drawn_from(seed: Sequence[int]) -> Iterator[str]:
    """Kinds without end."""
    rng = np.random.default_rng([*seed, _KINDS])
    while True:
        yield str(rng.choice(list(FAULTS)))


async def storm(
    it: Stage,
    seed: Sequence[int],
    seconds: float,
    kinds: Iterator[str] | None = None,
    only: Collection[int] | None = None,
    numbers: list[int] | None = None,
) -> list[Drawn]:
    """Faults for so long, one every few seconds, of `kinds` until they end, by default drawn; what came of each.

    Each draws from a seed of its own, so that without some (`only`: which numbers there are) the others stay the same.
    `numbers` gets those that were.
    """
    end_s, waits = it.loop.time() + seconds, list[tuple[str, list[Armed], list[float]]]()
    for number, kind in enumerate(drawn_from(seed) if kinds is None else kinds):
        rng = np.random.default_rng([*seed, number])
        wait_s = float(rng.uniform(_SOONEST_S, _LATEST_S))
        if only is None or number in only:
            if numbers is not None:
                numbers.append(number)
            armed, strays = len(it.gateway.faults.armed), len(it.venue.strays)
            FAULTS[kind](it, rng)
            waits.append((kind, it.gateway.faults.armed[armed:], it.venue.strays[strays:]))
        await asyncio.sleep(wait_s)
        if it.loop.time() >= end_s:
            break
    return [Drawn(kind, _struck(it, armed, strays)) for kind, armed, strays in waits]


def _struck(it: Stage, armed: list[Armed], strays: list[float]) -> bool:
    """What was armed has happened, a stray is under way; what is neither happened at once."""
    if strays:
        return not set(strays) & set(it.venue.strays)
    return all(one.happened for one in armed)
