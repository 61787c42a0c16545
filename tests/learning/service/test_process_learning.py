"""Replay with the learner in a process: it learns and promotes, trading survives its death, nothing stays behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from learning.process_support import Clock, ended, nothing_left, stop
from runtime.lenient import LENIENT
from ztb.config import load_config
from ztb.learning.process.settings import Care
from ztb.learning.service.process import ProcessLearning
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import DecisionRow, GenerationRow, NoteRow, UpdateRow
from ztb.ledger.run_directory import RunDirectory, create_run_directory
from ztb.runtime.build import learning_setup
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data, run_to_end

BARS = 1000
FLAGS = {
    # Draws cost, so that one that trades less is found better.
    "strategy.sample": True,
    "online.learner": "process",
    "online.update_every_decisions": 64,
    "checkpoint.interval_updates": 2,
} | LENIENT


def prepare(data: Path, out: Path, flags: dict[str, Any] = FLAGS) -> tuple[Replay, RunDirectory]:
    request = ReplayRequest(load_config(None, flags, {}).config, (data,), 0)
    directory = create_run_directory(out, "replay")
    return Replay.over(request, open_data(request), directory), directory


def rows(directory: RunDirectory, record: type[Any], where: str = "") -> list[Any]:
    reader = JournalReader(directory.journal)
    found = list(reader.rows(record, where))
    reader.close()
    return found


def details(directory: RunDirectory, event: str) -> list[dict[str, Any]]:
    return [json.loads(row.detail) for row in rows(directory, GenerationRow, f"event = '{event}'")]


def kinds(directory: RunDirectory) -> list[str]:
    """Of all notes, without candidates that a newer one has overtaken: how many depends on the machine."""
    return [row.kind for row in rows(directory, NoteRow, "kind != 'candidate_superseded'")]


@pytest.fixture
def clock(monkeypatch):
    """Learners at our own priority that are restarted at once, on a clock that can be put forward."""
    clock = Clock()
    monkeypatch.setattr(learning_setup, "Care", lambda: Care(backoff_first_s=0.01, nice=0))
    monkeypatch.setattr(learning_setup, "time", SimpleNamespace(monotonic=clock))
    return clock


def at_decision(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[ProcessLearning], None]) -> None:
    """`act` on the learning when decision `number` is complete."""
    completed = ProcessLearning.completed

    def acting(self: ProcessLearning, before, generation, reward, tainted, after) -> None:
        completed(self, before, generation, reward, tainted, after)
        if after.decision == number:
            act(self)

    monkeypatch.setattr(ProcessLearning, "completed", acting)


def check_forward_only(directory: RunDirectory) -> None:
    """Whoever was tested was tested on what came after all that it was trained on, and there was somebody."""
    tested = [
        detail for event in ("promoted", "rejected") for detail in details(directory, event)
        if detail.get("tested_decisions")
    ]  # fmt: skip
    assert tested
    for detail in tested:
        assert detail["tested_from_ns"] >= detail["trained_to_ns"] > 0
        assert detail["after_decision"] >= detail["trained_to_decision"] + detail["tested_decisions"]


def test_it_learns_promotes_and_journals_which_generation_decided_from_when(clock, write_bars, tmp_path):
    with nothing_left():
        run, directory = prepare(write_bars(BARS), tmp_path / "run")
        summary = asyncio.run(run_to_end(run))
        del run
    decisions = summary["decisions"]
    assert summary["status"] == "complete" and summary["updates"] == (decisions - 1) // 64 >= 10
    updates = rows(directory, UpdateRow)
    assert [row.number for row in updates] == list(range(1, summary["updates"] + 1))
    assert [row.decisions for row in updates] == [64 * row.number for row in updates]
    made = details(directory, "made")
    assert summary["generations"]["made"] == len(made) == summary["checkpoints"][-1] + 1 >= 3
    serves = {0: -1}
    for row in rows(directory, GenerationRow, "event = 'promoted' AND generation > 0"):
        detail = json.loads(row.detail)
        serves[row.generation] = detail["after_decision"]
        assert detail["trained_to_decision"] <= detail["after_decision"]
        assert detail["trained_to_ns"] <= row.ts_ns
    for row in rows(directory, DecisionRow):
        assert row.generation == max(number for number, after in serves.items() if after < row.decision)
    check_forward_only(directory)
    assert kinds(directory) == ["start", "learner_started", "end"]


def test_a_learner_killed_and_one_hung_are_replaced_while_trading_goes_on(
    clock, write_bars, tmp_path, monkeypatch
):
    def hang(learning: ProcessLearning) -> None:
        stop(learning.process.pid)
        learning._watch()
        clock.ahead += Care().hang_timeout_s

    at_decision(monkeypatch, 250, lambda learning: os.kill(learning.process.pid, signal.SIGKILL))
    at_decision(monkeypatch, 600, hang)
    with nothing_left():
        run, directory = prepare(write_bars(BARS), tmp_path / "run")
        summary = asyncio.run(run_to_end(run))
        del run
    assert summary["status"] == "complete" and summary["generations"]["promoted"] >= 1
    assert [row.decision for row in rows(directory, DecisionRow)] == list(range(summary["decisions"]))
    numbers = [row.number for row in rows(directory, UpdateRow)]
    assert numbers == list(range(1, (summary["decisions"] - 1) // 64 + 1))
    started = "learner_started"
    # What was promoted meanwhile may alarm or not: it depends on when the candidates arrived.
    happened = [kind for kind in kinds(directory) if kind != "alarm"]
    assert happened == ["start", started, "learner_died", started, "learner_hung", started, "end"]
    for kind, decision in (("learner_died", 250), ("learner_hung", 600)):
        (note,) = rows(directory, NoteRow, f"kind = '{kind}'")
        assert json.loads(note.detail)["decision"] >= decision and note.ts_ns > 0


def test_a_learner_that_only_ever_dies_does_not_hold_a_replay_up(clock, write_bars, tmp_path, monkeypatch):
    monkeypatch.setattr("ztb.learning.process.supervisor._START", "raise SystemExit('no')")
    with nothing_left():
        run, directory = prepare(write_bars(400), tmp_path / "run")
        summary = asyncio.run(run_to_end(run))
        learning = run.engine.learning
        assert not learning.process_ids and learning.dropped > 0, "what status and metrics tell"
        del run, learning
    assert summary["status"] == "complete" and summary["updates"] == 0
    assert kinds(directory).count("learner_died") >= 3
    assert "transitions_dropped" in kinds(directory)


def test_an_error_in_the_daemon_leaves_no_learner(clock, write_bars, tmp_path, monkeypatch):
    pids: list[int | None] = []

    def fail(learning: ProcessLearning) -> None:
        pids.append(learning.process.pid)
        raise RuntimeError("a bug")

    at_decision(monkeypatch, 100, fail)
    with nothing_left():
        run, directory = prepare(write_bars(400), tmp_path / "run")
        with pytest.raises(ExceptionGroup):
            asyncio.run(run_to_end(run))
        del run
    assert pids[0] is not None and ended(pids[0])
    assert kinds(directory)[-1] == "end"


def test_live_nobody_waits_for_the_learner(clock, write_bars, tmp_path, monkeypatch):
    """Without a pace, the ticks are through long before a learner that never starts would be."""
    monkeypatch.setattr("ztb.learning.process.supervisor._START", "import signal; signal.pause()")
    monkeypatch.setattr(learning_setup, "Pace", lambda most_waiting: None)
    monkeypatch.setattr("ztb.learning.service.process._STOP_S", 0.1)
    told: list[tuple[bool, int]] = []
    at_decision(
        monkeypatch, 200, lambda learning: told.append((learning.process_ids != (), learning.waiting))
    )
    with nothing_left():
        run, directory = prepare(write_bars(400), tmp_path / "run")
        summary = asyncio.run(run_to_end(run))
        del run
    assert summary["status"] == "complete" and summary["updates"] == 0
    assert kinds(directory) == ["start", "learner_started", "end"]
    assert told[0][0] and told[0][1] >= 199, "what status and metrics tell"


COMMAND = """
import asyncio, json, sys
from pathlib import Path
sys.path[:0] = ["daemon", "tests"]
from learning.service.test_process_learning import prepare
from ztb.runtime.modes.replay import run_to_end
run, _ = prepare(Path(sys.argv[1]), Path(sys.argv[2]))
summary = asyncio.run(run_to_end(run))
print(json.dumps({"torch": "torch" in sys.modules, "updates": summary["updates"]}))
"""


def test_the_trading_process_never_imports_torch(write_bars, tmp_path, pytestconfig):
    arguments = [sys.executable, "-c", COMMAND, str(write_bars(400)), str(tmp_path / "run")]
    done = subprocess.run(arguments, cwd=pytestconfig.rootpath, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["torch"] is False and found["updates"] > 0
