"""The data of a run, read back for its report: columns of the journal, and the two JSON files where they exist."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.errors import DataError
from ztb.ledger.executions import Execution, executions, movements
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.looks import Look, Looks
from ztb.ledger.records import (
    DecisionRow,
    FillRow,
    GenerationRow,
    MarkRow,
    NoteRow,
    OrderEventRow,
    OrderRow,
    Record,
    RefusalRow,
    UpdateRow,
)
from ztb.ledger.round_trips import Movement
from ztb.ledger.run_directory import RunDirectory
from ztb.telemetry.experts import ExpertCourse, expert_courses

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Marks:
    """Equity at each of N decisions, every array (N,): quote currency, `position` base currency, nan where unknown."""

    ts_ns: Ints
    mid: Floats
    position: Floats
    equity: Floats
    fees: Floats
    hold: Floats
    frozen: Floats

    @property
    def exposure(self) -> Floats:
        """Position value over equity; 0 where there is no equity."""
        return np.divide(
            self.position * self.mid, self.equity, out=np.zeros_like(self.equity), where=self.equity > 0
        )

    @property
    def drawdown(self) -> Floats:
        """1 − equity over its peak so far."""
        return 1.0 - self.equity / np.maximum.accumulate(self.equity)


@dataclass(frozen=True, slots=True)
class Decisions:
    """The choice at each of N decisions, every array (N,)."""

    ts_ns: Ints
    number: Ints
    generation: Ints
    size: Ints
    timing: Ints
    target: Floats
    mid: Floats
    tainted: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RunData:
    """A run as far as it got. `summary` is None while it runs and after a kill; `manifest` empty if it is missing.

    `movements` is everything that changed the account, `executions` are its fills; both in order.
    `looks`: all that saw anything of the span that it traded, itself included where it came to its end.
    """

    name: str
    manifest: dict[str, Any]
    summary: dict[str, Any] | None
    symbol: str
    marks: Marks
    decisions: Decisions
    orders: list[OrderRow]
    events: list[OrderEventRow]
    executions: list[Execution]
    movements: list[Movement]
    refusals: list[RefusalRow]
    generations: list[GenerationRow]
    updates: list[UpdateRow]
    notes: list[NoteRow]
    experts: tuple[ExpertCourse, ...] = ()
    folder: str = ""
    """Where it lies, as commands name it."""
    looks: tuple[Look, ...] = ()

    @property
    def fills(self) -> list[FillRow]:
        """As they were reported."""
        return [one.row for one in self.executions]

    @property
    def ladder(self) -> tuple[float, ...]:
        """The exposures that sizes stand for; those chosen, where the manifest does not say."""
        known = self.manifest.get("ladder")
        return tuple(known) if known else tuple(np.unique(self.decisions.target).tolist())

    @property
    def learnt_had_weight(self) -> bool:
        """True if anything that was learnt after generation 0 ever had a share of the account that follows experts."""
        return any(bool((one.weight > 0.0).any()) for one in self.experts if one.generation)

    @property
    def base_quote(self) -> tuple[str, str]:
        """Names of the two currencies."""
        base, _, quote = self.symbol.partition("/")
        return base, quote.partition(":")[0]


def load_run(directory: RunDirectory) -> RunData:
    """Read a run. DataError: there is no journal, or it is not one that this ztb can read."""
    reader = JournalReader(directory.journal)
    with contextlib.closing(reader):
        symbol, decisions = _decisions(reader)
        manifest = _json(directory, "manifest") or {}
        marks = _marks(reader)
        return RunData(
            name=directory.path.resolve().name,
            manifest=manifest,
            summary=_json(directory, "summary"),
            symbol=symbol or str(manifest.get("instrument", {}).get("symbol", "")),
            marks=marks,
            decisions=decisions,
            orders=list(reader.rows(OrderRow)),
            events=list(reader.rows(OrderEventRow)),
            executions=executions(reader),
            movements=movements(reader),
            refusals=list(reader.rows(RefusalRow)),
            generations=list(reader.rows(GenerationRow)),
            updates=list(reader.rows(UpdateRow)),
            notes=list(reader.rows(NoteRow)),
            experts=expert_courses(reader),
            folder=str(directory.path),
            looks=_looks(directory, manifest, marks),
        )


def _json(directory: RunDirectory, which: str) -> dict[str, Any] | None:
    """A JSON file of the run, or None if it was never written. A damaged one is an error."""
    path = getattr(directory, which)
    return directory.read_json(path) if path.exists() else None


def _looks(directory: RunDirectory, manifest: dict[str, Any], marks: Marks) -> tuple[Look, ...]:
    data = manifest.get("content_digest")
    if data is None or not len(marks.ts_ns):
        return ()
    return tuple(Looks.beside(directory.path).at(data, int(marks.ts_ns[0]), int(marks.ts_ns[-1])))


_DTYPES: dict[str, type] = {"int": np.int64, "float": np.float64, "bool": np.bool_, "str": np.object_}


def _columns(reader: JournalReader, record: type[Record], names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Columns of a table by name, each (N,): numbers, nan where there is none, or text."""
    dtypes = [_DTYPES[str(record.__annotations__[name]).split(" | ")[0]] for name in names]
    parts: list[list[NDArray[Any]]] = [[np.empty(0, dtype)] for dtype in dtypes]
    for batch in reader.columns(record, names):
        for part, values, dtype in zip(parts, batch, dtypes, strict=True):
            part.append(np.array(values, dtype))
    return {name: np.concatenate(part) for name, part in zip(names, parts, strict=True)}


def _marks(reader: JournalReader) -> Marks:
    names = ("ts_ns", "mid", "position", "equity", "fees", "hold_equity", "frozen_equity")
    return Marks(*_columns(reader, MarkRow, names).values())


def _decisions(reader: JournalReader) -> tuple[str, Decisions]:
    names = ("ts_ns", "decision", "generation", "action_size", "action_timing", "target", "mid", "tainted")
    columns = _columns(reader, DecisionRow, (*names, "symbol"))
    symbols = sorted(set(columns.pop("symbol")))
    if len(symbols) > 1:
        raise DataError(f"{reader.path}: decisions on {', '.join(symbols)}; a run has one symbol")
    return (symbols or [""])[0], Decisions(*columns.values())
