"""A run's key figures: those of `summary.json`, or computed from the journal alone while there is none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from ztb.ledger.performance import finite, sharpe, simple_return
from ztb.telemetry.run_data import Floats, RunData


@dataclass(frozen=True, slots=True)
class KeyFigures:
    """Figures of `summary.json` under their names there; None where a figure does not exist.

    `at_full_size`: what each rule that is an expert earned, by name; `unlearnt_return` is in no journal.
    """

    status: str
    finished: bool
    strategy: str
    start_equity: float
    end_equity: float
    total_return: float | None
    hold_return: float | None
    frozen_return: float | None
    unlearnt_return: float | None
    at_full_size: dict[str, float | None]
    sharpe: float | None
    max_drawdown: float | None
    fees: float
    turnover: float | None
    decisions: int
    orders: int
    fills: int
    rejects: int
    refusals: int
    ticks: int | None
    generations: dict[str, int]
    origin: str | None
    first_ts: int
    last_ts: int


def key_figures(run: RunData) -> KeyFigures:
    """The figures of `run`; `first_ts` and `last_ts` are of decisions, where the trading was."""
    marks, config = run.marks, run.manifest.get("config", {})
    summary = run.summary or _from_journal(run)
    start = float(summary["start_equity"])
    return KeyFigures(
        status=str(summary["status"]) if run.summary else "unfinished",
        finished=run.summary is not None,
        strategy=str(summary.get("strategy") or config.get("strategy", {}).get("name") or "unknown strategy"),
        start_equity=start,
        end_equity=float(summary["end_equity"]),
        total_return=summary["return"],
        hold_return=summary["hold_return"],
        frozen_return=summary["frozen_return"],
        unlearnt_return=summary.get("unlearnt_return"),
        at_full_size=_rules(run),
        sharpe=summary["sharpe"],
        max_drawdown=summary["max_drawdown"],
        fees=float(summary["fees"] or 0.0),
        turnover=summary["turnover"],
        decisions=len(run.decisions.ts_ns),
        orders=len(run.orders),
        fills=len(run.fills),
        rejects=sum(event.event == "rejected" for event in run.events),
        refusals=len(run.refusals),
        ticks=summary.get("ticks"),
        generations=summary["generations"],
        origin=summary.get("generation_0"),
        first_ts=int(marks.ts_ns[0]) if len(marks.ts_ns) else 0,
        last_ts=int(marks.ts_ns[-1]) if len(marks.ts_ns) else 0,
    )


def notional(run: RunData) -> Floats:
    """Quote currency of each fill, (fills,)."""
    return np.array([float(Decimal(fill.price) * Decimal(fill.quantity)) for fill in run.fills], np.float64)


def _rules(run: RunData) -> dict[str, float | None]:
    ended = (run.summary or {}).get("allocation") or {}
    return {
        one.name: ended[one.name]["return"] if one.name in ended else one.at_full_size
        for one in run.experts
        if one.generation is None
    }


def _from_journal(run: RunData) -> dict[str, Any]:
    marks = run.marks
    if len(marks.ts_ns) == 0:
        return _nothing_yet(run)
    equity, start = marks.equity, float(marks.equity[0])
    changes = equity[1:] / equity[:-1] - 1.0
    mean_equity = float(equity.mean())
    return _nothing_yet(run) | {
        "start_equity": start,
        "end_equity": float(equity[-1]),
        "return": simple_return(start, float(equity[-1])),
        "hold_return": simple_return(start, finite(float(marks.hold[-1]))),
        "frozen_return": simple_return(start, finite(float(marks.frozen[-1]))),
        "sharpe": sharpe(
            float(changes.sum()),
            float((changes**2).sum()),
            len(changes),
            int(marks.ts_ns[-1] - marks.ts_ns[0]),
        ),
        "max_drawdown": float(marks.drawdown.max()),
        "fees": float(marks.fees[-1]),
        "turnover": float(notional(run).sum()) / mean_equity if mean_equity > 0 else None,
    }


def _nothing_yet(run: RunData) -> dict[str, Any]:
    """The figures of a run without a decision. Generation 0 serves from the start: nothing was promoted for it."""
    config = run.manifest.get("config", {})
    start = float(config.get("execution", {}).get("start_cash_quote", 0.0))
    events = [row.event for row in run.generations if row.event == "made" or row.generation > 0]
    absent = dict.fromkeys(("return", "hold_return", "frozen_return", "sharpe", "max_drawdown", "turnover"))
    return absent | {
        "start_equity": start,
        "end_equity": start,
        "fees": 0.0,
        "generation_0": _origin(run),
        "generations": {name: events.count(name) for name in ("made", "promoted", "rejected", "rolled_back")},
    }


def _origin(run: RunData) -> str | None:
    """The origin of generation 0, if the journal says it."""
    details = (json.loads(row.detail or "{}") for row in run.generations if row.generation == 0)
    return next((detail["origin"] for detail in details if "origin" in detail), None)
