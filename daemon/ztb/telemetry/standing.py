"""The standing of each generation of a run, from its journal: leads, shadow, in test, refused, rolled back, barred."""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from ztb.learning.allocation import name_of
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import AllocationRow, DecisionRow, GenerationRow
from ztb.telemetry.sections.gate import WHY

_LED = ("promoted", "restored")


@dataclass(frozen=True, slots=True)
class Standing:
    """`words` for a person; `weight` is the share of the account that follows it, None for what is no expert.

    `made_ns`, `decided_ns`: moments of the market, None where it was none yet (generation 0) or nothing is decided.
    """

    words: str
    weight: float | None
    made_ns: int | None
    decided_ns: int | None


def standings(journal: Path) -> dict[int, Standing]:
    """Of every generation that the journal knows, by number. DataError: there is no readable journal."""
    lives: defaultdict[int, list[GenerationRow]] = defaultdict(list)
    leads: int | None = None
    with contextlib.closing(JournalReader(journal)) as reader:
        for row in reader.rows(GenerationRow):
            lives[row.generation].append(row)
            leads = row.generation if row.event in _LED else leads
        weights = _weights(reader)
    return {
        number: Standing(
            "leads" if number == leads else _words(rows, name_of(number) in weights),
            weights.get(name_of(number)),
            next((row.ts_ns or None for row in rows if row.event == "made"), None),
            next((row.ts_ns or None for row in rows[::-1] if row.event != "made"), None),
        )
        for number, rows in lives.items()
    }


def _weights(reader: JournalReader) -> dict[str, float]:
    """The weight of each who is an expert at the last decision."""
    newest = "seq = (SELECT max(seq) FROM decisions)"
    decision = next(reader.rows(DecisionRow, newest), None)
    if decision is None or not decision.aims:
        return {}
    last = "seq IN (SELECT max(seq) FROM allocations GROUP BY expert)"
    told = {row.expert: row.weight for row in reader.rows(AllocationRow, last)}
    return {name: told[name] for name in json.loads(decision.aims) if name in told}


def _words(rows: list[GenerationRow], expert: bool) -> str:
    """Of one that does not lead."""
    last = rows[-1]
    detail = json.loads(last.detail or "{}")
    reason = str(detail.get("reason", ""))
    if last.event in _LED:
        return "shadow" if expert else "led before"
    if last.event == "rolled_back":
        return (
            f"rolled back ({WHY.get(reason, reason.replace('_', ' '))}), barred"
            if reason
            else "rolled back, barred"
        )
    if last.event == "quarantined" or reason == "quarantined":
        of = detail.get("of")
        return "barred" if of is None else f"barred: descends from generation {of}"
    if last.event == "rejected":
        return f"refused: {WHY.get(reason, reason.replace('_', ' '))}"
    return "in test"
