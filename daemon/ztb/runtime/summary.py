"""`summary.json`: what a run did, in figures."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ztb.config import config_hash
from ztb.learning.allocation import Experts
from ztb.learning.generations import Lineage
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.performance import finite, sharpe, simple_return
from ztb.ledger.records import AllocationRow
from ztb.runtime.build.assembly import Assembly
from ztb.runtime.engine import Engine
from ztb.utils.installation import code_version


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a run, and what only the shell knows of it."""

    status: str
    start_equity: float
    wall_s: float
    peak_rss_mb: float
    updates: int
    weights_sha256: str | None
    origin: str | None
    frozen_return: float | None
    unlearnt_return: float | None
    allocation: dict[str, dict[str, float | None]] | None
    dropped: int
    checkpoints: list[int]


def summarise(
    mode: str, run_id: str, assembly: Assembly, engine: Engine, lineage: Lineage, ending: Ending
) -> dict[str, Any]:
    """The summary as JSON-able facts; every figure that does not exist is None."""
    progress, books = engine.progress, engine.books
    start = ending.start_equity
    end = engine.live.equity if progress.decisions else start
    return {
        "mode": mode,
        "status": ending.status,
        "remark": remark(assembly, engine),
        "run_id": run_id,
        "strategy": assembly.strategy.name,
        "symbol": assembly.instrument.symbol,
        "seed": assembly.seed,
        "config_hash": config_hash(assembly.config),
        "code_version": code_version(),
        "ticks": progress.ticks,
        "decisions": progress.decisions,
        "orders": books.orders,
        "fills": books.account.fills,
        "rejects": books.rejects,
        "refusals": books.refusals,
        "fees": finite(books.account.fees),
        "first_ts": progress.first_ts_ns,
        "last_ts": progress.last_ts_ns,
        "trade_first_ts": progress.trade_first_ts_ns or None,
        "start_equity": start,
        "end_equity": finite(end),
        **_performance(engine, start, end),
        "frozen_return": finite(ending.frozen_return),
        "unlearnt_return": finite(ending.unlearnt_return),
        "allocation": ending.allocation,
        "helping": {one.baseline: one.facts() for one in engine.helping.comparisons()},
        "generations": _generations(lineage),
        "generation_0": ending.origin,
        "updates": ending.updates,
        "checkpoints": ending.checkpoints,
        "journal_sha256": books.journal.sha256(),
        "weights_sha256": ending.weights_sha256,
        "ticks_per_s": finite(progress.ticks / ending.wall_s) if ending.wall_s > 0 else None,
        "peak_rss_mb": round(ending.peak_rss_mb, 1),
        "gaps": progress.gaps,
        "dropped": ending.dropped,
        "duration_s": round(ending.wall_s, 3),
    }


def allocation(experts: Experts, journal: Path) -> dict[str, dict[str, float | None]]:
    """By expert: its weight and what speaks for it at the end, and what it earned at full size since its first row in
    `journal`, which is closed.
    """
    first: dict[str, float] = {}
    with contextlib.closing(JournalReader(journal)) as reader:
        for row in reader.rows(AllocationRow):
            first.setdefault(row.expert, row.equity)
    return {
        name: {
            "weight": finite(expert.weight),
            "log_evidence": finite(expert.evidence.log_e),
            "return": simple_return(first.get(name, 0.0), experts.lanes[name].equity),
        }
        for name, expert in experts.allocator.experts.items()
    }


def remark(assembly: Assembly, engine: Engine) -> str | None:
    """The reason why no decision was made and what would help, in words; None where one was."""
    if engine.progress.decisions:
        return None
    features = engine.features
    if features.ready:
        return (
            "no decision was due: the data end before trading begins; give more data or a shorter --pretrain"
        )
    help_ = "" if assembly.bar_ns is not None else " or a shorter decision.interval_ms"
    return (
        f"no decision was made: the features need {features.warm_up} complete periods of "
        f"{assembly.period_ns / 1e9:g} s, the data hold {features.buckets}; give more data{help_}"
    )


def _generations(lineage: Lineage) -> dict[str, int]:
    return {
        "made": lineage.made,
        "promoted": lineage.promoted,
        "rejected": lineage.rejected,
        "rolled_back": lineage.rolled_back,
    }


def _performance(engine: Engine, start: float, end: float) -> dict[str, float | None]:
    progress = engine.progress
    count = max(progress.decisions - 1, 0)
    span = progress.last_ts_ns - progress.trade_first_ts_ns
    traded = float(engine.live.broker.account["traded_notional"][0])
    mean_equity = progress.equity_sum / progress.decisions if progress.decisions else start
    hold = engine.shadows.get("hold")
    return {
        "return": simple_return(start, end),
        "sharpe": sharpe(progress.return_sum, progress.return_square_sum, count, span),
        "max_drawdown": finite(progress.max_drawdown),
        "turnover": finite(traded / mean_equity) if mean_equity > 0 else None,
        "hold_return": simple_return(start, hold.equity if hold and progress.decisions else None),
    }
