"""Sinks for issues: what is wrong in a file without making it useless, told while it is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from ztb.market.report import DataReport


class IssueSink(Protocol):
    """Hears of rows that cannot be taken apart, and of facts worth a line in the report."""

    def malformed(self, row: int, text: str) -> None:
        """Row `row` is left out: its text is no row of the layout."""
        ...

    def torn(self, size: int) -> None:
        """The file ends in a frame that was cut; its `size` bytes are left out."""
        ...

    def remark(self, text: str) -> None:
        """Something about the file that its reader did or did not do."""
        ...


@dataclass(slots=True)
class ReportingSink:
    """Writes what it hears into a report."""

    report: DataReport = field(default_factory=DataReport)

    def malformed(self, row: int, text: str) -> None:
        """Count the row and keep the first as an example."""
        self.report.drop("malformed row", 1, f"row {row}: malformed: {text[:80]!r}")

    def torn(self, size: int) -> None:
        """Count the bytes."""
        self.report.torn += size

    def remark(self, text: str) -> None:
        """Keep the text as a note."""
        self.report.note(text)
