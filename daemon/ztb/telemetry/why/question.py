"""What is asked about: an order, a fill, a refusal or a moment, and the decision behind it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from ztb.errors import DataError, UsageError
from ztb.ledger.journal import JournalReader
from ztb.ledger.records import DecisionRow, FillRow, OrderRow, Record, RefusalRow

_LEAST_TIME_NS = 10**15
_FORMS = "an order's number or client id, fill:N, refusal:N, or a time (ISO 8601, or nanoseconds since 1970)"


@dataclass(frozen=True, slots=True)
class Subject:
    """The decision asked about. `order_id`, `fill_id`, `refusal` (from 1) say what of it; None where not asked."""

    decision: DecisionRow
    order_id: int | None = None
    fill_id: int | None = None
    refusal: int | None = None


def find(reader: JournalReader, what: str) -> Subject:
    """The subject that `what` names. UsageError: it names nothing in this run, or is of no known form."""
    kind, _, rest = what.partition(":")
    if kind == "fill" and rest.isdecimal():
        return _of_fill(reader, int(rest))
    if kind == "refusal" and rest.isdecimal():
        return _of_refusal(reader, int(rest))
    if what.isdecimal():
        return (
            _at(reader, int(what))
            if int(what) >= _LEAST_TIME_NS
            else _of_order(reader, "order_id", int(what))
        )
    moment = _moment(what)
    return _of_order(reader, "client_id", what) if moment is None else _at(reader, moment)


def _moment(text: str) -> int | None:
    """ISO 8601 as nanoseconds; UTC where it names no zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000


def _of_order(reader: JournalReader, column: str, key: int | str) -> Subject:
    order = next(reader.rows(OrderRow, f"{column} = ?", (key,)), None)
    if order is None:
        known = [row.order_id for row in reader.rows(OrderRow)]
        have = f"it has {known[0]} to {known[-1]}" if known else "it sent none"
        raise UsageError(f"{reader.path.parent}: no order {key!r} in this run ({have}); ask for {_FORMS}")
    return Subject(_decision(reader, order.decision), order_id=order.order_id)


def _of_fill(reader: JournalReader, fill_id: int) -> Subject:
    fill = next(reader.rows(FillRow, "fill_id = ?", (fill_id,)), None)
    if fill is None:
        raise UsageError(
            f"{reader.path.parent}: no fill {fill_id} in this run, which has {_count(reader, FillRow)}"
        )
    subject = _of_order(reader, "order_id", fill.order_id)
    return Subject(subject.decision, fill.order_id, fill_id)


def _of_refusal(reader: JournalReader, number: int) -> Subject:
    where = "seq = (SELECT seq FROM refusals ORDER BY seq LIMIT 1 OFFSET ?)"
    refusal = next(reader.rows(RefusalRow, where, (number - 1,)), None) if number > 0 else None
    if refusal is None:
        have = _count(reader, RefusalRow)
        raise UsageError(f"{reader.path.parent}: no refusal {number} in this run, which has {have}")
    return Subject(_decision(reader, refusal.decision), refusal=number)


def _at(reader: JournalReader, ts_ns: int) -> Subject:
    """The last decision at or before a moment."""
    where = "seq = (SELECT max(seq) FROM decisions WHERE ts_ns <= ?)"
    decision = next(reader.rows(DecisionRow, where, (ts_ns,)), None)
    if decision is None:
        raise UsageError(f"{reader.path.parent}: no decision had been made by then; ask for a later time")
    return Subject(decision)


def _decision(reader: JournalReader, number: int) -> DecisionRow:
    decision = next(reader.rows(DecisionRow, "decision = ?", (number,)), None)
    if decision is None:
        raise DataError(
            f"{reader.path}: decision {number} is missing: the run was killed before it was written"
        )
    return decision


def _count(reader: JournalReader, record: type[Record]) -> int:
    return sum(1 for _ in reader.rows(record))
