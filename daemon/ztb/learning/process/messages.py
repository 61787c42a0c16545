"""Messages of the rings: a transition to the learner, a report of an update back."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import msgspec
import numpy as np

from ztb.learning.gate.candidate import Verdict
from ztb.learning.online import Dropped, Transition
from ztb.learning.process.ring import STAMP, Records
from ztb.learning.regime import UNGUIDED, ScheduledOptions
from ztb.trading.policy.weights import NetworkShape
from ztb.trading.ppo.rollout import UpdateStats

_DTYPES = {"float": "<f8", "int": "<i8", "bool": "?"}
_WHY_BYTES = 400
_STATS = [(field.name, _DTYPES[str(field.type)]) for field in fields(UpdateStats)]
REPORT = np.dtype(
    [*STAMP, ("update", "<i8"), ("decision", "<i8"), ("ts_ns", "<i8"), ("mean_reward", "<f8"),
     ("candidate", "<i8"), ("era", "<i8"), ("set_back", "<i8"), ("dropped", f"S{_WHY_BYTES}"), ("astray", "?"),
     *_STATS]
)  # fmt: skip
"""`dropped`: why there was no update, or nothing."""

NEVER = -1
_DETAIL_BYTES = 3072
VERDICT = np.dtype(
    [*STAMP, ("number", "<i8"), ("passed", "?"), ("length", "<i8"), ("detail", "u1", (_DETAIL_BYTES,))]
)
"""`detail`: JSON of the reason and the figures."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A transition with what was known when it was complete: `value` of what followed, by generation `serving`.

    `decision` and `ts_ns` are of the decision that completed it; they count without gaps unless some were dropped.
    """

    transition: Transition
    next_value: float
    serving: int
    decision: int
    ts_ns: int
    guidance: ScheduledOptions = UNGUIDED


@dataclass(frozen=True, slots=True)
class LearnerReport:
    """An update that the learner did, trained on everything up to `decision` at `ts_ns`; or one that it `dropped`.

    `candidate`: number of the candidate that it made in the candidates' buffer; 0: none. `set_back`: the decision of
    the transition before which it went back to what serves in `era`; NEVER: it did not since the last report.
    """

    update: int
    decision: int
    ts_ns: int
    mean_reward: float
    candidate: int
    stats: UpdateStats | None
    era: int = 0
    set_back: int = NEVER
    dropped: Dropped | None = None


def transition_dtype(shape: NetworkShape) -> np.dtype[Any]:
    """The record of a `Completed` of a network of `shape`."""
    names = ("decision", "ts_ns", "generation", "serving", "tainted", "profile", "halvings")
    numbers = [(name, "<i8") for name in names]
    reals = [(name, "<f8") for name in ("logprob", "value", "reward", "next_value", "equity")]
    arrays = [("actions", "<i8", (len(shape.heads),)), ("observation", "<f4", (shape.observation_size,))]
    return np.dtype([*STAMP, *numbers, *reals, *arrays])


def write_transition(completed: Completed, record: Records) -> None:
    """Fill `record` (1,) of `transition_dtype`."""
    transition = completed.transition
    record["decision"] = completed.decision
    record["ts_ns"] = completed.ts_ns
    record["generation"] = transition.generation
    record["serving"] = completed.serving
    record["tainted"] = transition.tainted
    record["profile"] = completed.guidance.profile
    record["halvings"] = completed.guidance.halvings
    record["logprob"] = transition.logprob
    record["value"] = transition.value
    record["reward"] = transition.reward
    record["equity"] = transition.equity
    record["next_value"] = completed.next_value
    record["actions"] = transition.actions
    record["observation"] = transition.observation


def read_transition(record: Records) -> Completed:
    """The message written into `record` (1,)."""
    row: Any = record[0]
    transition = Transition(
        observation=row["observation"].copy(),
        actions=tuple(row["actions"].tolist()),
        logprob=float(row["logprob"]),
        value=float(row["value"]),
        reward=float(row["reward"]),
        generation=int(row["generation"]),
        tainted=bool(row["tainted"]),
        equity=float(row["equity"]),
    )
    return Completed(
        transition=transition,
        next_value=float(row["next_value"]),
        serving=int(row["serving"]),
        decision=int(row["decision"]),
        ts_ns=int(row["ts_ns"]),
        guidance=ScheduledOptions(int(row["profile"]), int(row["halvings"])),
    )


def write_report(report: LearnerReport, record: Records) -> None:
    """Fill `record` (1,) of dtype REPORT."""
    for name in ("update", "decision", "ts_ns", "mean_reward", "candidate", "era", "set_back"):
        record[name] = getattr(report, name)
    dropped = report.dropped
    record["dropped"] = b"" if dropped is None else dropped.why.encode()[:_WHY_BYTES]
    record["astray"] = dropped is not None and dropped.astray
    for name, _ in _STATS:
        record[name] = 0 if report.stats is None else getattr(report.stats, name)


def read_report(record: Records) -> LearnerReport:
    """The message written into `record` (1,)."""
    row: Any = record[0]
    update, why = int(row["update"]), row["dropped"].decode(errors="ignore")
    stats = None if why else UpdateStats(**{name: row[name].item() for name, _ in _STATS})
    return LearnerReport(
        update=update,
        decision=int(row["decision"]),
        ts_ns=int(row["ts_ns"]),
        mean_reward=float(row["mean_reward"]),
        candidate=int(row["candidate"]),
        stats=stats,
        era=int(row["era"]),
        set_back=int(row["set_back"]),
        dropped=Dropped(update, why, bool(row["astray"])) if why else None,
    )


def write_verdict(verdict: Verdict, record: Records) -> None:
    """Fill `record` (1,) of dtype VERDICT."""
    detail = np.frombuffer(msgspec.json.encode([verdict.reason, verdict.figures]), np.uint8)
    record["number"] = verdict.number
    record["passed"] = verdict.passed
    record["length"] = len(detail)
    record["detail"][0, : len(detail)] = detail


def read_verdict(record: Records) -> Verdict:
    """The message written into `record` (1,)."""
    row: Any = record[0]
    reason, figures = msgspec.json.decode(row["detail"][: row["length"]].tobytes())
    return Verdict(int(row["number"]), bool(row["passed"]), reason, figures)
