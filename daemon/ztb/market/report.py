"""The report on a history that was read: counts, and an example of each kind of damage."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

HARMLESS = ("duplicate", "market halted", "no time yet", "bar without a trade", "empty row", "unfinished bar")
"""Reasons to leave rows out that say nothing against the file: repeated, closed, before the first time, blank, told
anew when the bar was complete."""


LEAP = "prices more than ten times off those on both sides, which are traded on as they stand"
"""The key of their example."""


@dataclass(slots=True)
class DataReport:
    """Filled while a history is iterated; complete once its last block was taken.

    `rows` are rows read from files, `ticks` rows handed out. `dropped` counts rows left out by reason,
    duplicates and halted rows included; `examples` has the first row of each reason, as `file: row N: why`.
    `torn` is how many bytes of a recording were cut off. `leaps` are prices far from those on both sides: they stand,
    for markets have had such, but are more often damage.
    """

    files: list[str] = field(default_factory=list[str])
    layouts: list[str] = field(default_factory=list[str])
    rows: int = 0
    ticks: int = 0
    kinds: Counter[str] = field(default_factory=Counter[str])
    dropped: Counter[str] = field(default_factory=Counter[str])
    no_time: int = 0
    out_of_order: int = 0
    gaps: int = 0
    missing_bars: int = 0
    missing_ids: int = 0
    torn: int = 0
    longest_gap_ns: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    low: float | None = None
    high: float | None = None
    leaps: int = 0
    examples: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])

    @property
    def duplicated(self) -> int:
        """Rows that repeat a bar or a trade id."""
        return self.dropped["duplicate"]

    @property
    def crossed(self) -> int:
        """Quotes and snapshots whose best bid was not below their best ask."""
        return self.dropped["crossed book"]

    @property
    def bad(self) -> int:
        """Rows dropped because their values cannot be true."""
        return self.dropped.total() - sum(self.dropped[reason] for reason in HARMLESS)

    def drop(self, reason: str, count: int, example: str) -> None:
        """Count `count` rows left out for `reason`; the first example of a reason is kept."""
        self.dropped[reason] += count
        self.examples.setdefault(reason, example)

    def note(self, text: str) -> None:
        """Remember `text` once."""
        if text not in self.notes:
            self.notes.append(text)

    def see_gap(self, length_ns: int, count: int = 1) -> None:
        """Count `count` gaps, the longest of which lasts `length_ns`."""
        self.gaps += count
        self.longest_gap_ns = max(self.longest_gap_ns, length_ns)

    def see_range(self, low: float, high: float) -> None:
        """Widen the range of prices to hold `low` and `high`."""
        self.low = low if self.low is None else min(low, self.low)
        self.high = high if self.high is None else max(high, self.high)

    def see_leaps(self, count: int, example: str) -> None:
        """Count `count` prices far from both their neighbours; the first example is kept."""
        self.leaps += count
        self.examples.setdefault(LEAP, example)

    @property
    def said_of_leaps(self) -> str:
        """A warning of prices that leap, in words; "" if none does."""
        return f"{self.leaps:,} {LEAP} (first: {self.examples[LEAP]})" if self.leaps else ""

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values: counts, examples, notes; times in nanoseconds since 1970."""
        return {
            "files": self.files,
            "layouts": self.layouts,
            "rows": self.rows,
            "ticks": self.ticks,
            "kinds": dict(sorted(self.kinds.items())),
            "dropped": dict(sorted(self.dropped.items())),
            "duplicated": self.duplicated,
            "crossed": self.crossed,
            "no_time": self.no_time,
            "out_of_order": self.out_of_order,
            "gaps": self.gaps,
            "missing_bars": self.missing_bars,
            "missing_ids": self.missing_ids,
            "torn": self.torn,
            "longest_gap_ns": self.longest_gap_ns,
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "low": self.low,
            "high": self.high,
            "leaps": self.leaps,
            "examples": self.examples,
            "notes": self.notes,
        }
