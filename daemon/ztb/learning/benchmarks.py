"""Is it helping? The live account against others on the same ticks and costs, with an interval of confidence.

Differences of log growth a decision are averaged over blocks, which takes most of their serial correlation, and the
blocks' mean gets an asymptotic confidence sequence: it covers the true mean at all times at once, so that it may be
looked at as often as one likes. Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, "Time-uniform central limit
theory and asymptotic confidence sequences", theorem 2.2: with n blocks of mean m and deviation s,

    m ± s · sqrt( 2 (n ρ² + 1) / (n² ρ²) · ln( sqrt(n ρ² + 1) / α ) )
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ztb.utils.kernel import kernel

CONFIDENCE = 0.95
_BLOCK = 32
_LEAST_BLOCKS = 16
_LEAST_DECISIONS = _LEAST_BLOCKS * _BLOCK + 1
_TOGETHER = 256  # decisions that enter the comparisons at once
_SHARPEST_AT = 256.0
"""Blocks at which the interval is as narrow as it can be made for any one n."""

Answer = Literal["helps", "hurts", "unclear", "too_early"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The live account's equity over the baseline's, less one, since the first decision: 0.02 is 2 % ahead.

    `low` and `high`: what is due to the policies rather than to luck lies between them, at the confidence stated.
    """

    baseline: str
    decisions: int
    difference: float | None
    low: float | None
    high: float | None

    @property
    def answer(self) -> Answer:
        if self.low is None or self.high is None:
            return "too_early"
        return "helps" if self.low > 0.0 else "hurts" if self.high < 0.0 else "unclear"

    @property
    def missing(self) -> str:
        """What an interval still needs, in words; "" where there is one."""
        if self.low is not None:
            return ""
        if self.difference is None and self.decisions:
            return "two accounts that are not used up"
        if self.decisions < _LEAST_DECISIONS:
            return f"{_LEAST_DECISIONS - self.decisions:,} more decisions"
        return "decisions at which the two accounts differ"

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "decisions": self.decisions,
            "difference": self.difference,
            "low": self.low,
            "high": self.high,
            "confidence": CONFIDENCE,
            "answer": self.answer,
        }


_PAIRING: np.dtype[np.void] = np.dtype(
    [
        ("decisions", "<i8"),
        ("over", "<i8"),  # one of the equities was used up: nothing is compared any more
        ("last", "<f8"),  # log ratios: at the last decision, the first, and where the present block began
        ("first", "<f8"),
        ("opened", "<f8"),
        ("blocks", "<i8"),
        ("mean", "<f8"),
        ("squares", "<f8"),
    ]
)


@kernel
def _add(pairing: np.void, ours: float, theirs: float) -> None:
    """The equities at the next decision; a block that ends enters mean and squares by Welford's recurrence."""
    if pairing["over"] == 1:
        return
    if not (ours > 0.0 and theirs > 0.0):
        pairing["over"] = 1
        return
    last = math.log(ours / theirs)
    pairing["last"] = last
    if pairing["decisions"] == 0:
        pairing["first"] = last
        pairing["opened"] = last
    elif pairing["decisions"] % _BLOCK == 0:
        pairing["blocks"] += 1
        apart = last - pairing["opened"] - pairing["mean"]
        pairing["mean"] += apart / pairing["blocks"]
        pairing["squares"] += apart * (last - pairing["opened"] - pairing["mean"])
        pairing["opened"] = last
    pairing["decisions"] += 1


@kernel
def _add_all(pairing: NDArray[np.void], ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> None:
    for k in range(len(ours)):
        _add(pairing[0], ours[k], theirs[k])


class PairedDifference:
    """Our equity and theirs, decision by decision."""

    def __init__(self) -> None:
        self._pairing = np.zeros(1, _PAIRING)

    @property
    def decisions(self) -> int:
        return int(self._pairing["decisions"][0])

    def add(self, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> None:
        """The equities (N,) at the next decisions; nothing is compared any more once one is used up."""
        _add_all(self._pairing, ours, theirs)

    def comparison(self, baseline: str) -> Comparison:
        """The comparison so far."""
        pairing = self._pairing[0]
        if pairing["over"] or self.decisions == 0:
            return Comparison(baseline, self.decisions, difference=None, low=None, high=None)
        total, width = float(pairing["last"] - pairing["first"]), self._half_width()
        return Comparison(
            baseline=baseline,
            decisions=self.decisions,
            difference=math.expm1(total),
            low=None if width is None else math.expm1(total - width),
            high=None if width is None else math.expm1(total + width),
        )

    def _half_width(self) -> float | None:
        """Of the interval of the sum over all blocks; None while there are too few, or nothing ever differed."""
        n, squares = int(self._pairing["blocks"][0]), float(self._pairing["squares"][0])
        if n < _LEAST_BLOCKS or squares == 0.0:
            return None
        alpha = 1.0 - CONFIDENCE
        narrow = -2.0 * math.log(alpha)
        grown = n * (narrow + math.log(narrow + 1.0)) / _SHARPEST_AT + 1.0
        deviation = math.sqrt(squares / (n - 1))
        factor = 2.0 * grown / (grown - 1.0) * math.log(math.sqrt(grown) / alpha)
        return deviation * math.sqrt(n * factor)


UNLEARNT = "unlearnt"
"""The account as the same allocator would have had it, had nothing been learnt after generation 0."""


class BenchmarkTracker:
    """The live account against others on the same ticks: `unlearnt` (above), generation 0 never updated at full size
    (`frozen`), hold, and flat, as far as there are such accounts.
    """

    def __init__(self) -> None:
        self._pairings: defaultdict[str, PairedDifference] = defaultdict(PairedDifference)
        self._waiting: list[tuple[float, Mapping[str, float]]] = []

    def follow(self, equity: float, others: Mapping[str, float]) -> None:
        """Equities at a decision: our own, and those of the accounts beside it."""
        self._waiting.append((equity, dict(others)))
        if len(self._waiting) == _TOGETHER:
            self._settle()

    def follow_all(self, equity: NDArray[np.float64], others: Mapping[str, NDArray[np.float64]]) -> None:
        """As `follow`, at N decisions: every array (N,)."""
        self._settle()
        for name, theirs in others.items():
            self._pairings[name].add(equity, theirs)
        self._pairings["flat"].add(equity, np.ones_like(equity))

    def _settle(self) -> None:
        """Enter what waits: a kernel's call for each decision would cost more than what it does."""
        told: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        for equity, others in self._waiting:
            for name, theirs in others.items():
                told[name].append((equity, theirs))
            told["flat"].append((equity, 1.0))
        self._waiting.clear()
        for name, pairs in told.items():
            ours, theirs = np.array(pairs).T.copy()
            self._pairings[name].add(ours, theirs)

    def comparisons(self) -> tuple[Comparison, ...]:
        """One with each account, that which says whether learning helps first, flat last."""
        self._settle()
        order = {name: place for place, name in enumerate((UNLEARNT, "frozen", "hold"))}
        names = sorted(self._pairings, key=lambda name: order.get(name, len(order)))
        return tuple(self._pairings[name].comparison(name) for name in names)

    def against(self, name: str) -> Comparison:
        """The comparison with one account, whether there is one or not."""
        self._settle()
        return self._pairings.get(name, PairedDifference()).comparison(name)

    @property
    def learning(self) -> Comparison:
        """The comparison that says whether learning helps.

        Where experts share the account, with the same without what was learnt, since the size that it gave generation 0
        is no merit of learning; else with generation 0 never updated.
        """
        self._settle()
        return self.against(UNLEARNT if UNLEARNT in self._pairings else "frozen")

    @property
    def answer(self) -> Answer:
        """True if learning helps."""
        return self.learning.answer
