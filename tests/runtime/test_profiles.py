"""The learner's profile follows the market, in steps that are journaled and repeated by a replay."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trading.markets import HOUR_NS, START_NS
from ztb.config import load_config
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import NoteRow
from ztb.ledger.run_directory import create_run_directory
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data, run_to_end

FLAGS = {"online.rollout_lanes": 4, "online.rollout_horizon_decisions": 8, "online.window_decisions": 64,
         "online.passes": 1, "ppo.epochs": 1, "online.update_every_decisions": 64}  # fmt: skip


@pytest.fixture
def stormy(tmp_path: Path) -> Path:
    """900 calm hourly bars, 200 wild ones, 100 calm ones."""
    deviation = np.repeat([0.002, 0.012, 0.002], [900, 200, 100])
    closes = np.round(5000.0 * np.exp(np.cumsum(np.random.default_rng(3).normal(0.0, deviation))), 2)
    lines = ["timestamp,open,high,low,close,volume"]
    for i in range(1, len(closes)):
        low, high = sorted(closes[i - 1 : i + 1])
        moment = START_NS // 1_000_000 + i * HOUR_NS // 1_000_000
        lines.append(f"{moment},{closes[i - 1]:.2f},{high + 0.5:.2f},{low - 0.5:.2f},{closes[i]:.2f},10.5")
    path = tmp_path / "stormy.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def replay(data: Path, out: Path, **flags: Any) -> tuple[Replay, dict[str, Any], list[dict[str, Any]]]:
    """The run, its summary, and the changes of condition that it journaled."""
    config = load_config(None, {**FLAGS, **flags}, {}).config
    request = ReplayRequest(config, (data,), seed=0)
    made = Replay.over(request, open_data(request), create_run_directory(out, "replay"))
    summary = asyncio.run(run_to_end(made))
    notes = [row for row in JournalReader(out / "journal.sqlite").rows(NoteRow) if row.kind == "condition"]
    return made, summary, [json.loads(note.detail) for note in notes]


def learnt_with(run: Replay) -> Any:
    learning: Any = run.engine.learning
    return learning._learner.updater.config


def test_a_storm_is_journaled_and_taught_and_comes_again_in_a_replay(stormy, tmp_path):
    one, first, changes = replay(stormy, tmp_path / "one", **{"online.profile": "auto"})
    assert {"from": "calm", "to": "volatile"}.items() <= changes[0].items()
    assert changes[0]["volatility_ratio"] > 1.7 and 800 < changes[0]["decision"] < 1000
    last = changes[-1]["to"]
    assert learnt_with(one).epochs == {"calm": 4, "trending": 4, "volatile": 8}[last]
    _, second, again = replay(stormy, tmp_path / "two", **{"online.profile": "auto"})
    assert again == changes and second["journal_sha256"] == first["journal_sha256"]
    assert second["weights_sha256"] == first["weights_sha256"]


def test_a_profile_chosen_by_hand_stays(stormy, tmp_path):
    run, _, changes = replay(stormy, tmp_path / "one", **{"online.profile": "volatile"})
    assert not changes and learnt_with(run).epochs == 8 and learnt_with(run).gamma == 0.95
    run, _, changes = replay(stormy, tmp_path / "two")
    assert not changes and learnt_with(run).epochs == 1
