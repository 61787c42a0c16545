"""The account's target at a decision, made again from the journal: experts' weights, what they wanted, the sum."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from ztb.learning.allocation import (
    Allocator,
    GrowthEvidence,
    name_of,
    pursuit_band,
    shares_of_prior,
)
from ztb.learning.settings import AllocationConfig
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import BEGAN, FLATTEN, AllocationRow, DecisionRow, NoteRow
from ztb.market.instrument import turnover_cost

How = Literal["moved", "stayed", "closing"]
"""`moved`: to the sum; `stayed`: the sum was nearer than the band; `closing`: told to close, whatever experts want."""

_STEERED = (FLATTEN, BEGAN, "flattening", "halted", "resumed")
"""Kinds of notes after which it is known whether the position is being closed on demand."""


@dataclass(frozen=True, slots=True)
class Share:
    """An expert at a decision: `wanted` is its target exposure, `part` the weight times that; `evidence` is e.

    `same_evidence`, `same_weight`: whether what the journal has of its past gives the evidence and the weight that it
    says, bit for bit. `decision` is the one from which the weight holds. One without a row wanted something, but has no
    weight.
    """

    expert: str
    wanted: float
    leads: bool
    decision: int | None
    weight: float | None
    log_evidence: float | None
    part: float | None
    same_evidence: bool
    same_weight: bool


@dataclass(frozen=True, slots=True)
class Capital:
    """`sum` of all parts against `target`, which the journal says; `before` is what was pursued until then: nothing
    at the first decision of a start, and None where it is not known, since the account had been told to close.
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
        """True if all of it is what the journal says, bit for bit."""
        return self.same_target and all(share.same_evidence and share.same_weight for share in self.shares)


def capital(reader: JournalReader, manifest: dict[str, Any], decision: DecisionRow) -> Capital | None:
    """None where the account did not follow experts."""
    if not decision.aims:
        return None
    aims: dict[str, float] = json.loads(decision.aims)
    newest = "seq IN (SELECT max(seq) FROM allocations WHERE decision <= ? GROUP BY expert)"
    rows = {row.expert: row for row in reader.rows(AllocationRow, newest, (decision.decision,))}
    own = next(seq for seq, _ in reader.numbered(DecisionRow, "decision = ?", (decision.decision,)))
    config, instrument = _config(reader, manifest, own), manifest["instrument"]
    limit = float(config["risk"]["max_drawdown_fraction"])
    again = _weighed({name: rows[name] for name in aims if name in rows}, config["allocation"], limit)
    leader = name_of(decision.generation)
    shares = [
        _share(name=name, wanted=wanted, leads=name == leader, row=rows.get(name), again=again)
        for name, wanted in aims.items()
    ]
    total = again.target({name: aims[name] for name in again.experts})
    before, closing = _before(reader, decision, own)
    cost = turnover_cost(float(instrument["taker_fee"]), float(instrument["spread_bps"]))
    band = pursuit_band(float(config["execution"]["band_fraction"]), cost)
    how, same = _pursued(total, before, decision.target, band)
    if closing:
        how, same = "closing", decision.target == 0.0
    return Capital(
        shares=shares, sum=total, band=band, before=before, target=decision.target, how=how, same_target=same
    )


def _config(reader: JournalReader, manifest: dict[str, Any], seq: int) -> dict[str, Any]:
    """That of the start which a place in the journal belongs to; a run of one start has it in its manifest."""
    last = "seq = (SELECT max(seq) FROM notes WHERE seq < ? AND kind = ?)"
    began = next(reader.rows(NoteRow, last, (seq, BEGAN)), None)
    config: dict[str, Any] = manifest["config"] if began is None else json.loads(began.detail)["config"]
    return config


def _weighed(rows: dict[str, AllocationRow], config: dict[str, Any], limit: float) -> Allocator:
    """The allocator with the experts of `rows`, weighed anew.

    `config` is the section `allocation`, `limit` the fraction of its peak that the account may lose.
    """
    allocator = Allocator(AllocationConfig(prior=config["prior"]), limit)
    parts = shares_of_prior(rows, config["rules"])
    newest = max(rows.values(), key=lambda row: row.decision, default=None)
    if newest is not None:
        allocator.cushion = json.loads(newest.detail)["allocator"]["cushion"]
    for name, row in rows.items():
        said = json.loads(row.detail)
        evidence, unproven = GrowthEvidence(**said["evidence"]), said["unproven"]
        allocator.add(name, parts[name], evidence, unproven)
    return allocator


def _share(name: str, wanted: float, leads: bool, row: AllocationRow | None, again: Allocator) -> Share:
    """`again`: what the journal's evidence gives."""
    if row is None:
        return Share(
            expert=name,
            wanted=wanted,
            leads=leads,
            decision=None,
            weight=None,
            log_evidence=None,
            part=None,
            same_evidence=False,
            same_weight=False,
        )
    expert, part = again.experts[name], row.weight * wanted
    return Share(
        expert=name,
        wanted=wanted,
        leads=leads,
        decision=row.decision,
        weight=row.weight,
        log_evidence=row.log_evidence,
        part=part,
        same_evidence=expert.evidence.log_e == row.log_evidence,
        same_weight=expert.weight == row.weight,
    )


def _pursued(total: float, before: float | None, target: float, band: float) -> tuple[How, bool]:
    """The way `target` follows, and whether it is what follows."""
    if target == total:
        return "moved", True
    near = abs(total - target) < band and not (total == 0.0 and target != 0.0)
    return "stayed", near and before in (None, target)


def _before(reader: JournalReader, decision: DecisionRow, own: int) -> tuple[float | None, bool]:
    """(what was pursued at the decision before, or None; whether the account was being closed at this one)."""
    earlier = next(reader.numbered(DecisionRow, "decision = ?", (decision.decision - 1,)), None)
    if earlier is None:
        return 0.0, _closing(reader, own)
    seq, row = earlier
    began = next(reader.rows(NoteRow, "kind = 'start' AND seq > ? AND seq < ?", (seq, own)), None)
    if began is not None:
        return 0.0, _closing(reader, own)
    return (None if _closing(reader, seq) else row.target), _closing(reader, own)


def _closing(reader: JournalReader, seq: int) -> bool:
    """True if, at a place in the journal, the position was being closed on demand."""
    last = f"seq = (SELECT max(seq) FROM notes WHERE seq < ? AND kind IN ({','.join('?' * len(_STEERED))}))"
    note = next(reader.rows(NoteRow, last, (seq, *_STEERED)), None)
    if note is not None and note.kind == BEGAN:
        return bool(json.loads(note.detail)["flattening"])
    return note is not None and note.kind in (FLATTEN, "flattening")
