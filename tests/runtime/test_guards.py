"""A run that nears its memory limit needs less, then pauses, then ends cleanly, says so, and keeps what was done."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from ztb.cli import run
from ztb.config import load_config
from ztb.errors import ResourceError
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import GenerationRow, NoteRow
from ztb.ledger.run_directory import create_run_directory
from ztb.runtime.guards import MemoryGuard, resident_bytes
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data


class Recorder:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def shrink(self, used_gb: float) -> None:
        self.asked.append(f"shrink {used_gb:.2f}")

    def pause(self, used_gb: float) -> None:
        self.asked.append(f"pause {used_gb:.2f}")

    def resume(self, used_gb: float) -> None:
        self.asked.append(f"resume {used_gb:.2f}")


def after(*shares: float) -> tuple[list[str], int]:
    """What is asked of the relief as these shares of 1 GB are in use, and how often memory is trimmed."""
    relief, measured, trims = Recorder(), iter(shares), []
    guard = MemoryGuard(1.0, relief, lambda: int(next(measured) * 1e9), lambda: trims.append(1))
    for _ in shares:
        guard()
    return relief.asked, len(trims)


def test_each_level_brings_its_step_once():
    assert after(0.5, 0.79) == ([], 0)
    assert after(0.81, 0.81, 0.82) == (["shrink 0.81"], 1)
    assert after(0.81, 0.84, 0.87, 0.89) == (["shrink 0.81", "shrink 0.84", "shrink 0.87"], 3)
    asked, _ = after(0.91, 0.92, 0.85, 0.79, 0.91)
    assert asked[3:] == ["pause 0.91", "resume 0.79", "pause 0.91"]


def test_it_leaves_above_95_percent_and_not_below():
    MemoryGuard(1.0, None, lambda: 949_000_000)()
    relief = Recorder()
    with pytest.raises(ResourceError, match=r"0\.96 GB of limits\.max_memory_gb = 1\.00 are in use"):
        MemoryGuard(1.0, relief, lambda: 960_000_000)()
    assert relief.asked[-1] == "pause 0.96"


def test_it_measures_this_process_and_the_learners():
    before = resident_bytes()
    ballast = bytearray(b"x" * 200_000_000)
    assert resident_bytes() - before > 0.8 * len(ballast)
    code = "import sys; held = bytearray(b'x' * 100_000_000); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert resident_bytes([child.pid]) - resident_bytes() > 80_000_000
        child.communicate()
    assert resident_bytes([child.pid]) > 0


def test_a_replay_over_its_limit_ends_with_75_and_stays_readable(write_bars, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ZTB_MAX_MEMORY_GB", "0.21")
    out = tmp_path / "run"
    ballast = bytearray(b"x" * 200_000_000)
    assert run(["replay", "--data", str(write_bars(400)), "--out", str(out)]) == 75
    assert ballast and "ZTB_MAX_MEMORY_GB" in capsys.readouterr().err
    assert json.loads((out / "summary.json").read_text())["status"].startswith("failed: memory")
    reader = JournalReader(out / "journal.sqlite")
    rows = [(row.kind, row.detail) for row in reader.rows(NoteRow)]
    kinds = [kind for kind, _ in rows]
    assert kinds[:5] == ["start", "memory_shrink", "memory_shrink", "memory_shrink", "memory_pause"]
    assert json.loads(rows[1][1])["halvings"] == 1 and rows[-1][1].startswith("failed: memory")
    kept = [json.loads(row.detail).get("kept") for row in reader.rows(GenerationRow)]
    assert kept[-1] == "memory"


async def test_memory_is_looked_at_where_decisions_are_rare(write_bars, tmp_path):
    flags = {
        "market.block_rows": 1,
        "decision.every": "ticks",
        "decision.ticks": 100_000,
        "strategy.name": "hold",
    }
    request = ReplayRequest(load_config(None, flags, {}).config, (write_bars(200),), seed=0)
    made = Replay.over(request, open_data(request), create_run_directory(tmp_path / "run", "replay"))
    looks: list[int] = []
    made.engine._watch = lambda: looks.append(made.engine.progress.ticks)
    await made.run(made.source)
    made.journal.close()
    assert looks == [64, 128, 192]


@pytest.mark.parametrize("verb", ["train", "replay"])
def test_a_real_process_with_too_little_leaves_with_75_before_the_kernel_acts(verb, write_bars, tmp_path):
    environment = os.environ | {
        "ZTB_MAX_MEMORY_GB": "0.25",
        "ZTB_PPO__NUM_ENVS": "4",
        "ZTB_PPO__NUM_STEPS": "16",
    }
    command = [
        sys.executable,
        "-m",
        "ztb",
        verb,
        "--data",
        str(write_bars(400)),
        "--out",
        str(tmp_path / "run"),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 75 and "Traceback" not in done.stderr
    assert "limits.max_memory_gb = 0.25 are in use" in done.stderr
