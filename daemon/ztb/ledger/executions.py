"""Changes of an account, read from its journal: executions with all that they cost, funding, capital that came."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from ztb.ledger.bookkeeper import BASE_FEE
from ztb.ledger.capital import OPENING, Adoption, Opening
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import ADOPTED, FillRow, NoteRow, OrderEventRow, OrderRow
from ztb.ledger.round_trips import Movement, Paid, PositionChange

_NEWEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Execution:
    """A fill, its sequence number, what the position changed by (signed), and what it cost in all, quote currency."""

    row: FillRow
    seq: int
    quantity: Decimal
    fee: Decimal


def executions(journal: JournalReader, last: int = _NEWEST) -> list[Execution]:
    """Every fill up to sequence number `last`, in order.

    What one cost in base currency stands right before it, and counts at its price.
    """
    costs = list(journal.numbered(OrderEventRow, "event = ? AND seq <= ?", (BASE_FEE, last)))
    costs.reverse()
    found: list[Execution] = []
    for seq, row in journal.numbered(FillRow, "seq <= ?", (last,)):
        base_fee = Decimal(0)
        while costs and costs[-1][0] < seq:
            base_fee += Decimal(costs.pop()[1].reason or "0")
        fee = Decimal(row.fee) + base_fee * Decimal(row.price)
        found.append(Execution(row, seq, row.side * Decimal(row.quantity) - base_fee, fee))
    return found


def movements(journal: JournalReader, last: int = _NEWEST) -> list[Movement]:
    """Everything that changed position or cash up to `last`, in order, but for cash that came or went."""
    generations = {row.order_id: row.generation for row in journal.rows(OrderRow, "seq <= ?", (last,))}
    found: list[tuple[int, Movement]] = []
    for one in executions(journal, last):
        row, generation = one.row, generations.get(one.row.order_id)
        traded = PositionChange(
            ts_ns=row.ts_ns,
            quantity=one.quantity,
            price=Decimal(row.price),
            fee=one.fee,
            order=row.order_id,
            generation=generation,
        )
        found.append((one.seq, traded))
    for seq, event in journal.numbered(OrderEventRow, "event = 'funded' AND seq <= ?", (last,)):
        found.append((seq, Paid(event.ts_ns, Decimal(event.reason or "0"))))
    for seq, note in journal.numbered(NoteRow, "kind IN (?, ?) AND seq <= ?", (OPENING, ADOPTED, last)):
        came = Opening.of(note) if note.kind == OPENING else Adoption.of(note)
        found.append((seq, PositionChange(note.ts_ns, came.position, Decimal(repr(came.price)))))
    return [movement for _, movement in sorted(found, key=lambda item: item[0])]
