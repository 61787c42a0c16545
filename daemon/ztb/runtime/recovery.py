"""What earlier runs on the same folder left, read from their journal alone, and put back in its place."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import msgspec

from ztb.execution.order_states import OrderProgress, OrderState
from ztb.execution.orders import Filled, OpenOrder, OrderRequest, OrderType, TimeInForce
from ztb.execution.risk import Proposal, RiskGate
from ztb.ledger.bookkeeper import BASE_FEE
from ztb.ledger.journal import JournalReader
from ztb.ledger.records import (
    ADOPTED,
    FillRow,
    GenerationRow,
    MarkRow,
    NoteRow,
    OrderEventRow,
    OrderRow,
    RefusalRow,
    UpdateRow,
)
from ztb.runtime.adoption import Adoption
from ztb.runtime.engine import Progress

OPENING = "opening"
"""Kind of the note that says what an account began with."""

_ALL = 2**62
_OVER = frozenset({"rejected", "cancelled", "expired"})


@dataclass(frozen=True, slots=True)
class Booked:
    """A fill and the side of its order."""

    side: int
    fill: Filled


@dataclass(frozen=True, slots=True)
class Opening:
    """What an account began with: `cash` quote and `position` base currency, exact, worth `price` each."""

    cash: Decimal
    position: Decimal = Decimal(0)
    price: float = 0.0

    @property
    def equity(self) -> float:
        """Quote currency."""
        return float(self.cash) + float(self.position) * self.price

    def note(self, ts_ns: int) -> NoteRow:
        """As it is journaled."""
        facts = {"cash": f"{self.cash:f}", "position": f"{self.position:f}", "price": self.price}
        return NoteRow(ts_ns, OPENING, json.dumps(facts, sort_keys=True))

    @classmethod
    def of(cls, note: NoteRow) -> Opening:
        """What `note` says."""
        told = json.loads(note.detail)
        return cls(Decimal(told["cash"]), Decimal(told["position"]), told["price"])


@dataclass(slots=True)
class Past:
    """See the module. `open_orders` may still have fills that nobody heard of; quantities are of their intents.

    `marks` are as if what was adopted after them had been there before.
    """

    last_ts_ns: int = 0
    opening: Opening | None = None
    booked: list[Booked] = field(default_factory=list[Booked])
    open_orders: list[OpenOrder] = field(default_factory=list[OpenOrder])
    client_ids: dict[int, str] = field(default_factory=dict[int, str])
    adoptions: list[Adoption] = field(default_factory=list[Adoption])
    funding: list[Decimal] = field(default_factory=list[Decimal])
    orders: list[OrderRow] = field(default_factory=list[OrderRow])
    marks: list[MarkRow] = field(default_factory=list[MarkRow])
    rejects: int = 0
    refusals: int = 0
    updates: int = 0
    generations: list[GenerationRow] = field(default_factory=list[GenerationRow])

    @property
    def served(self) -> list[int]:
        """The generations that served, in order, without those that are in quarantine."""
        gone = {row.generation for row in self.generations if row.event in ("rolled_back", "quarantined")}
        return [
            row.generation
            for row in self.generations
            if row.event in ("promoted", "restored") and row.generation not in gone
        ]

    @property
    def filled(self) -> dict[int, int]:
        """Lots of each order that were filled."""
        lots: dict[int, int] = defaultdict(int)
        for booked in self.booked:
            lots[booked.fill.order_id] += booked.fill.lots
        return dict(lots)

    @property
    def next_order_id(self) -> int:
        """The number after the highest."""
        return max((row.order_id for row in self.orders), default=0) + 1

    @property
    def next_generation(self) -> int:
        """The number after the highest."""
        return max((row.generation for row in self.generations), default=-1) + 1

    @property
    def unsettled_ns(self) -> int:
        """From when on there may be fills that nobody has heard of."""
        left = {order.order_id for order in self.open_orders}
        sent = [row.ts_ns for row in self.orders if row.order_id in left]
        return min([*sent, self.last_ts_ns])

    def count(self, event: str) -> int:
        """Generations of which `event` was journaled."""
        return sum(row.event == event for row in self.generations)


def read_past(path: Path, before: int = _ALL) -> Past | None:
    """The past of a journal, of its rows `before` a sequence number; None where there is none.

    DataError if it cannot be read.
    """
    if not path.exists():
        return None
    reader = JournalReader(path)
    try:
        return _read(reader, before)
    finally:
        reader.close()


def _read(reader: JournalReader, before: int) -> Past:
    earlier = ("seq < ?", (before,))
    past = Past(
        orders=list(reader.rows(OrderRow, *earlier)),
        marks=list(reader.rows(MarkRow, *earlier)),
        refusals=sum(1 for _ in reader.rows(RefusalRow, *earlier)),
        updates=max((row.number for row in reader.rows(UpdateRow, *earlier)), default=0),
        generations=list(reader.rows(GenerationRow, *earlier)),
    )
    events = list(reader.rows(OrderEventRow, *earlier))
    for note in reader.rows(NoteRow, "kind = ? AND seq < ?", (OPENING, before)):
        past.opening = Opening.of(note)
        past.last_ts_ns = note.ts_ns
    adopted = reader.rows(NoteRow, "kind = ? AND seq < ?", (ADOPTED, before))
    past.adoptions = [Adoption.of(note) for note in adopted]
    past.marks = [_since_adopted(mark, past.adoptions) for mark in past.marks]
    past.rejects = sum(row.event == "rejected" for row in events)
    past.funding = [Decimal(row.reason or "0") for row in events if row.event == "funded"]
    past.client_ids = {row.order_id: row.client_id for row in past.orders}
    _book(past, reader, before, events)
    moments = [row.ts_ns for rows in (past.orders, past.marks, events) for row in rows]
    past.last_ts_ns = max([past.last_ts_ns, *moments, *(booked.fill.ts_ns for booked in past.booked)])
    return past


def _since_adopted(mark: MarkRow, adoptions: list[Adoption]) -> MarkRow:
    value = sum(adoption.value for adoption in adoptions if adoption.ts_ns >= mark.ts_ns)
    if value == 0.0:
        return mark
    names = ("equity", "hold_equity", "frozen_equity")
    return msgspec.structs.replace(
        mark, **{name: marked + value for name in names if (marked := getattr(mark, name)) is not None}
    )


def _book(past: Past, reader: JournalReader, before: int, events: list[OrderEventRow]) -> None:
    costs = list(reader.numbered(OrderEventRow, "event = ? AND seq < ?", (BASE_FEE, before)))
    filled: dict[int, int] = defaultdict(int)
    for seq, row in reader.numbered(FillRow, "seq < ?", (before,)):
        filled[row.order_id] += row.lots
        base_fee = Decimal(0)
        while costs and costs[0][0] < seq:  # what a fill cost in base currency stands right before it
            base_fee += Decimal(costs.pop(0)[1].reason or "0")
        past.booked.append(
            Booked(
                row.side,
                Filled(
                    row.order_id, row.ts_ns, row.fill_id, row.lots, row.price_ticks,
                    "maker" if row.liquidity == "maker" else "taker", filled[row.order_id], Decimal(row.fee),
                    base_fee,
                ),
            )
        )  # fmt: skip
    over = {event.order_id for event in events if event.event in _OVER}
    past.open_orders = [
        OpenOrder(_request(order), order.lots - filled[order.order_id])
        for order in past.orders
        if order.order_id not in over and filled[order.order_id] < order.lots
    ]


def _request(row: OrderRow) -> OrderRequest:
    return OrderRequest(
        row.order_id, row.side, row.lots, OrderType[row.order_type.upper()], row.price_ticks,
        TimeInForce[row.time_in_force], row.post_only, row.reduce_only,
    )  # fmt: skip


def progress_of(past: Past) -> Progress:
    """The engine's figures as they stood at the last mark."""
    progress = Progress(adopted=sum(adoption.value for adoption in past.adoptions))
    marks = past.marks
    if not marks:
        return progress
    progress.decisions = marks[-1].decision + 1
    progress.first_ts_ns = progress.trade_first_ts_ns = marks[0].ts_ns
    progress.last_ts_ns = past.last_ts_ns
    progress.last_equity = marks[-1].equity
    for mark in marks:
        progress.peak = max(progress.peak, mark.equity)
        progress.max_drawdown = max(progress.max_drawdown, 1.0 - mark.equity / progress.peak)
        progress.equity_sum += mark.equity
    for before, after in pairwise(marks):
        change = after.equity / before.equity - 1.0
        progress.return_sum += change
        progress.return_square_sum += change * change
    return progress


def remember_risk(past: Past, gate: RiskGate, lot_size: float) -> None:
    """Let the gate live through the marks and orders of the past once more, in order of time."""
    orders = iter([*past.orders, None])
    order = next(orders)
    for mark in past.marks:
        while order is not None and order.ts_ns < mark.ts_ns:
            gate.record(Proposal(order.side, order.lots * lot_size, 0.0), order.ts_ns)
            order = next(orders)
        gate.mark(mark.ts_ns, mark.equity)
    while order is not None:
        gate.record(Proposal(order.side, order.lots * lot_size, 0.0), order.ts_ns)
        order = next(orders)


def progress_of_order(order: OpenOrder) -> OrderProgress:
    """An order that was left open, as far as it had come."""
    filled = order.request.lots - order.remaining_lots
    state = OrderState.PARTIALLY_FILLED if filled else OrderState.SUBMITTED
    return OrderProgress(order.order_id, order.request.lots, state, filled)
