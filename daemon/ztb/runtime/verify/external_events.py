"""External events of a session, by place: after how many rows of ticks, and after how many decisions."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from ztb.errors import DataError
from ztb.execution.orders import (
    Accepted,
    Cancelled,
    CancelRejected,
    CancelRequested,
    Expired,
    Filled,
    OrderEvent,
    Rejected,
    SubmitUnknown,
)
from ztb.ledger.bookkeeper import BASE_FEE, OTHER_FEE
from ztb.ledger.capital import Adoption
from ztb.ledger.records import (
    ADOPTED,
    CANCEL_ALL,
    COLLECTED,
    FLATTEN,
    HOLDS,
    LIMITS_LIFTED,
    DecisionRow,
    FillRow,
    NoteRow,
    OrderEventRow,
)
from ztb.runtime.recovery.past import Past
from ztb.runtime.verify.record import RecordedStart

_STEERED = frozenset({"halted", "resumed"})
"""Commands after which nothing is flattened any more."""
_TOLD = _STEERED | {ADOPTED, LIMITS_LIFTED, HOLDS}
"""Kinds of notes whose JSON says after how many `rows` it was."""


@dataclass(frozen=True, slots=True)
class VenueReport:
    """A word of the venue on an order; `side` of the order, where it is a fill."""

    event: OrderEvent
    side: int = 0


@dataclass(slots=True)
class ExternalEvent:
    """Something of `kind` (of a note) that happened after `rows` of this start and `decisions` in all, at `ts_ns`.

    Where that is the kind: `reports`: what was collected, `adoption`: what was taken over from the venue, `equity`:
    from what losses are counted anew, `holds`: what holds new risk back.
    """

    kind: str
    rows: int
    decisions: int
    ts_ns: int
    reports: list[VenueReport] = field(default_factory=list[VenueReport])
    adoption: Adoption | None = None
    equity: float = 0.0
    holds: tuple[str, ...] = ()


def inputs(start: RecordedStart, past: Past | None) -> deque[ExternalEvent]:
    """Those of `start`, in order, after `past`."""
    found: deque[ExternalEvent] = deque()
    last = past.marks.last if past else None
    decisions = last.decision + 1 if last else 0
    reader = _Reports(past.filled if past else {})
    for _, row in start.rows:
        if isinstance(row, DecisionRow):
            decisions += 1
        elif isinstance(row, NoteRow):
            place = _place(row)
            if place is not None:
                found.append(_event_of(row, place, decisions))
        elif isinstance(row, FillRow | OrderEventRow) and found and found[-1].kind == COLLECTED:
            found[-1].reports += reader.read(row)
    return found


def _event_of(note: NoteRow, place: int, decisions: int) -> ExternalEvent:
    told = json.loads(note.detail) if note.kind in (LIMITS_LIFTED, HOLDS) else {}
    adoption = Adoption.of(note) if note.kind == ADOPTED else None
    return ExternalEvent(
        note.kind,
        place,
        decisions,
        note.ts_ns,
        adoption=adoption,
        equity=told.get("equity", 0.0),
        holds=tuple(told.get("holds", ())),
    )


def _place(note: NoteRow) -> int | None:
    """After how many rows `note` tells of something that came from outside; None if it does not."""
    if note.kind in (COLLECTED, CANCEL_ALL, FLATTEN):
        return int(note.detail)
    return int(json.loads(note.detail)["rows"]) if note.kind in _TOLD else None


@dataclass(slots=True)
class _Reports:
    """Makes reports of rows; what a fill costs beside its quote currency stands in rows before it."""

    filled: dict[int, int]
    base_fee: Decimal = Decimal(0)
    other_fee: str = ""

    def read(self, row: FillRow | OrderEventRow) -> Iterable[VenueReport]:
        if isinstance(row, FillRow):
            yield VenueReport(self._fill(row), row.side)
        elif row.event == BASE_FEE:
            self.base_fee = Decimal(row.reason or "0")
        elif row.event == OTHER_FEE:
            self.other_fee = row.reason or ""
        else:
            yield VenueReport(_event(row))

    def _fill(self, row: FillRow) -> Filled:
        self.filled[row.order_id] = self.filled.get(row.order_id, 0) + row.lots
        fill = Filled(
            order_id=row.order_id,
            ts_ns=row.ts_ns,
            fill_id=row.fill_id,
            lots=row.lots,
            price_ticks=row.price_ticks,
            liquidity="maker" if row.liquidity == "maker" else "taker",
            cumulative_lots=self.filled[row.order_id],
            fee=Decimal(row.fee),
            base_fee=self.base_fee,
            other_fee=self.other_fee,
        )
        self.base_fee, self.other_fee = Decimal(0), ""
        return fill


_EVENTS: dict[str, Callable[[OrderEventRow], OrderEvent]] = {
    "accepted": lambda row: Accepted(row.order_id, row.ts_ns),
    "rejected": lambda row: Rejected(row.order_id, row.ts_ns, row.reason or ""),
    "submitunknown": lambda row: SubmitUnknown(row.order_id, row.ts_ns, row.reason or ""),
    "cancelrequested": lambda row: CancelRequested(row.order_id, row.ts_ns),
    "cancelrejected": lambda row: CancelRejected(row.order_id, row.ts_ns, row.reason or ""),
    "cancelled": lambda row: Cancelled(row.order_id, row.ts_ns, row.remaining_lots or 0),
    "expired": lambda row: Expired(row.order_id, row.ts_ns, row.remaining_lots or 0),
}


def _event(row: OrderEventRow) -> OrderEvent:
    make = _EVENTS.get(row.event)
    if make is None:
        raise DataError(
            f"order {row.order_id}: {row.event!r} is nothing that a venue reports: a newer ztb wrote it"
        )
    return make(row)
