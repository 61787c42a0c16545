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

CONFIDENCE = 0.95
_BLOCK = 32
_LEAST_BLOCKS = 16
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

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "decisions": self.decisions, "difference": self.difference, "low": self.low, "high": self.high,
            "confidence": CONFIDENCE, "answer": self.answer,
        }  # fmt: skip


class PairedDifference:
    """Our equity and theirs, decision by decision."""

    def __init__(self) -> None:
        self.decisions = 0
        self._last: float | None = 0.0
        self._first = self._opened = 0.0
        self._blocks = 0
        self._mean = self._squares = 0.0

    def add(self, ours: float, theirs: float) -> None:
        """The equities at the next decision; nothing is compared any more once one is used up."""
        if self._last is None:
            return
        if ours <= 0.0 or theirs <= 0.0:
            self._last = None
            return
        self._last = math.log(ours / theirs)
        if self.decisions == 0:
            self._first = self._opened = self._last
        elif self.decisions % _BLOCK == 0:
            self._close_block(self._last - self._opened)
            self._opened = self._last
        self.decisions += 1

    def _close_block(self, difference: float) -> None:
        """Welford's recurrence."""
        self._blocks += 1
        apart = difference - self._mean
        self._mean += apart / self._blocks
        self._squares += apart * (difference - self._mean)

    def comparison(self, baseline: str) -> Comparison:
        """What there is to say so far."""
        if self._last is None or self.decisions == 0:
            return Comparison(baseline, self.decisions, None, None, None)
        total, width = self._last - self._first, self._half_width()
        if width is None:
            return Comparison(baseline, self.decisions, math.expm1(total), None, None)
        return Comparison(
            baseline, self.decisions, math.expm1(total), math.expm1(total - width), math.expm1(total + width)
        )

    def _half_width(self) -> float | None:
        """Of the interval of the sum over all blocks; None while there are too few, or nothing ever differed."""
        n = self._blocks
        if n < _LEAST_BLOCKS or self._squares == 0.0:
            return None
        alpha = 1.0 - CONFIDENCE
        narrow = -2.0 * math.log(alpha)
        grown = n * (narrow + math.log(narrow + 1.0)) / _SHARPEST_AT + 1.0
        deviation = math.sqrt(self._squares / (n - 1))
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

    def follow(self, equity: float, others: Mapping[str, float]) -> None:
        """Equities at a decision: our own, and those of the accounts beside it."""
        for name, theirs in others.items():
            self._pairings[name].add(equity, theirs)
        self._pairings["flat"].add(equity, 1.0)

    def comparisons(self) -> tuple[Comparison, ...]:
        """One with each account, that which says whether learning helps first, flat last."""
        order = {name: place for place, name in enumerate((UNLEARNT, "frozen", "hold"))}
        names = sorted(self._pairings, key=lambda name: order.get(name, len(order)))
        return tuple(self._pairings[name].comparison(name) for name in names)

    def against(self, name: str) -> Comparison:
        """The comparison with one account, whether there is one or not."""
        return self._pairings.get(name, PairedDifference()).comparison(name)

    @property
    def learning(self) -> Comparison:
        """What says whether learning helps: where experts share the account, the same without what was learnt, since
        the size that it gave generation 0 is no merit of learning; else generation 0 never updated.
        """
        return self.against(UNLEARNT if UNLEARNT in self._pairings else "frozen")

    @property
    def answer(self) -> Answer:
        """True if learning helps."""
        return self.learning.answer
