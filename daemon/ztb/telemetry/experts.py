"""Experts beside the account, from the journal: the weight of each, its evidence and equity, over time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from ztb.learning.allocation import name_of
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.performance import simple_return
from ztb.ledger.records import AllocationRow, DecisionRow

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ExpertCourse:
    """One expert at each of N decisions, every array (N,): `weight` 0 and the others nan where it was none.

    `aim` is the exposure that it wanted; `log_evidence` and `equity` (at full size, quote currency) are those that
    were journaled last.
    """

    name: str
    weight: Floats
    log_evidence: Floats
    equity: Floats
    aim: Floats

    @property
    def generation(self) -> int | None:
        """The generation that it trades; None: it is a rule."""
        word, _, number = self.name.partition(" ")
        return int(number) if number.isdecimal() and word == name_of(0).split(" ", 1)[0] else None

    @property
    def present(self) -> bool:
        """True if it is one at the last decision."""
        return len(self.equity) > 0 and bool(np.isfinite(self.equity[-1]))

    @property
    def at_full_size(self) -> float | None:
        """The return of its account from its first decision to its last."""
        known = self.equity[np.isfinite(self.equity)]
        return simple_return(float(known[0]), float(known[-1])) if len(known) else None


def expert_courses(reader: JournalReader) -> tuple[ExpertCourse, ...]:
    """Every expert of a run in the order in which they came; none where the account did not follow any."""
    told: defaultdict[str, list[AllocationRow]] = defaultdict(list)
    for row in reader.rows(AllocationRow):
        told[row.expert].append(row)
    if not told:
        return ()
    numbers, aims = _wanting(reader, tuple(told))
    return tuple(_course(name, rows, numbers, aims[:, k]) for k, (name, rows) in enumerate(told.items()))


def _wanting(reader: JournalReader, names: tuple[str, ...]) -> tuple[NDArray[np.int64], Floats]:
    """(decisions (N,), what each wanted at each, (N, K)); nan for who was no expert then."""
    numbers: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    wanted: list[tuple[float, ...]] = []
    known: dict[bytes, tuple[float, ...]] = {}
    for decisions, told in reader.columns(DecisionRow, ("decision", "aims")):
        numbers.append(np.array(decisions, np.int64))
        for aims in told:
            if aims not in known:
                said = msgspec.json.decode(aims, type=dict[str, float]) if aims else {}
                known[aims] = tuple(said.get(name, np.nan) for name in names)
            wanted.append(known[aims])
    return np.concatenate(numbers), np.array(wanted, np.float64).reshape(len(wanted), len(names))


def _course(name: str, rows: list[AllocationRow], numbers: NDArray[np.int64], aims: Floats) -> ExpertCourse:
    newest = np.searchsorted([row.decision for row in rows], numbers, side="right") - 1
    known = ~np.isnan(aims) & (newest >= 0)

    def filled(values: list[float], absent: float) -> Floats:
        return np.where(known, np.array(values, np.float64)[newest], absent)

    return ExpertCourse(
        name=name,
        weight=filled([row.weight for row in rows], 0.0),
        log_evidence=filled([row.log_evidence for row in rows], np.nan),
        equity=filled([row.equity for row in rows], np.nan),
        aim=aims,
    )
