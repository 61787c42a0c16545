"""Rows of the journal: one frozen record type a table. Field order is column order, binary columns last."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

SCHEMA_VERSION = 3
"""1: before the account's capital was shared among experts (no `allocations`, no `aims`). 2: before rows of a replay
were packed (`ledger.packs`)."""


_encode = json.JSONEncoder(sort_keys=True, allow_nan=False).encode


def detail_text(facts: Mapping[str, Any]) -> str:
    """`facts` as the JSON text of a column, keys sorted; null for a figure that is not finite."""
    try:
        return _encode(dict(facts))
    except ValueError:
        return _encode(_known(dict(facts)))


def _known(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        facts: dict[Any, Any] = value
        return {key: _known(item) for key, item in facts.items()}
    if isinstance(value, list | tuple):
        items: list[Any] | tuple[Any, ...] = value
        return [_known(item) for item in items]
    return value


class Record(msgspec.Struct, frozen=True):
    """A journal row; `table` names where it goes."""

    table: ClassVar[str]


class DecisionRow(Record, frozen=True):
    """A decision: what was seen (`obs_hash`, `observation`), chosen, and what the gate said.

    `target` is the chosen exposure, `position` base currency before it, `mid` and `equity` quote currency;
    `value`, `logprob` null for strategies without them; `verdict` is `no_order`, `passed` or a reason code.
    `uniforms` are the random numbers that sampled the action; `reward` is of the decision before. Where the account
    follows experts, `target` is the account's, `aims` (JSON by name) are the exposures that they wanted, and the
    choice is that of the generation that leads.
    """

    table = "decisions"
    decision: int
    ts_ns: int
    symbol: str
    generation: int
    action_size: int
    action_timing: int
    target: float
    position: float
    mid: float
    equity: float
    value: float | None
    logprob: float | None
    obs_hash: str
    verdict: str
    reward: float | None
    tainted: bool
    observation: bytes
    uniforms: bytes
    aims: bytes = b""


class OrderRow(Record, frozen=True):
    """An intent: written before the order is sent."""

    table = "orders"
    order_id: int
    client_id: str
    decision: int
    generation: int
    ts_ns: int
    side: int
    lots: int
    order_type: str
    price_ticks: int
    time_in_force: str
    post_only: bool
    reduce_only: bool


class OrderEventRow(Record, frozen=True):
    """An event of an order, apart from fills: accepted, rejected, cancelled, expired…"""

    table = "order_events"
    order_id: int
    ts_ns: int
    event: str
    remaining_lots: int | None
    reason: str | None


class FillRow(Record, frozen=True):
    """A fill; `fee` quote currency as booked, `price` and `quantity` as exact decimal text."""

    table = "fills"
    order_id: int
    fill_id: int
    ts_ns: int
    side: int
    lots: int
    price_ticks: int
    price: str
    quantity: str
    liquidity: str
    fee: str


class RefusalRow(Record, frozen=True):
    """An order that the risk gate refused, with the reason code."""

    table = "refusals"
    decision: int
    ts_ns: int
    reason: str
    side: int
    lots: int
    price: float


GENERATION_EVENTS = ("made", "promoted", "rejected", "rolled_back", "restored", "quarantined")
"""What may become of a generation, by name."""


class GenerationRow(Record, frozen=True):
    """A generation's life: made, promoted, rejected, rolled_back, quarantined, restored; `detail` is JSON."""

    table = "generations"
    generation: int
    ts_ns: int
    event: str
    parent: int | None
    weights_sha256: str
    detail: str


class MarkRow(Record, frozen=True):
    """Equity at a decision, quote currency: our own account and those of `hold` and of generation 0 untouched."""

    table = "marks"
    decision: int
    ts_ns: int
    mid: float
    cash: float
    position: float
    equity: float
    fees: float
    hold_equity: float | None
    frozen_equity: float | None


class AllocationRow(Record, frozen=True):
    """The weight of an expert from a decision on, what speaks for it, and its own equity, quote currency.

    Written when one of the two has changed; `detail` is JSON: the sums that the evidence and the allocator are made of.
    """

    table = "allocations"
    decision: int
    ts_ns: int
    expert: str
    weight: float
    log_evidence: float
    equity: float
    detail: str


class UpdateRow(Record, frozen=True):
    """A learner's update and its statistics."""

    table = "updates"
    number: int
    ts_ns: int
    decisions: int
    policy_loss: float
    value_loss: float
    entropy: float
    approx_kl: float
    clip_fraction: float
    explained_variance: float | None
    mean_reward: float
    churn: float | None = None
    """Share of observations whose most probable action is another since, None: there is none, or nobody counted."""
    dormant: float | None = None
    """Share of hidden units that hardly ever say anything; None as before."""


STOPPING = "stopping"
"""Kind of the note that a daemon was told to end: from that moment on no order is sent."""


GONE_ON = "gone_on"
"""Kind of the note with which a run that is gone on with begins anew; what the account was then stands before it."""

BEGAN = "began"
"""Kind of the note that says, as JSON, what a start of a session on a market was made of."""

LIMITS = "limits"
"""Kind of the note that says, as JSON, which limits the risk gate has from then on."""

LOSS_LIMIT, LIMITS_LIFTED = "loss_limit", "limits_lifted"
"""Kinds of the notes that the account has come further down a limit on losses, or that it is over (JSON: `limit`,
`rung` 0 to 3, `since_ns`), and that an operator had losses counted anew (JSON: from what `equity`, by what `origin`,
after how many `rows`)."""

HOLDS = "holds"
"""Kind of the note that says, as JSON, what holds new risk back from then on (`holds`: each with its cause), after
how many `rows`."""

COLLECTED, CANCEL_ALL, FLATTEN, CONSUMED = "collected", "cancel_all", "flatten", "consumed"
"""Kinds of notes whose detail is how many rows of ticks this start had consumed when that happened: reports of the
venue were collected, every order was cancelled, the position was to be closed, the session ended."""

ADOPTED = "adopted"
"""Kind of the note that changes the books to what the venue says: JSON, with the evidence."""

COSTS_CORRECTED = "costs_corrected"
"""Kind of the note that accounts on paper are charged more from then on, as our own fills at the venue cost more (JSON:
see `execution.own_costs`)."""

RECORDING_LOST = "recording_lost"
"""Kind of the note that rows of ticks could not be recorded; its detail is how many had been written before."""

HOUSEKEEPING = frozenset({GONE_ON, BEGAN, LIMITS, COLLECTED, CANCEL_ALL, FLATTEN, CONSUMED})
"""Kinds of notes that are there for a repetition, and tell a reader nothing."""


class NoteRow(Record, frozen=True):
    """Anything else worth remembering: start, gaps, halts, the end and its reason."""

    table = "notes"
    ts_ns: int
    kind: str
    detail: str


RECORDS: tuple[type[Record], ...] = (
    DecisionRow, OrderRow, OrderEventRow, FillRow, RefusalRow, GenerationRow, MarkRow, UpdateRow, NoteRow,
    AllocationRow,
)  # fmt: skip

_TYPES = {"int": "INTEGER", "float": "REAL", "str": "TEXT", "bytes": "BLOB", "bool": "INTEGER"}


def columns_of(record: type[Record]) -> list[tuple[str, str]]:
    """(name, SQLite's type) of each column of the table of `record`, but for its place in the order."""
    return [
        (name, _TYPES[str(kind).split(" | ")[0]])
        for name, kind in record.__annotations__.items()
        if name != "table"
    ]


def canonical_fields(record: type[Record]) -> tuple[str, ...]:
    """The columns that enter the journal's digest: all but the binary ones."""
    return tuple(name for name, kind in columns_of(record) if kind != "BLOB")
