"""Made-up rows of a journal, alerts and snapshots."""

from __future__ import annotations

from typing import Any

import msgspec

from ztb.ledger.records import DecisionRow, FillRow, GenerationRow, MarkRow, RefusalRow, UpdateRow
from ztb.telemetry.conditions import Wording, state_of
from ztb.telemetry.snapshot import (
    AlertFact,
    ComparisonFact,
    DaemonSnapshot,
    ExpertFact,
    GenerationFact,
    LearnerFact,
    LimitUse,
    StreamFact,
)

START_NS = 1_600_000_000_000_000_000
SECOND_NS = 1_000_000_000


def decision_row(decision: int = 0, generation: int = 0) -> DecisionRow:
    ts_ns = START_NS + decision * 10 * SECOND_NS
    return DecisionRow(
        decision, ts_ns, "BTC/USD", generation, 2, 1, 0.5, 0.1, 5000.0 + decision, 10_000.0, 0.01, -1.5,
        "00ff00ff00ff00ff", "passed", None, False, b"\0" * 64, b"\0" * 16,
    )  # fmt: skip


def mark_row(decision: int = 0, equity: float = 10_000.0) -> MarkRow:
    ts_ns = START_NS + decision * 10 * SECOND_NS
    return MarkRow(decision, ts_ns, 5000.0 + decision, 9500.0, 0.1, equity, 1.0, equity * 0.99, equity * 0.98)


def fill_row(fill_id: int = 1, side: int = 1, ts_ns: int = START_NS) -> FillRow:
    return FillRow(fill_id, fill_id, ts_ns, side, 100, 500_012, "5000.12", "0.0100", "taker", "0.05")


def refusal_row() -> RefusalRow:
    return RefusalRow(1, START_NS, "max_exposure", 1, 100, 5000.0)


def update_row(number: int = 1) -> UpdateRow:
    return UpdateRow(
        number, START_NS, 256 * number, -0.02, 0.4, 1.2 - 0.01 * number, 0.012, 0.08, 0.3, 0.001, 0.06, 0.02
    )


def generation_row(number: int = 1, event: str = "promoted") -> GenerationRow:
    return GenerationRow(number, START_NS, event, number - 1, "ab" * 32, '{"reason": "passed", "kl": 0.01}')


def alert(key: str = "stale", text: str = "no tick for 60 s", severity: Any = "warning") -> AlertFact:
    return AlertFact(START_NS, severity, key, text)


FULL = DaemonSnapshot(
    instance="paper", mode="paper", state="trading", run_id="run-1", strategy="ppo_online", symbol="BTC/USD",
    venue="binance", now_ns=START_NS + 3600 * SECOND_NS, started_ns=START_NS,
    last_tick_ns=START_NS + 3600 * SECOND_NS, lag_ms=12.5, ticks=120_000, decisions=360, orders=40, fills=55,
    rejects=1, refusals=2, gaps=1, mid=5000.25, bid=5000.2, ask=5000.3, position=0.5, cash=7512.5,
    equity=10_012.6, start_equity=10_000.0, hold_equity=9_950.0, frozen_equity=9_990.0, drawdown=0.012,
    max_drawdown=0.034, fees=5.5,
    limits=(LimitUse("exposure", 0.25, 1.1), LimitUse("drawdown", 0.012, 0.2), LimitUse("orders_per_minute", 55, 60)),
    streams=(StreamFact("trades", 120.0, False, 2, 1), StreamFact("depth", 9000.0, True, 5, 0)),
    learner=LearnerFact("process", True, False, 12, 30, 1, 2, 0.012, 1.2, -0.02, 0.4, 0.3, 0.08, 4, state="learning", churn=0.06, dormant=0.02),
    generation=GenerationFact(3, 2, START_NS, 9, 4, 5, 0, "rejected: kl"),
    experts=(ExpertFact("trend", 0.125, 1.5, 10_800.0, False), ExpertFact("generation 3", 0.25, 2.0, 10_200.0, True)),
    helping=(ComparisonFact("unlearnt", 0.0015, -0.002, 0.004), ComparisonFact("frozen", 0.002, -0.001, 0.005), ComparisonFact("hold", 0.006, 0.002, 0.01), ComparisonFact("flat", 0.001, None, None)),
    memory_mb=512.0, memory_limit_mb=4096.0, checkpoints=9, last_save_ms=6.5, recording=True,
    alerts=(alert(),),
)  # fmt: skip


WORDS = Wording("runs/paper")
HALTED = WORDS.halted("going on holiday", "socket", START_NS)


def snapshot(**changed: Any) -> DaemonSnapshot:
    """A daemon in full swing, but for what `changed` says."""
    if "conditions" in changed:
        changed.setdefault("state", state_of(changed["conditions"]))
    return msgspec.structs.replace(FULL, **changed)
