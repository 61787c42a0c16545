"""Tables of a run, made from its journal: market units, times in UTC, one Arrow type a column.

Prices are quote currency, quantities base currency, money quote currency; null where a figure does not exist.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import pyarrow as pa

from ztb.ledger.executions import Execution, executions, movements
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import (
    AllocationRow,
    DecisionRow,
    MarkRow,
    OrderEventRow,
    OrderRow,
    Record,
)
from ztb.ledger.round_trips import RoundTrip, RoundTrips

_R = TypeVar("_R", bound=Record)
_TIME = pa.timestamp("ns", tz="UTC")
_I64, _I32, _I8, _F64, _TEXT, _BOOL = pa.int64(), pa.int32(), pa.int8(), pa.float64(), pa.string(), pa.bool_()


def arrow_schema(types: dict[str, pa.DataType]) -> pa.Schema:
    """Columns by name, in order."""
    return pa.schema(types)


EQUITY = arrow_schema(
    {
        "decision": _I64, "time": _TIME, "mid": _F64, "cash": _F64, "position": _F64, "equity": _F64, "fees": _F64,
        "hold_equity": _F64, "frozen_equity": _F64,
    }
)  # fmt: skip
DECISIONS = arrow_schema(
    {
        "decision": _I64, "time": _TIME, "symbol": _TEXT, "generation": _I32, "action_size": _I8,
        "action_timing": _I8, "target": _F64, "position": _F64, "mid": _F64, "equity": _F64, "value": _F64,
        "logprob": _F64, "reward": _F64, "tainted": _BOOL, "verdict": _TEXT, "obs_hash": _TEXT,
    }
)  # fmt: skip
ORDERS = arrow_schema(
    {
        "order": _I64, "client_id": _TEXT, "decision": _I64, "generation": _I32, "time": _TIME, "side": _TEXT,
        "type": _TEXT, "quantity": _F64, "price": _F64, "time_in_force": _TEXT, "post_only": _BOOL,
        "reduce_only": _BOOL, "status": _TEXT, "filled": _F64, "mean_price": _F64, "fees": _F64, "reason": _TEXT,
    }
)  # fmt: skip
FILLS = arrow_schema(
    {
        "fill": _I64, "order": _I64, "decision": _I64, "generation": _I32, "time": _TIME, "side": _TEXT,
        "price": _F64, "quantity": _F64, "liquidity": _TEXT, "fee": _F64,
    }
)  # fmt: skip
TRADES = arrow_schema(
    {
        "side": _TEXT, "quantity": _F64, "entry_time": _TIME, "entry_price": _F64, "exit_time": _TIME,
        "exit_price": _F64, "net_profit": _F64, "fees": _F64, "funding": _F64, "return": _F64,
        "holding_time": pa.duration("ns"), "generation": _I32, "entry_order": _I64, "exit_order": _I64,
    }
)  # fmt: skip
ALLOCATION = arrow_schema(
    {
        "decision": _I64, "time": _TIME, "expert": _TEXT, "weight": _F64, "log_evidence": _F64, "equity": _F64,
    }
)  # fmt: skip


def arrow_table(schema: pa.Schema, rows: Iterable[tuple[Any, ...]]) -> pa.Table:
    """Rows of values in the order of `schema`, as a table."""
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


@dataclass(frozen=True, slots=True)
class JournalSnapshot:
    """A journal as it was when `last`, a sequence number, was its newest row; the increments of its instrument."""

    reader: JournalReader
    last: int
    tick_size: Decimal
    lot_size: Decimal

    def rows(self, record: type[_R], where: str = "TRUE", *parameters: object) -> Iterator[_R]:
        """As JournalReader.rows, of what was there."""
        return self.reader.rows(record, f"({where}) AND seq <= ?", (*parameters, self.last))


def equity(run: JournalSnapshot) -> pa.Table:
    """The account at each decision."""
    return arrow_table(
        EQUITY,
        (
            (
                row.decision,
                row.ts_ns,
                row.mid,
                row.cash,
                row.position,
                row.equity,
                row.fees,
                row.hold_equity,
                row.frozen_equity,
            )
            for row in run.rows(MarkRow)
        ),
    )


def decisions(run: JournalSnapshot) -> pa.Table:
    """The choice at each decision, and what the risk gate said."""
    return arrow_table(
        DECISIONS,
        (
            (
                row.decision,
                row.ts_ns,
                row.symbol,
                row.generation,
                row.action_size,
                row.action_timing,
                row.target,
                row.position,
                row.mid,
                row.equity,
                row.value,
                row.logprob,
                row.reward,
                row.tainted,
                row.verdict,
                row.obs_hash,
            )
            for row in run.rows(DecisionRow)
        ),
    )


def allocation(run: JournalSnapshot) -> pa.Table:
    """The weight of each expert from a decision on, what speaks for it, and its own equity; a row a change."""
    return arrow_table(
        ALLOCATION,
        (
            (row.decision, row.ts_ns, row.expert, row.weight, row.log_evidence, row.equity)
            for row in run.rows(AllocationRow)
        ),
    )


def fills(run: JournalSnapshot) -> pa.Table:
    """Every execution; `fee` is what it cost in all, in quote currency."""
    ordered = {row.order_id: row for row in run.rows(OrderRow)}

    def values(filled: Execution) -> tuple[Any, ...]:
        row, order = filled.row, ordered.get(filled.row.order_id)
        return (
            row.fill_id,
            row.order_id,
            order and order.decision,
            order and order.generation,
            row.ts_ns,
            _side(row.side),
            float(row.price),
            float(row.quantity),
            row.liquidity,
            float(filled.fee),
        )

    return arrow_table(FILLS, map(values, executions(run.reader, run.last)))


def orders(run: JournalSnapshot) -> pa.Table:
    """Every order that was sent, and what became of it."""
    filled: defaultdict[int, list[Execution]] = defaultdict(list)
    for one in executions(run.reader, run.last):
        filled[one.row.order_id].append(one)
    ended = {row.order_id: row for row in run.rows(OrderEventRow, f"event IN {_ENDINGS}")}
    return arrow_table(
        ORDERS,
        (_order(run, row, filled[row.order_id], ended.get(row.order_id)) for row in run.rows(OrderRow)),
    )


_ENDINGS = ("rejected", "cancelled", "expired")


def _order(
    run: JournalSnapshot, row: OrderRow, filled: list[Execution], ended: OrderEventRow | None
) -> tuple[Any, ...]:
    lots = sum(one.row.lots for one in filled)
    paid = sum((one.row.lots * Decimal(one.row.price) for one in filled), Decimal(0))
    status = "filled" if lots >= row.lots else ended.event if ended else "partly filled" if lots else "open"
    return (
        row.order_id,
        row.client_id,
        row.decision,
        row.generation,
        row.ts_ns,
        _side(row.side),
        row.order_type,
        float(row.lots * run.lot_size),
        float(row.price_ticks * run.tick_size) if row.order_type == "limit" else None,
        row.time_in_force,
        row.post_only,
        row.reduce_only,
        status,
        float(lots * run.lot_size),
        float(paid / lots) if lots else None,
        float(sum(one.fee for one in filled)),
        ended.reason if ended else None,
    )


def _side(side: int) -> str:
    return "buy" if side > 0 else "sell"


def round_trips(run: JournalSnapshot) -> RoundTrips:
    """Every trade of the account."""
    return RoundTrips(movements(run.reader, run.last))


def trades(found: Iterable[RoundTrip], mid: float) -> pa.Table:
    """Trades as a table; those that are open are worth `mid`, and have no exit."""
    price = Decimal(repr(mid))
    return arrow_table(TRADES, (_trade(trip, price) for trip in found))


def _trade(trip: RoundTrip, price: Decimal) -> tuple[Any, ...]:
    net, invested = trip.net_profit(price), trip.entry_price * trip.quantity
    return (
        "long" if trip.side > 0 else "short",
        float(trip.quantity),
        trip.entry_ns,
        float(trip.entry_price),
        trip.exit_ns,
        None if trip.exit_price is None else float(trip.exit_price),
        float(net),
        float(trip.fees),
        float(trip.funding),
        float(net / invested) if invested else None,
        None if trip.exit_ns is None else trip.exit_ns - trip.entry_ns,
        trip.generation,
        trip.entry_order,
        trip.exit_order,
    )
