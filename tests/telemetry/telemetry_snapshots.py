"""Snapshots of a daemon that does not exist."""

from __future__ import annotations

from typing import Any

from ztb.telemetry.snapshot import DaemonSnapshot, GenerationFact


def snapshot(**changed: Any) -> DaemonSnapshot:
    """A daemon that trades, with `changed` facts."""
    facts: dict[str, Any] = {
        "instance": "paper", "mode": "paper", "state": "trading", "run_id": "r1", "strategy": "ppo_online",
        "symbol": "BTC/USDT", "venue": "binance", "now_ns": 1_000, "started_ns": 0, "ticks": 1,
        "equity": 10_123.5, "position": 0.25, "generation": GenerationFact(3, 2, 0, 4, 3, 1, 0),
    }  # fmt: skip
    return DaemonSnapshot(**facts | changed)
