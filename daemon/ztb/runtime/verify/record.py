"""The record of a session, cut into its starts: what each was made of, its rows of the journal, its files of ticks, and
what its learner was told that does not follow from those.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

from ztb.errors import DataError
from ztb.execution.orders import is_protective
from ztb.learning.process.feed import numbers
from ztb.learning.process.supervisor import WINDOW_SKIPPED
from ztb.learning.service.base import BY_HAND, NOT_HELPING
from ztb.learning.service.process import SET_BACK
from ztb.learning.service.promotion import MADE_ANEW, UPDATE_DROPPED
from ztb.ledger.capital import OPENING, Opening
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import (
    BEGAN,
    CONSUMED,
    GONE_ON,
    LOSS_LIMIT,
    RECORDING_LOST,
    RECORDS,
    DecisionRow,
    GenerationRow,
    MarkRow,
    NoteRow,
    OrderRow,
    Record,
    UpdateRow,
)
from ztb.ledger.run_directory import RunDirectory
from ztb.market.recorder import recordings
from ztb.runtime.modes.paper import ticks_of

Rows: TypeAlias = list[tuple[int, Record]]
"""Rows of the journal, each with its sequence number."""

_TRADED = tuple(r for r in RECORDS if r not in (GenerationRow, UpdateRow, MarkRow, NoteRow))


@dataclass(frozen=True, slots=True)
class RecordedStart:
    """One start of a session: its `number` from 1, what it was `made_of`, and its rows in order."""

    number: int
    made_of: dict[str, Any]
    first_seq: int
    rows: Rows
    files: tuple[Path, ...]
    """Of ticks, up to the first that is gone."""
    missing: tuple[str, ...]
    """Files of ticks that are gone."""

    @property
    def traded(self) -> list[Record]:
        """The rows compared: decisions, orders and their events, fills, refusals."""
        return traded(self.rows)

    @property
    def decisions(self) -> list[DecisionRow]:
        """Those that it made."""
        return [row for _, row in self.rows if isinstance(row, DecisionRow)]

    @property
    def consumed(self) -> int | None:
        """Rows of ticks that it had traded on when it ended in order; None if it was killed."""
        return next((int(note.detail) for note in self.notes(CONSUMED)), None)

    @property
    def recorded(self) -> int | None:
        """Rows of ticks before the first that could not be recorded; None: all were."""
        return min((int(note.detail) for note in self.notes(RECORDING_LOST)), default=None)

    def notes(self, kind: str) -> Iterator[NoteRow]:
        """Those of a kind, in order."""
        return (row for _, row in self.rows if isinstance(row, NoteRow) and row.kind == kind)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A session's record. Every start in it made a decision."""

    directory: RunDirectory
    manifest: dict[str, Any]
    opening: Opening
    starts: list[RecordedStart]
    digests: dict[int, str]
    """Of the weights of each generation, as journaled."""

    @property
    def decisions(self) -> int:
        """The number of decisions made."""
        return sum(len(start.decisions) for start in self.starts)


def read_recorded(directory: RunDirectory) -> Recorded:
    """The record of a session. DataError: it made no decision, or does not say what it takes to repeat it."""
    manifest = directory.read_json(directory.manifest)
    rows = read_rows(directory.journal)
    opening = next((row for _, row in rows if isinstance(row, NoteRow) and row.kind == OPENING), None)
    starts = [start for start in _starts(directory, rows) if start.decisions]
    if not starts or opening is None:
        raise DataError(f"{directory.path}: made no decision: there is nothing to repeat")
    digests = {row.generation: row.weights_sha256 for _, row in rows if isinstance(row, GenerationRow)}
    return Recorded(
        directory=directory, manifest=manifest, opening=Opening.of(opening), starts=starts, digests=digests
    )


def read_rows(journal: Path) -> Rows:
    """All rows of a journal in order."""
    reader = JournalReader(journal)
    try:
        found = [numbered for record in RECORDS for numbered in reader.numbered(record)]
    finally:
        reader.close()
    return sorted(found, key=lambda numbered: numbered[0])


def traded(rows: Rows) -> list[Record]:
    """Of `rows`, what a repetition has to make again: decisions, orders and their events, fills, refusals.

    Protective stops no decision asked for: what came of them is told as the venue's word.
    """
    return [row for _, row in rows if isinstance(row, _TRADED) and not _is_stop(row)]


def _is_stop(row: Record) -> bool:
    return isinstance(row, OrderRow) and is_protective(row.order_id)


def _starts(directory: RunDirectory, rows: Rows) -> Iterator[RecordedStart]:
    """Each start that came as far as to say what it was made of; one that did not has traded nothing."""
    files = recordings(ticks_of(directory))
    parts = _parts(rows)
    made_of = [_made_of(directory, part) for part in parts]
    begun = [(part, facts) for part, facts in zip(parts, made_of, strict=True) if facts is not None]
    firsts = [*(facts["first_file"] for _, facts in begun), 1 + max(files, default=0)]
    for number, ((part, facts), (first, end)) in enumerate(zip(begun, pairwise(firsts), strict=True), 1):
        gone = [n for n in range(first, end) if n not in files]
        own = tuple(files[n] for n in range(first, gone[0] if gone else end))
        yield RecordedStart(
            number=number,
            made_of=facts,
            first_seq=part[0][0],
            rows=part,
            files=own,
            missing=tuple(f"ticks/{n:06}.ticks" for n in gone),
        )


def _parts(rows: Rows) -> list[Rows]:
    parts: list[Rows] = [[]]
    for seq, row in rows:
        if isinstance(row, NoteRow) and row.kind == GONE_ON:
            parts.append([])
        parts[-1].append((seq, row))
    return [part for part in parts if part]


def _made_of(directory: RunDirectory, part: Rows) -> dict[str, Any] | None:
    """DataError: it traded, and does not say what it was made of."""
    for _, row in part:
        if isinstance(row, NoteRow) and row.kind == BEGAN:
            facts: dict[str, Any] = json.loads(row.detail)
            return facts
    if any(isinstance(row, DecisionRow) for _, row in part):
        raise DataError(
            f"{directory.path}: was recorded by a version that did not write down what its starts were made of: "
            "replay its ticks with --data instead"
        )
    return None


@dataclass(frozen=True, slots=True)
class Made:
    """A generation, and the update whose candidate it was, or, where memory ran short, after which it was kept."""

    update: int
    row: GenerationRow
    kept: bool

    @property
    def name(self) -> str:
        return f"generation {self.row.generation} (of update {self.update})"


@dataclass(slots=True)
class LearnerRecord:
    """Everything by decision is by the one that completed a transition.

    `unlearnt`: transitions that never reached the learner; `unheard`: decisions that its window never heard of, which
    began anew after each number of rows in `skips` besides. `set_backs`: before which transition it went back to which
    generation; of those in `anew` it kept no moments. `serving`: who served when a transition was complete;
    `halvings`: of its minibatches. `dropped`: updates that did not happen since something was not finite.
    """

    inline: bool
    unlearnt: set[int] = field(default_factory=set[int])
    unheard: set[int] = field(default_factory=set[int])
    skips: list[int] = field(default_factory=list[int])
    set_backs: dict[int, int] = field(default_factory=dict[int, int])
    serving: dict[int, int] = field(default_factory=dict[int, int])
    halvings: dict[int, int] = field(default_factory=dict[int, int])
    dropped: set[int] = field(default_factory=set[int])
    anew: set[int] = field(default_factory=set[int])
    updates: list[UpdateRow] = field(default_factory=list[UpdateRow])
    made: list[Made] = field(default_factory=list["Made"])

    @property
    def targets(self) -> set[int]:
        """Generations that the learner went back to."""
        return set(self.set_backs.values())


def learner_record(start: RecordedStart) -> LearnerRecord:
    """Read from the journal."""
    return _Reading(start).record


class _Reading:
    """Goes through the rows in order. `_now`: the last decision so far."""

    def __init__(self, start: RecordedStart) -> None:
        self.record = LearnerRecord(start.made_of["learner"] == "inline")
        self._now = start.decisions[0].decision - 1
        self._freezes: set[str] = set()
        self._paused = False
        self._halvings = 0
        self._alarm = False
        self._eras: list[int] = [start.made_of["generation"] or 0]
        self._anew: set[int] = set()  # eras
        for _, row in start.rows:
            if isinstance(row, DecisionRow):
                self._decided(row)
            elif isinstance(row, NoteRow):
                self._noted(row)
            elif isinstance(row, GenerationRow):
                self._lived(row, json.loads(row.detail))
            elif isinstance(row, UpdateRow):
                self.record.updates.append(row)

    def _decided(self, row: DecisionRow) -> None:
        self._now = row.decision
        self.record.serving[row.decision] = row.generation
        self.record.halvings[row.decision] = self._halvings
        if self._freezes or self._paused:
            self.record.unlearnt.add(row.decision)

    def _noted(self, note: NoteRow) -> None:
        record = self.record
        match note.kind:
            case "frozen" | "unfrozen":
                self._freezes -= {BY_HAND, NOT_HELPING}
                self._freezes |= {BY_HAND} if note.kind == "frozen" else set()
            case "learning_frozen":
                self._frozen_meanwhile(NOT_HELPING, True)
            case _ if note.kind == LOSS_LIMIT:
                told = json.loads(note.detail)
                self._frozen_meanwhile(told["limit"], told["rung"] > 0)
            case "memory_pause" | "memory_resume":
                self._paused = note.kind == "memory_pause"
            case "memory_shrink":
                self._halvings = json.loads(note.detail)["halvings"]
            case "transitions_dropped":
                record.unlearnt.update(numbers(json.loads(note.detail)["decisions"]))
            case "window_broken":
                record.unheard.update(numbers(json.loads(note.detail)["decisions"]))
            case _ if note.kind == WINDOW_SKIPPED:
                record.skips.append(json.loads(note.detail)["rows"])
            case _ if note.kind == SET_BACK:
                told = json.loads(note.detail)
                self._went_back(told["before_decision"], told["era"])
            case _ if note.kind == UPDATE_DROPPED:
                record.dropped.add(json.loads(note.detail)["update"])
            case _ if note.kind == MADE_ANEW:
                self._begun_anew(json.loads(note.detail)["generation"])
            case _:
                pass

    def _frozen_meanwhile(self, why: str, frozen: bool) -> None:
        """Found between a decision and its transition, which is learnt from if nothing freezes learning by then."""
        self._freezes = self._freezes | {why} if frozen else self._freezes - {why}
        if self._freezes:
            self.record.unlearnt.add(self._now)
        elif not self._paused:
            self.record.unlearnt.discard(self._now)

    def _went_back(self, before: int, era: int) -> None:
        """The learner in a process said so. DataError: nothing in the journal says why."""
        if era >= len(self._eras):
            raise DataError(
                f"journal: the learner was set back before decision {before}, but no row says to which generation: "
                "rows are missing, restore it from a copy"
            )
        self.record.set_backs[before] = self._eras[era]
        if era in self._anew:
            self.record.anew.add(before)

    def _begun_anew(self, generation: int) -> None:
        """Inline, between the transition whose update was dropped and the next; in a process when it says so."""
        self._anew.add(len(self._eras))
        self._eras.append(generation)
        if self.record.inline:
            self.record.set_backs[self._now + 1] = generation
            self.record.anew.add(self._now + 1)

    def _lived(self, row: GenerationRow, detail: dict[str, Any]) -> None:
        """A transition completes after the alarms have been looked at; inline, after the gate's verdicts too."""
        record = self.record
        if row.event == "made" and "update" in detail:
            record.made.append(Made(detail["update"], row, "kept" in detail))
        elif row.event == "rolled_back":
            self._alarm = detail["reason"] != "manual"
        elif row.event == "restored":
            self._eras.append(row.generation)
            if record.inline:
                record.set_backs[self._now if self._alarm else self._now + 1] = row.generation
            if self._alarm:
                record.serving[self._now] = row.generation
        elif row.event == "promoted" and record.inline and detail.get("reason") != "manual":
            record.serving[self._now] = row.generation
