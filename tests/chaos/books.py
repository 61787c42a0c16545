"""What must hold once the dust has settled: our journal and ledger against what really happened at the venue."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

from chaos.truth import Traded, Truth
from ztb.ledger.accounts import Account
from ztb.ledger.journal import JournalReader
from ztb.ledger.records import FillRow, NoteRow, OrderEventRow, OrderRow

_OPEN = {"NEW", "PARTIALLY_FILLED"}
_ENDS = {
    "FILLED": set[str](),
    "CANCELED": {"cancelled"},
    "EXPIRED": {"expired"},
    "EXPIRED_IN_MATCH": {"expired"},
}


def check_account(truth: Truth, account: Account) -> None:
    """To the last unit."""
    assert (account.exact_cash, account.exact_position) == (truth.cash, truth.position)


def check_journal(truth: Truth, folder: Path) -> None:
    """Each intent was at the venue once at most, nothing else was, and each fill is in the journal once."""
    reader = JournalReader(folder / "journal.sqlite")
    intents = {row.client_id: row for row in reader.rows(OrderRow)}
    fills, events = list(reader.rows(FillRow)), list(reader.rows(OrderEventRow))
    notes = {row.kind for row in reader.rows(NoteRow)}
    reader.close()
    copies = Counter(client_id for client_id, _ in truth.orders)
    assert copies.keys() <= intents.keys(), "the venue took an order that was never intended"
    assert all(count == 1 for count in copies.values()), "the venue took an order twice"
    client_ids = {row.order_id: client_id for client_id, row in intents.items()}
    ours = [
        Traded(row.fill_id, client_ids[row.order_id], row.side, Decimal(row.price), Decimal(row.quantity))
        for row in fills
    ]
    assert sorted(ours, key=_number) == sorted(truth.fills, key=_number)
    _check_ends(dict(truth.orders), intents, events)
    assert "mismatch" not in notes


def _number(fill: Traded) -> int:
    return fill.trade_id


def _check_ends(placed: dict[str, str], intents: dict[str, OrderRow], events: list[OrderEventRow]) -> None:
    """What we say of each order's end is what became of it."""
    said: dict[int, set[str]] = {}
    for event in events:
        said.setdefault(event.order_id, set()).add(event.event)
    for client_id, intent in intents.items():
        ends = said.get(intent.order_id, set()) & {"rejected", "cancelled", "expired"}
        status = placed.get(client_id)
        assert status not in _OPEN, f"{client_id} is open"
        expected = {"rejected"} if status is None else _ENDS[status]
        assert ends == expected, f"{client_id}: {status} at the venue, {ends} in the journal"
