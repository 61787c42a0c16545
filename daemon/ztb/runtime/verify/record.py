"""The record of a session, cut into its starts: what each was made of, its rows of the journal, its files of ticks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

from ztb.errors import DataError
from ztb.execution.orders import is_protective
from ztb.ledger.capital import OPENING, Opening
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import (
    BEGAN,
    CONSUMED,
    GONE_ON,
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
