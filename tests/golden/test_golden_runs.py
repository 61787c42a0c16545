"""Whole runs give the figures they gave when they were last looked at; a change must be meant.

`PYTHONPATH=daemon python tests/golden/test_golden_runs.py` prints the present figures. The tolerance is for
transcendental functions of another processor.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from ztb.config import load_config
from ztb.ledger.run_directory import create_run_directory
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data, run_to_end

GOLDEN = Path(__file__).with_name("shipped_2019.json")
NAMES = (
    "ticks",
    "decisions",
    "orders",
    "fills",
    "rejects",
    "refusals",
    "fees",
    "end_equity",
    "max_drawdown",
    "hold_return",
)
WHATEVER_IT_LOSES = {"risk.max_daily_loss_fraction": 1.0, "risk.max_drawdown_fraction": 1.0}
MARCH_2019, MAY_2019 = 1_551_398_400_000_000_000, 1_556_668_800_000_000_000


def figures(strategy: str, out: Path) -> dict[str, Any]:
    config = load_config(None, {"strategy.name": strategy} | WHATEVER_IT_LOSES, {}).config
    request = ReplayRequest(config, (), 0, start_ns=MARCH_2019, end_ns=MAY_2019)
    summary = asyncio.run(
        run_to_end(Replay.over(request, open_data(request), create_run_directory(out, "replay")))
    )
    return {name: summary[name] for name in NAMES}


@pytest.mark.parametrize("strategy", ["hold", "ema_cross", "random_walk"])
def test_two_months_of_shipped_history(strategy, tmp_path):
    expected = json.loads(GOLDEN.read_text())[strategy]
    found = figures(strategy, tmp_path / "run")
    for name in NAMES:
        assert math.isclose(found[name], expected[name], rel_tol=1e-9, abs_tol=1e-12), name


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        made = {name: figures(name, Path(place) / name) for name in ("hold", "ema_cross", "random_walk")}
    sys.stdout.write(json.dumps(made, indent=2) + "\n")
