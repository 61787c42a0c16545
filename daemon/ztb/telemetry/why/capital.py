"""What the account pursued at a decision, made again from the journal: experts' weights, what they wanted, the sum."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from ztb.learning.allocation import Allocator, AllocatorConfig, Expert, GrowthEvidence, name_of, pursuit_band
from ztb.ledger.journal import JournalReader
from ztb.ledger.records import BEGAN, FLATTEN, AllocationRow, DecisionRow, NoteRow

How = Literal["moved", "stayed", "closing"]
"""`moved`: to the sum; `stayed`: the sum was nearer than the band; `closing`: told to close, whatever experts want."""

_STEERED = (FLATTEN, BEGAN, "flattening", "halted", "reduce_only", "resumed")
"""Kinds of notes after which it is known whether the position is being closed on demand."""


@dataclass(frozen=True, slots=True)
class Share:
    """An expert at a decision: `wanted` is its target exposure, `part` the weight times that; `evidence` is e.

    `same_evidence`: whether the sums in the journal give the evidence that it says, bit for bit. `decision` is the
    one from which the weight holds. All are None for one that wanted something but has no row.
    """

    expert: str
    wanted: float
    leads: bool
    decision: int | None
    weight: float | None
    log_evidence: float | None
    part: float | None
    same_evidence: bool


@dataclass(frozen=True, slots=True)
class Capital:
    """`sum` of all parts against `target`, which the journal says; `before` is what was pursued until then, None where
    that is not known: at the first decision of a start, and after the account was told to close.
    """

    shares: list[Share]
    sum: float
    band: float
    before: float | None
    target: float
    how: How
    same_target: bool

    @property
    def agrees(self) -> bool:
        """Whether all of it is what the journal says, bit for bit."""
        return self.same_target and all(share.same_evidence for share in self.shares)


def capital(reader: JournalReader, manifest: dict[str, Any], decision: DecisionRow) -> Capital | None:
    """None where the account did not follow experts."""
    if not decision.aims:
        return None
    aims: dict[str, float] = json.loads(decision.aims)
    newest = "seq IN (SELECT max(seq) FROM allocations WHERE decision <= ? GROUP BY expert)"
    rows = {row.expert: row for row in reader.rows(AllocationRow, newest, (decision.decision,))}
    leader = name_of(decision.generation)
    shares = [_share(name, wanted, name == leader, rows.get(name)) for name, wanted in aims.items()]
    total = _sum(shares)
    before, closing = _before(reader, decision)
    band = pursuit_band(
        float(manifest["config"]["execution"]["band_fraction"]),
        float(manifest["instrument"]["taker_fee"]),
        float(manifest["instrument"]["spread_bps"]),
    )
    how, same = _pursued(total, before, decision.target, band)
    if closing:
        how, same = "closing", decision.target == 0.0
    whole = all(share.weight is not None for share in shares)
    return Capital(shares, total, band, before, decision.target, how, same and whole)


def _share(name: str, wanted: float, leads: bool, row: AllocationRow | None) -> Share:
    if row is None:
        return Share(name, wanted, leads, None, None, None, None, same_evidence=False)
    said = json.loads(row.detail)
    same = GrowthEvidence(**said["evidence"]).log_e == row.log_evidence
    part = row.weight * wanted
    return Share(name, wanted, leads, row.decision, row.weight, row.log_evidence, part, same_evidence=same)


def _sum(shares: list[Share]) -> float:
    """As the allocator adds it up: in the order of the experts."""
    allocator = Allocator(AllocatorConfig())
    for share in shares:
        expert = Expert(share.expert, 0.0, GrowthEvidence(1.0), weight=share.weight or 0.0)
        allocator.experts[share.expert] = expert
    return allocator.target({share.expert: share.wanted for share in shares})


def _pursued(total: float, before: float | None, target: float, band: float) -> tuple[How, bool]:
    """How `target` follows, and whether it is what follows."""
    if target == total:
        return "moved", True
    near = abs(total - target) < band and not (total == 0.0 and target != 0.0)
    return "stayed", near and before in (None, target)


def _before(reader: JournalReader, decision: DecisionRow) -> tuple[float | None, bool]:
    """(what was pursued at the decision before, or None; whether the account was being closed at this one)."""
    own = next(seq for seq, _ in reader.numbered(DecisionRow, "decision = ?", (decision.decision,)))
    earlier = next(reader.numbered(DecisionRow, "decision = ?", (decision.decision - 1,)), None)
    if earlier is None:
        return None, _closing(reader, own)
    seq, row = earlier
    began = next(reader.rows(NoteRow, "kind = 'start' AND seq > ? AND seq < ?", (seq, own)), None)
    known = began is None and not _closing(reader, seq)
    return (row.target if known else None), _closing(reader, own)


def _closing(reader: JournalReader, seq: int) -> bool:
    """Whether, at a place in the journal, the position was being closed on demand."""
    last = f"seq = (SELECT max(seq) FROM notes WHERE seq < ? AND kind IN ({','.join('?' * len(_STEERED))}))"
    note = next(reader.rows(NoteRow, last, (seq, *_STEERED)), None)
    if note is not None and note.kind == BEGAN:
        return bool(json.loads(note.detail)["flattening"])
    return note is not None and note.kind in (FLATTEN, "flattening")
