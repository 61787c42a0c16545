"""Replay end to end: it trades and learns, twice the same, and never with knowledge of what comes after."""

from __future__ import annotations

import asyncio
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from runtime.lenient import LENIENT
from ztb.config import load_config
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import DecisionRow, FillRow, GenerationRow, MarkRow
from ztb.ledger.run_directory import RunDirectory, create_run_directory
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data, run_to_end
from ztb.strategies.loader import available
from ztb.trading.policy.network import new_serving
from ztb.trading.policy.weights import NetworkShape
from ztb.trading.sizing import TIMINGS
from ztb.utils import CheckpointManager

BARS = 1400
FLAGS: dict[str, Any] = {"online.update_every_decisions": 128, "checkpoint.interval_updates": 2} | LENIENT


def run(data: Path, out: Path, seed: int = 0, **flags: Any) -> tuple[dict[str, Any], RunDirectory]:
    config = load_config(
        None, FLAGS | {key.replace("__", "."): value for key, value in flags.items()}, {}
    ).config
    request = ReplayRequest(config, (data,), seed)
    directory = create_run_directory(out, "replay")
    summary = asyncio.run(run_to_end(Replay.over(request, open_data(request), directory)))
    return summary, directory


def decisions(directory: RunDirectory) -> list[dict[str, Any]]:
    return pq.read_table(directory.decisions).to_pylist()


def test_it_trades_learns_and_makes_generations_whose_weights_differ(write_bars, tmp_path):
    whole = {"allocation__by": "none"}
    summary, directory = run(write_bars(BARS), tmp_path / "run", **whole)
    assert summary["status"] == "complete" and summary["ticks"] == BARS
    assert summary["fills"] > 0 and summary["updates"] >= 6
    assert summary["generations"]["made"] >= 3
    reader = JournalReader(directory.journal)
    digests = [row.weights_sha256 for row in reader.rows(GenerationRow, "event = 'made'")]
    assert len(set(digests)) == len(digests) == summary["generations"]["made"]
    assert summary["checkpoints"] == list(range(len(digests)))
    off, _ = run(write_bars(BARS), tmp_path / "off", online__learner="off", **whole)
    assert off["weights_sha256"] == digests[0] != summary["weights_sha256"]
    assert off["frozen_return"] == off["return"]
    assert math.isclose(summary["frozen_return"], off["return"], rel_tol=1e-12)


def test_what_leads_means_what_it_does_and_nothing_was_drawn(write_bars, tmp_path):
    """Each choice is the most probable one of its generation; drawn with the same numbers, many would be others."""
    _, directory = run(write_bars(BARS), tmp_path / "run")
    store, reader = CheckpointManager(directory.checkpoints), JournalReader(directory.journal)
    rows = list(reader.rows(DecisionRow))
    reader.close()
    manifest, drawn = directory.read_json(directory.manifest), 0
    heads, ppo = (len(manifest["ladder"]), TIMINGS), manifest["config"]["ppo"]
    for generation in {row.generation for row in rows}:
        weights = store.load("policy", generation, as_numpy=True)["weights"]
        mine = [row for row in rows if row.generation == generation]
        size = len(np.frombuffer(mine[0].observation, np.float32))
        serving = new_serving(
            NetworkShape(size, heads, tuple(ppo["hidden"]), ppo["shared_trunk"]), weights, None
        )
        for row in mine:
            seen, uniforms = np.frombuffer(row.observation, np.float32), np.frombuffer(row.uniforms)
            meant = serving.decide(seen, uniforms, deterministic=True).actions
            assert meant == (row.action_size, row.action_timing)
            drawn += serving.decide(seen, uniforms, deterministic=False).actions != meant
    assert drawn > len(rows) / 4


def test_the_journal_digest_is_the_files(write_bars, tmp_path):
    summary, directory = run(write_bars(600), tmp_path / "run")
    assert JournalReader(directory.journal).sha256() == summary["journal_sha256"]


COMMAND = """
import sys
sys.path.insert(0, "daemon")
from ztb.cli import run
sys.exit(run(sys.argv[1:]))
"""


def in_a_process(data: Path, out: Path, by: str, hash_seed: str, block_rows: str) -> dict[str, Any]:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "ZTB_MARKET__BLOCK_ROWS": block_rows}
    environment |= {"ZTB_ALLOCATION__BY": by, "ZTB_EXECUTION__BAND_FRACTION": "0.001"}
    environment |= {f"ZTB_{key.replace('.', '__').upper()}": str(value) for key, value in FLAGS.items()}
    # Without costs, as nothing in these bars would be worth any.
    environment |= {"ZTB_MARKET__TAKER_FEE": "0", "ZTB_MARKET__MAKER_FEE": "0", "ZTB_MARKET__SPREAD_BPS": "0"}
    arguments = ["replay", "--data", str(data), "--out", str(out), "--seed", "3", "--json"]
    arguments += ["--pretrain", "12d"] if by == "evidence" else []  # what nothing has trained has no share
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments], env=environment, capture_output=True, text=True, check=True,
        cwd=Path(__file__).resolve().parents[3],
    )  # fmt: skip
    return json.loads(done.stdout)


@pytest.mark.parametrize("by", ["evidence", "none"])
def test_two_processes_with_other_hash_seeds_and_block_sizes_agree_bit_for_bit(by, write_bars, tmp_path):
    data = write_bars(BARS)
    one = in_a_process(data, tmp_path / "one", by, "1", "7")
    two = in_a_process(data, tmp_path / "two", by, "2", "1024")
    assert one["updates"] > 0 and one["fills"] > 0
    assert one["generations"]["promoted"] > 0 or by == "evidence"
    for name in ("journal_sha256", "weights_sha256", "run_id", "end_equity"):
        assert one[name] == two[name]


@pytest.mark.parametrize("strategy", sorted(available()))
def test_half_a_file_gives_the_first_half_of_the_decisions(strategy, write_bars, tmp_path):
    whole = write_bars(BARS)
    half = tmp_path / "half.csv"
    half.write_text("".join(whole.read_text().splitlines(keepends=True)[: BARS // 2 + 1]))
    _, all_of_it = run(whole, tmp_path / "whole", strategy__name=strategy)
    _, first_half = run(half, tmp_path / "half", strategy__name=strategy)
    expected, found = decisions(all_of_it), decisions(first_half)
    assert 0 < len(found) < len(expected)
    assert found == expected[: len(found)]


@pytest.mark.parametrize("strategy", sorted(available()))
def test_changing_the_future_changes_no_decision_before_it(strategy, write_bars, tmp_path):
    _, one = run(write_bars(900), tmp_path / "one", strategy__name=strategy)
    _, two = run(
        write_bars(900, name="other.csv", shift_after=600), tmp_path / "two", strategy__name=strategy
    )
    before, after = decisions(one), decisions(two)
    boundary = next(i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a["mid"] != b["mid"])
    assert boundary > 100
    assert before[:boundary] == after[:boundary]
    assert before[boundary:] != after[boundary:]


def test_cash_and_position_are_equity_at_every_decision(write_bars, tmp_path):
    _, directory = run(write_bars(900), tmp_path / "run", strategy__name="random_walk")
    marks = list(JournalReader(directory.journal).rows(MarkRow))
    assert len(marks) > 500
    for mark in marks:
        assert math.isclose(mark.cash + mark.position * mark.mid, mark.equity, rel_tol=1e-9)


def test_rewards_sum_to_the_log_change_of_equity(write_bars, tmp_path):
    _, directory = run(write_bars(900), tmp_path / "run", strategy__name="random_walk")
    rows = list(JournalReader(directory.journal).rows(DecisionRow))
    total = sum(row.reward or 0.0 for row in rows)
    assert math.isclose(total, math.log(rows[-1].equity / rows[0].equity), abs_tol=1e-9)


def test_flat_earns_exactly_nothing_and_sends_no_order(write_bars, tmp_path):
    summary, _ = run(write_bars(400), tmp_path / "run", strategy__name="flat")
    assert summary["return"] == 0.0 and summary["orders"] == 0 and summary["fees"] == 0.0


def test_hold_without_costs_earns_quantity_times_the_change_of_price(write_bars, tmp_path):
    free = {
        "market__maker_fee": "0", "market__taker_fee": "0", "market__spread_bps": 0.0,
        "risk__max_daily_loss_fraction": 1.0, "risk__max_drawdown_fraction": 1.0,
    }  # fmt: skip
    summary, directory = run(write_bars(400), tmp_path / "run", strategy__name="hold", **free)
    fills = list(JournalReader(directory.journal).rows(FillRow))
    assert fills and summary["fees"] == 0.0
    last = list(JournalReader(directory.journal).rows(MarkRow))[-1]
    bought = sum(fill.lots for fill in fills)
    paid = sum(fill.lots * fill.price_ticks for fill in fills)
    earned_units = bought * round(last.mid * 100) - paid
    assert math.isclose(
        last.equity - 10_000.0, earned_units * 1e-2 * float(fills[0].quantity) / fills[0].lots, abs_tol=1e-7
    )
