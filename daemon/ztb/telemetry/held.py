"""Holds on the trading of a run, from the notes of its journal, in the words in which its daemon said it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ztb.execution.risk import Rung
from ztb.ledger.records import HOLDS, LOSS_LIMIT, NoteRow
from ztb.telemetry.conditions import Condition, Kind, Wording


@dataclass(slots=True)
class Held:
    """A condition and when it was over, event time; None: it held to the end."""

    condition: Condition
    over_ns: int | None = None


def held(notes: Iterable[NoteRow], folder: str) -> list[Held]:
    """All of them, in order of their beginning; `folder` is the run's."""
    found: list[Held] = []
    present: dict[Kind, Held] = {}
    reading = _Reading(Wording(folder))
    for note in notes:
        for kind, condition in reading.changes(note):
            if kind in present:
                present.pop(kind).over_ns = note.ts_ns
            if condition is not None:
                present[kind] = Held(condition)
                found.append(present[kind])
    return found


class _Reading:
    """The change that each note makes: the kind of condition, and the condition, None where it is over."""

    def __init__(self, words: Wording) -> None:
        self._words = words
        self._holds: set[str] = set()

    def changes(self, note: NoteRow) -> Iterator[tuple[Kind, Condition | None]]:
        if note.kind in ("halted", "flattening"):
            told = json.loads(note.detail)
            since_ns = told.get("since_ns", note.ts_ns)
            words = self._words.halted if note.kind == "halted" else self._words.flattening
            for other in _OTHER[note.kind]:
                yield other, None
            yield (
                ("halted" if note.kind == "halted" else "flattening"),
                words(told["reason"], told["origin"], since_ns),
            )
        elif note.kind == "resumed":
            yield "halted", None
            yield "flattening", None
        elif note.kind == LOSS_LIMIT:
            told = json.loads(note.detail)
            rung, since_ns = Rung(told["rung"]), told.get("since_ns", note.ts_ns)
            yield (
                told["limit"],
                None if rung is Rung.FREE else self._words.loss_limit(told["limit"], rung, since_ns),
            )
        elif note.kind == "start":
            yield from self._held(note.ts_ns, {})
        elif note.kind == HOLDS:
            told = json.loads(note.detail)
            yield from self._held(told.get("since_ns", note.ts_ns), told["holds"])

    def _held(self, since_ns: int, holds: dict[str, str]) -> Iterator[tuple[Kind, Condition | None]]:
        for name, (kind, words) in _HOLDS.items():
            if (name in holds) is not (name in self._holds):
                yield kind, words(self._words, holds[name], since_ns) if name in holds else None
        self._holds = set(holds)


_OTHER: dict[str, tuple[Kind, ...]] = {"halted": ("flattening",), "flattening": ("halted",)}
_HOLDS: dict[str, tuple[Kind, Callable[[Wording, str, int], Condition]]] = {
    "not armed": ("disarmed", Wording.disarmed),
    "stale market data": (
        "stale_market_data",
        lambda words, cause, since: words.stale(cause, "warning", since),
    ),
    "clock skew": ("clock_skew", Wording.skewed),
    "not reconciled": ("not_reconciled", lambda words, _cause, since: words.not_reconciled("info", since)),
}
