"""Runs to be read: one of a rule, one that learns."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ztb
from ztb.ledger.run_directory import RunDirectory

LEARNS: dict[str, dict[str, Any]] = {
    # So few bars teach nothing worth a trade: an expert that trades at random does, with its share of the prior.
    "allocation": {"rules": ["trend", "random_walk"], "prior": 0.5},
    "execution": {"band_fraction": 0.001},
    "online": {"update_every_decisions": 64},
    "ppo": {"num_envs": 8, "num_steps": 16},
    "checkpoint": {"interval_updates": 1},
}


@pytest.fixture(scope="session")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 hourly bars of a random walk."""
    rng = np.random.default_rng(3)
    closes = np.round(5000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, 301))), 2)
    lines = ["timestamp,open,high,low,close,volume"]
    for i, (first, last) in enumerate(zip(closes, closes[1:], strict=False)):
        moment = 1_500_001_200_000 + i * 3_600_000
        lines.append(
            f"{moment},{first:.2f},{max(first, last) + 1:.2f},{min(first, last) - 1:.2f},{last:.2f},80.5"
        )
    path = tmp_path_factory.mktemp("bars") / "bars.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def rule(bars: Path, tmp_path_factory: pytest.TempPathFactory) -> ztb.Run:
    """A run of a rule that trades at random."""
    out = tmp_path_factory.mktemp("rule") / "run"
    return ztb.replay(bars, strategy="random_walk", symbol="BTC/USD", seed=1, out=out)


@pytest.fixture(scope="session")
def learnt(bars: Path, tmp_path_factory: pytest.TempPathFactory) -> ztb.Run:
    """A run that learns, its account following experts."""
    return ztb.replay(bars, config=LEARNS, pretrain="4d", out=tmp_path_factory.mktemp("learnt") / "run")


@pytest.fixture
def copied(rule: ztb.Run, tmp_path: Path) -> Callable[[], RunDirectory]:
    """A copy of the rule's run, to be damaged."""

    def copy() -> RunDirectory:
        return RunDirectory(Path(shutil.copytree(rule.path, tmp_path / "copy")))

    return copy
