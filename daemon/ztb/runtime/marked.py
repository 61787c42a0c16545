"""The marks of a past: of each its time and equity, which is all that a restart needs but for the last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from ztb.ledger.journal import JournalReader
from ztb.ledger.records import MarkRow
from ztb.runtime.adoption import Adoption

_MARKED = np.dtype([("ts_ns", "<i8"), ("equity", "<f8")])


def _none() -> NDArray[np.void]:
    return np.zeros(0, _MARKED)


@dataclass(slots=True)
class Marks:
    """`rows` (n,): `ts_ns`, `equity`; `last` the last of them whole, None where there are none."""

    rows: NDArray[np.void] = field(default_factory=_none)
    last: MarkRow | None = None

    def __iter__(self) -> Iterator[tuple[int, float]]:
        """(ts_ns, equity) of each, in order."""
        return ((row["ts_ns"].item(), row["equity"].item()) for row in self.rows)

    def forget(self) -> None:
        """Keep the last one alone."""
        self.rows = self.rows[-1:].copy()


def read_marks(reader: JournalReader, before: int, adoptions: Sequence[Adoption]) -> Marks:
    """Those of a journal's rows `before` a sequence number, as if what was adopted after them had been there before."""
    marks = Marks()

    def pairs() -> Iterator[tuple[int, float]]:
        for marks.last in reader.rows(MarkRow, "seq < ?", (before,)):
            yield marks.last.ts_ns, marks.last.equity

    marks.rows = np.fromiter(pairs(), _MARKED)
    came = np.zeros(len(marks.rows))
    for adoption in adoptions:
        came[marks.rows["ts_ns"] <= adoption.ts_ns] += adoption.value
    if marks.last is not None and came.any():
        marks.rows["equity"] += came
        marks.last = _since(marks.last, float(came[-1]))
    return marks


def _since(mark: MarkRow, value: float) -> MarkRow:
    names = ("equity", "hold_equity", "frozen_equity")
    return msgspec.structs.replace(
        mark, **{name: marked + value for name in names if (marked := getattr(mark, name)) is not None}
    )
