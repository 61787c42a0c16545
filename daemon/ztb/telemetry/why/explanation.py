"""Everything that led to a decision and came of it, gathered from the journal."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Any

import xxhash

from ztb.errors import ZtbError
from ztb.ledger.journal import JournalReader
from ztb.ledger.records import (
    DecisionRow,
    FillRow,
    GenerationRow,
    MarkRow,
    OrderEventRow,
    OrderRow,
    RefusalRow,
)
from ztb.ledger.run_directory import RunDirectory
from ztb.telemetry.why.question import Subject, find
from ztb.telemetry.why.recomputation import Recomputation, observation_of, recompute
from ztb.telemetry.why.words import verdict_words
from ztb.trading.observation import ACCOUNT_SIZE

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
    """An answer. `features` are normalised; `recomputed` is None for rules, and where `not_recomputed` says why."""

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

    @property
    def is_rule(self) -> bool:
        """Whether the strategy decided without a policy."""
        return self.subject.decision.logprob is None

    @property
    def holds(self) -> bool:
        """Whether what can be checked was checked and agrees."""
        same = self.is_rule or (self.recomputed is not None and self.recomputed.agrees)
        return same and self.observation_intact


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
        what, config["strategy"]["name"], (base, quote), float(instrument["lot_size"]),
        float(instrument["tick_size"]), tuple(manifest["ladder"]), config["risk"], subject,
        next(reader.rows(MarkRow, "decision = ?", (decision.decision,)), None), features, account,
        xxhash.xxh3_64_hexdigest(decision.observation) == decision.obs_hash,
        verdict_words(decision, config["risk"]), _orders(reader, decision.decision),
        list(reader.rows(RefusalRow, "decision = ?", (decision.decision,))), lineage, recomputed, reason,
    )  # fmt: skip


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
    known = names if names is not None and len(names) == split else [f"feature {i}" for i in range(split)]
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
    return Ancestor(made.generation, made.parent, made.ts_ns, promoted, made.weights_sha256, numbers)
