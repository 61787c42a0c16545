"""Everything that led to a decision and came of it, gathered from the journal.

Also here: what is asked about: an order, a fill, a refusal or a moment, and the decision behind it.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import xxhash

from ztb.errors import DataError, NotFoundError, ZtbError
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import (
    DecisionRow,
    FillRow,
    GenerationRow,
    MarkRow,
    OrderEventRow,
    OrderRow,
    Record,
    RefusalRow,
)
from ztb.ledger.run_directory import RunDirectory
from ztb.telemetry.why.capital import Capital, capital
from ztb.telemetry.why.recomputation import Recomputation, observation_of, recompute
from ztb.telemetry.why.words import verdict_words
from ztb.trading.observation import ACCOUNT_SIZE

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
        raise NotFoundError(f"{reader.path.parent}: no order {key!r} in this run ({have}); ask for {_FORMS}")
    return Subject(_decision(reader, order.decision), order_id=order.order_id)


def _of_fill(reader: JournalReader, fill_id: int) -> Subject:
    fill = next(reader.rows(FillRow, "fill_id = ?", (fill_id,)), None)
    if fill is None:
        raise NotFoundError(
            f"{reader.path.parent}: no fill {fill_id} in this run, which has {_count(reader, FillRow)}"
        )
    subject = _of_order(reader, "order_id", fill.order_id)
    return Subject(subject.decision, fill.order_id, fill_id)


def _of_refusal(reader: JournalReader, number: int) -> Subject:
    where = "seq = (SELECT seq FROM refusals ORDER BY seq LIMIT 1 OFFSET ?)"
    refusal = next(reader.rows(RefusalRow, where, (number - 1,)), None) if number > 0 else None
    if refusal is None:
        have = _count(reader, RefusalRow)
        raise NotFoundError(f"{reader.path.parent}: no refusal {number} in this run, which has {have}")
    return Subject(_decision(reader, refusal.decision), refusal=number)


def _at(reader: JournalReader, ts_ns: int) -> Subject:
    """The last decision at or before a moment."""
    where = "seq = (SELECT max(seq) FROM decisions WHERE ts_ns <= ?)"
    decision = next(reader.rows(DecisionRow, where, (ts_ns,)), None)
    if decision is None:
        raise NotFoundError(f"{reader.path.parent}: no decision had been made by then; ask for a later time")
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


ACCOUNT_NAMES = ("exposure", "unrealised result × 10", "time in position, tanh", "drawdown × 5",
                 "working exposure", "last target", "last timing")  # fmt: skip
"""The account part of an observation, in the order of `trading.observation`."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An order with what the venue said of it; `fees` quote currency."""

    order: OrderRow
    events: list[OrderEventRow]
    fills: list[FillRow]

    @property
    def fees(self) -> float:
        return sum(float(fill.fee) for fill in self.fills)


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A generation in the line to the one that decided; `origin` of generation 0, else what the gate said."""

    generation: int
    parent: int | None
    made_ts_ns: int
    promoted_ts_ns: int | None
    weights_sha256: str
    numbers: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer. `features` are normalised; `recomputed` is None for rules, and where `not_recomputed` says why.

    `capital` is None where the account did not follow experts; where it did, choice and observation are those of the
    generation that led, on an account of its own on paper.
    """

    asked: str
    strategy: str
    currencies: tuple[str, str]
    lot_size: float
    tick_size: float
    ladder: tuple[float, ...]
    limits: dict[str, Any]
    subject: Subject
    mark: MarkRow | None
    features: list[tuple[str, float]]
    account: list[tuple[str, float]]
    observation_intact: bool
    verdict: str
    orders: list[Sent]
    refusals: list[RefusalRow]
    lineage: list[Ancestor]
    recomputed: Recomputation | None
    not_recomputed: str | None
    capital: Capital | None

    @property
    def is_rule(self) -> bool:
        """True if the strategy decided without a policy."""
        return self.subject.decision.logprob is None

    @property
    def holds(self) -> bool:
        """True if what can be checked was checked and agrees."""
        same = self.is_rule or (self.recomputed is not None and self.recomputed.agrees)
        return same and self.observation_intact and (self.capital is None or self.capital.agrees)


def explain(directory: RunDirectory, what: str) -> Explanation:
    """Answer for `what` (see `question.find`). DataError, UsageError: the run or the question is at fault."""
    manifest = directory.read_json(directory.manifest)
    with contextlib.closing(JournalReader(directory.journal)) as reader:
        return _gather(directory, manifest, reader, what)


def _gather(
    directory: RunDirectory, manifest: dict[str, Any], reader: JournalReader, what: str
) -> Explanation:
    subject = find(reader, what)
    decision, instrument, config = subject.decision, manifest["instrument"], manifest["config"]
    lineage = ancestors(list(reader.rows(GenerationRow)), decision.generation)
    recomputed, reason = _recompute(directory, manifest, decision, lineage)
    base, _, quote = decision.symbol.partition("/")
    features, account = observed(decision, manifest.get("features"))
    return Explanation(
        asked=what,
        strategy=config["strategy"]["name"],
        currencies=(base, quote),
        lot_size=float(instrument["lot_size"]),
        tick_size=float(instrument["tick_size"]),
        ladder=tuple(manifest["ladder"]),
        limits=config["risk"],
        subject=subject,
        mark=next(reader.rows(MarkRow, "decision = ?", (decision.decision,)), None),
        features=features,
        account=account,
        observation_intact=xxhash.xxh3_64_hexdigest(decision.observation) == decision.obs_hash,
        verdict=verdict_words(decision, config["risk"]),
        orders=_orders(reader, decision.decision),
        refusals=list(reader.rows(RefusalRow, "decision = ?", (decision.decision,))),
        lineage=lineage,
        recomputed=recomputed,
        not_recomputed=reason,
        capital=capital(reader, manifest, decision),
    )


def _recompute(
    directory: RunDirectory, manifest: dict[str, Any], decision: DecisionRow, lineage: list[Ancestor]
) -> tuple[Recomputation | None, str | None]:
    if decision.logprob is None:
        return None, "the choice is a rule of the strategy; there is no network to ask"
    try:
        return recompute(directory, manifest, decision, lineage[0].weights_sha256 if lineage else None), None
    except ZtbError as error:
        return None, str(error)


def observed(
    decision: DecisionRow, names: list[str] | None
) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """(features, account) of a decision, each number with its name; numbered where a run does not name them."""
    values: list[float] = observation_of(decision).tolist()
    split = max(len(values) - ACCOUNT_SIZE, 0)
    named = [*(names or []), "forecast"][:split]  # which is the last of what a policy that learns is told
    known = named if len(named) == split else [f"feature {i}" for i in range(split)]
    return list(zip(known, values[:split], strict=True)), list(
        zip(ACCOUNT_NAMES, values[split:], strict=True)
    )


def _orders(reader: JournalReader, decision: int) -> list[Sent]:
    return [
        Sent(
            order,
            list(reader.rows(OrderEventRow, "order_id = ?", (order.order_id,))),
            list(reader.rows(FillRow, "order_id = ?", (order.order_id,))),
        )
        for order in reader.rows(OrderRow, "decision = ?", (decision,))
    ]


def ancestors(rows: list[GenerationRow], generation: int) -> list[Ancestor]:
    """`generation`, its parent, and so on to the first."""
    line: list[Ancestor] = []
    number: int | None = generation
    while number is not None and number not in {known.generation for known in line}:
        own = [row for row in rows if row.generation == number]
        if not own:
            break
        line.append(_ancestor(own))
        number = line[-1].parent
    return line


def _ancestor(rows: list[GenerationRow]) -> Ancestor:
    made = next((row for row in rows if row.event == "made"), rows[0])
    promoted = next((row.ts_ns for row in rows if row.event == "promoted"), None)
    numbers: dict[str, Any] = {}
    for row in rows:
        numbers |= json.loads(row.detail or "{}")
    return Ancestor(
        generation=made.generation,
        parent=made.parent,
        made_ts_ns=made.ts_ns,
        promoted_ts_ns=promoted,
        weights_sha256=made.weights_sha256,
        numbers=numbers,
    )
