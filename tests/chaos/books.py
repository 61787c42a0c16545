"""What we say of our trading once the dust has settled, in the terms of `truth`."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from chaos.truth import Traded, by_number
from ztb.ledger.accounts import Account
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import FillRow, NoteRow, OrderEventRow, OrderRow
from ztb.runtime.session import Session

_ENDS = {"rejected", "cancelled", "expired"}


@dataclass(frozen=True)
class Books:
    """`cash` and `position` as the ledger has them; the rest is the journal's.

    `ends`: by client id, how each order ended that we do not say was refused; nothing for one that was filled.
    """

    cash: Decimal
    position: Decimal
    fills: list[Traded]
    ends: dict[str, set[str]]
    mismatches: int


def books_of(folder: Path, account: Account) -> Books:
    """Read off the journal in `folder`, and off `account`."""
    reader = JournalReader(folder / "journal.sqlite")
    client_ids = {row.order_id: row.client_id for row in reader.rows(OrderRow)}
    fills, events = list(reader.rows(FillRow)), list(reader.rows(OrderEventRow))
    mismatches = sum(row.kind == "mismatch" for row in reader.rows(NoteRow))
    reader.close()
    ours = [
        Traded(row.fill_id, client_ids[row.order_id], row.side, Decimal(row.price), Decimal(row.quantity))
        for row in fills
    ]
    ends: dict[str, set[str]] = {client_id: set() for client_id in client_ids.values()}
    for event in events:
        ends[client_ids[event.order_id]] |= {event.event} & _ENDS
    arrived = {client_id: end for client_id, end in ends.items() if end != {"rejected"}}
    return Books(account.exact_cash, account.exact_position, sorted(ours, key=by_number), arrived, mismatches)


def books_now(folder: Path, session: Session) -> Books:
    """Of a run that goes on: what it has appended is on disk first, which a busy machine's writer may be behind with."""
    session.journal.flush()
    return books_of(folder, session.books.account)
