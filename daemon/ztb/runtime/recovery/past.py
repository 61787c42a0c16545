"""The past: what earlier runs on the same folder left, read from their journal alone, and put back in its place.

Also here: the marks of a past: of each its time and equity, which is all that a restart needs but for the last.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ztb.execution.orders import (
    Filled,
    OpenOrder,
    OrderRequest,
    OrderType,
    TimeInForce,
    is_protective,
)
from ztb.execution.risk_gate import RiskGate
from ztb.ledger.bookkeeper import BASE_FEE
from ztb.ledger.capital import OPENING, Adoption, Opening
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import (
    ADOPTED,
    COSTS_CORRECTED,
    LIMITS_LIFTED,
    AllocationRow,
    FillRow,
    GenerationRow,
    MarkRow,
    NoteRow,
    OrderEventRow,
    OrderRow,
    RefusalRow,
    UpdateRow,
)
from ztb.runtime.decision_log import RunProgress

_MARKED = np.dtype([("ts_ns", "<i8"), ("equity", "<f8")])


def _none() -> NDArray[np.void]:
    return np.zeros(0, _MARKED)


@dataclass(slots=True)
class EquityHistory:
    """`rows` (n,): `ts_ns`, `equity`; `last` the last of them whole, None where there are none."""

    rows: NDArray[np.void] = field(default_factory=_none)
    last: MarkRow | None = None

    def __iter__(self) -> Iterator[tuple[int, float]]:
        """(ts_ns, equity) of each, in order."""
        return ((row["ts_ns"].item(), row["equity"].item()) for row in self.rows)

    def forget(self) -> None:
        """Keep the last one alone."""
        self.rows = self.rows[-1:].copy()


def read_marks(reader: JournalReader, before: int, adoptions: Sequence[Adoption]) -> EquityHistory:
    """Those of a journal's rows `before` a sequence number, as if what was adopted after them had been there before."""
    marks = EquityHistory()

    def pairs() -> Iterator[tuple[int, float]]:
        for marks.last in reader.rows(MarkRow, "seq < ?", (before,)):
            yield marks.last.ts_ns, marks.last.equity

    marks.rows = np.fromiter(pairs(), _MARKED)
    came = np.zeros(len(marks.rows))
    for adoption in adoptions:
        came[marks.rows["ts_ns"] <= adoption.ts_ns] += adoption.value
    if marks.last is not None:
        marks.rows["equity"] += came
        marks.last = _since(marks.last, float(came[-1]))
    return marks


def _since(mark: MarkRow, value: float) -> MarkRow:
    names = ("equity", "hold_equity", "frozen_equity")
    return msgspec.structs.replace(
        mark, **{name: marked + value for name in names if (marked := getattr(mark, name)) is not None}
    )


_ALL = sys.maxsize
_OVER = frozenset({"rejected", "cancelled", "expired"})


@dataclass(frozen=True, slots=True)
class Booked:
    """A fill and the side of its order."""

    side: int
    fill: Filled


@dataclass(slots=True)
class Past:
    """All that earlier runs on a folder left.

    `open_orders` may still have fills that nobody heard of; quantities are of their intents.

    Protective stops are apart from `orders`: those that may still stand are `open_stops`, `stops` were numbered.
    """

    last_ts_ns: int = 0
    opening: Opening | None = None
    booked: list[Booked] = field(default_factory=list[Booked])
    open_orders: list[OpenOrder] = field(default_factory=list[OpenOrder])
    open_stops: list[OpenOrder] = field(default_factory=list[OpenOrder])
    stops: int = 0
    client_ids: dict[int, str] = field(default_factory=dict[int, str])
    adoptions: list[Adoption] = field(default_factory=list[Adoption])
    funding: list[Decimal] = field(default_factory=list[Decimal])
    lifted: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    """When losses were counted anew, and from what equity."""
    sent_ns: dict[int, int] = field(default_factory=dict[int, int])
    """When each order was."""
    orders: list[OrderRow] = field(default_factory=list[OrderRow])
    marks: EquityHistory = field(default_factory=EquityHistory)
    rejects: int = 0
    refusals: int = 0
    updates: int = 0
    generations: list[GenerationRow] = field(default_factory=list[GenerationRow])
    allocations: dict[str, AllocationRow] = field(default_factory=dict[str, AllocationRow])
    """The last row of each expert."""
    own_costs: str = ""
    """What was journaled last of what our own fills cost, JSON."""

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
        left = [self.sent_ns[order.order_id] for order in (*self.open_orders, *self.open_stops)]
        return min([*left, self.last_ts_ns])

    def count(self, event: str) -> int:
        """Generations of which `event` was journaled."""
        return sum(row.event == event for row in self.generations)

    def forget(self) -> None:
        """All is in its place: what grows with the months need not stay in memory."""
        for rows in (self.booked, self.orders, self.funding, self.lifted, self.sent_ns):
            rows.clear()
        self.marks.forget()


def read_past(path: Path, before: int = _ALL) -> Past | None:
    """The past of a journal, of its rows `before` a sequence number; None where there is none.

    DataError if it cannot be read.
    """
    if not path.exists():
        return None
    with contextlib.closing(JournalReader(path)) as reader:
        return _read(reader, before)


def _read(reader: JournalReader, before: int) -> Past:
    earlier = ("seq < ?", (before,))
    sent = list(reader.rows(OrderRow, *earlier))
    past = Past(
        orders=[row for row in sent if not is_protective(row.order_id)],
        stops=sum(is_protective(row.order_id) for row in sent),
        refusals=sum(1 for _ in reader.rows(RefusalRow, *earlier)),
        updates=max((row.number for row in reader.rows(UpdateRow, *earlier)), default=0),
        generations=list(reader.rows(GenerationRow, *earlier)),
        allocations={row.expert: row for row in reader.rows(AllocationRow, *earlier)},
    )
    for note in reader.rows(NoteRow, "kind = ? AND seq < ?", (OPENING, before)):
        past.opening = Opening.of(note)
        past.last_ts_ns = note.ts_ns
    for note in reader.rows(NoteRow, "kind = ? AND seq < ?", (COSTS_CORRECTED, before)):
        past.own_costs = note.detail
    adopted = reader.rows(NoteRow, "kind = ? AND seq < ?", (ADOPTED, before))
    past.adoptions = [Adoption.of(note) for note in adopted]
    lifted = reader.rows(NoteRow, "kind = ? AND seq < ?", (LIMITS_LIFTED, before))
    past.lifted = [(note.ts_ns, _lifted(note, past.adoptions)) for note in lifted]
    past.marks = read_marks(reader, before, past.adoptions)
    past.client_ids = {row.order_id: row.client_id for row in sent}
    filled = _book(past, reader, before)
    over = _hear(past, reader.rows(OrderEventRow, *earlier))
    left = [
        OpenOrder(_request(order), order.lots - filled[order.order_id])
        for order in sent
        if order.order_id not in over and filled[order.order_id] < order.lots
    ]
    past.open_orders = [order for order in left if not is_protective(order.order_id)]
    past.open_stops = [order for order in left if is_protective(order.order_id)]
    past.sent_ns = {row.order_id: row.ts_ns for row in sent}
    moments = [past.last_ts_ns, *past.sent_ns.values(), *(booked.fill.ts_ns for booked in past.booked)]
    if past.marks.last is not None:
        moments.append(past.marks.last.ts_ns)
    past.last_ts_ns = max(moments)
    return past


def _lifted(note: NoteRow, adoptions: Sequence[Adoption]) -> float:
    """The equity from which losses are counted, as if what was adopted after it had been there before."""
    came = sum(adoption.value for adoption in adoptions if adoption.ts_ns >= note.ts_ns)
    return float(json.loads(note.detail)["equity"]) + came


def _hear(past: Past, events: Iterable[OrderEventRow]) -> set[int]:
    """Count rejects and funding; the orders that are over."""
    over: set[int] = set()
    for row in events:
        past.last_ts_ns = max(past.last_ts_ns, row.ts_ns)
        if row.event in _OVER:
            over.add(row.order_id)
        past.rejects += row.event == "rejected"
        if row.event == "funded":
            past.funding.append(Decimal(row.reason or "0"))
    return over


def _book(past: Past, reader: JournalReader, before: int) -> dict[int, int]:
    """The fills; lots of each order that were filled."""
    costs = deque(reader.numbered(OrderEventRow, "event = ? AND seq < ?", (BASE_FEE, before)))
    filled: dict[int, int] = defaultdict(int)
    for seq, row in reader.numbered(FillRow, "seq < ?", (before,)):
        filled[row.order_id] += row.lots
        base_fee = Decimal(0)
        while costs and costs[0][0] < seq:  # what a fill cost in base currency stands right before it
            base_fee += Decimal(costs.popleft()[1].reason or "0")
        past.booked.append(
            Booked(
                row.side,
                Filled(
                    order_id=row.order_id,
                    ts_ns=row.ts_ns,
                    fill_id=row.fill_id,
                    lots=row.lots,
                    price_ticks=row.price_ticks,
                    liquidity="maker" if row.liquidity == "maker" else "taker",
                    cumulative_lots=filled[row.order_id],
                    fee=Decimal(row.fee),
                    base_fee=base_fee,
                ),
            )
        )
    return filled


def _request(row: OrderRow) -> OrderRequest:
    return OrderRequest(
        order_id=row.order_id,
        side=row.side,
        lots=row.lots,
        order_type=OrderType[row.order_type.upper()],
        price_ticks=row.price_ticks,
        time_in_force=TimeInForce[row.time_in_force],
        post_only=row.post_only,
        reduce_only=row.reduce_only,
    )


def remember_progress(past: Past, progress: RunProgress) -> None:
    """Bring the engine's figures to where they stood at the last mark."""
    progress.adopted = sum(adoption.value for adoption in past.adoptions)
    last, rows = past.marks.last, past.marks.rows
    if last is None:
        return
    equity: NDArray[np.float64] = rows["equity"]
    progress.decisions = last.decision + 1
    progress.first_ts_ns = progress.trade_first_ts_ns = int(rows["ts_ns"][0])
    progress.last_ts_ns = past.last_ts_ns
    progress.last_equity = last.equity
    peaks = np.maximum.accumulate(np.maximum(equity, progress.peak))
    progress.peak = float(peaks[-1])
    progress.max_drawdown = max(0.0, float(np.max(1.0 - equity / peaks)))
    changes = equity[1:] / equity[:-1] - 1.0
    progress.equity_sum = _sum_in_order(equity)
    progress.return_sum, progress.return_square_sum = _sum_in_order(changes), _sum_in_order(changes * changes)


def _sum_in_order(values: NDArray[np.float64]) -> float:
    """As a run adds them up, one by one, to the bit; numpy's own sum goes in pairs."""
    return float(np.add.accumulate(values)[-1]) if len(values) else 0.0


def remember_risk(past: Past, gate: RiskGate) -> None:
    """Let the gate live through the marks and orders of the past once more, in order of time."""
    orders = iter([*past.orders, None])
    order = next(orders)
    lifted = deque(past.lifted)
    for ts_ns, equity in past.marks:
        while lifted and lifted[0][0] < ts_ns:
            gate.lift(lifted.popleft()[1])
        while order is not None and order.ts_ns < ts_ns:
            gate.record(order.side, order.ts_ns)
            order = next(orders)
        gate.mark(ts_ns, equity)
    for _, equity in lifted:
        gate.lift(equity)
    while order is not None:
        gate.record(order.side, order.ts_ns)
        order = next(orders)
