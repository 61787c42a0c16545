"""A run whose learner meets what is not finite, or is frozen: it learns on, says so, and swaps nothing meanwhile."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ztb.strategies
from learning.service.test_process_learning import rows
from runtime.daemons import make_daemon, running, until
from runtime.modes.test_replay import run
from ztb.errors import InvariantError
from ztb.learning.service.inline import InlineLearning
from ztb.ledger.records import AllocationRow, DecisionRow, GenerationRow, NoteRow, UpdateRow
from ztb.ledger.run_directory import RunDirectory
from ztb.trading.ppo.finite import unsound
from ztb.utils import CheckpointManager

REWARD = """
import numpy as np

class Strategy:
    learns = True
    features = ("rsi_14", "return_4")
    bad = {bad!r}
    calls = 0

    def __init__(self, context):
        self.policy = context.policy

    def decide(self, moment):
        return self.policy.act(moment.observation, moment.uniforms)

    @staticmethod
    def reward(before, after):
        value = np.log(after / before)
        if {when}:
            Strategy.calls += 1
            if Strategy.calls in Strategy.bad:
                value = value * np.nan
        return value
"""
LANES, OWN = "np.ndim(value) == 1", "np.ndim(value) == 0"


@pytest.fixture
def strategy(tmp_path, monkeypatch):
    """Makes a strategy whose own reward is no number at the calls that are told, of those `when` says."""
    folder = tmp_path / "strategies"
    folder.mkdir()
    monkeypatch.setenv("ZTB_STRATEGY_PATH", str(folder))
    monkeypatch.setattr(ztb.strategies, "__path__", [*ztb.strategies.__path__, str(folder)])

    def make(name: str, bad: set[int], when: str) -> str:
        (folder / f"{name}.py").write_text(REWARD.format(bad=bad, when=when))
        return name

    before = set(sys.modules)
    yield make
    for name in set(sys.modules) - before:
        if name.startswith("ztb.strategies."):
            del sys.modules[name]


def told(directory: RunDirectory, kind: str) -> list[dict[str, Any]]:
    return [json.loads(row.detail) for row in rows(directory, NoteRow, f"kind = '{kind}'")]


def all_sound(directory: RunDirectory) -> bool:
    """Whether every text of the journal is strict JSON where it is JSON, and every saved state is finite."""

    def refuse(constant: str) -> float:
        raise AssertionError(f"the journal holds {constant}")

    for row in (*rows(directory, GenerationRow), *rows(directory, NoteRow)):
        if row.detail.startswith("{"):
            json.loads(row.detail, parse_constant=refuse)
    manager = CheckpointManager(directory.checkpoints)
    return all(
        unsound(manager.load("policy", saved.number, as_numpy=True)) == "" for saved in manager.list("policy")
    )


@pytest.mark.parametrize("when", [LANES, OWN])
def test_one_reward_that_is_no_number_costs_one_update_and_is_said(
    strategy, when, write_bars, tmp_path, capfd
):
    """In all lanes at the 40th step that is rolled out, or of our own 101st decision."""
    name = strategy("once_" + ("lanes" if when == LANES else "own"), {40 if when == LANES else 201}, when)
    out = tmp_path / "run"
    # Two lanes have an own reward, ours the first of them.
    settings = {
        "strategy__name": name,
        "online__update_every_decisions": 64,
        "checkpoint__interval_updates": 2,
        "allocation__by": "none",
        "strategy__sample": True,
    }
    summary, directory = run(write_bars(900), out, **settings)
    updates = [row.number for row in rows(directory, UpdateRow)]
    (note,) = told(directory, "update_dropped")
    assert updates == [n for n in range(1, summary["updates"] + 1) if n != note["update"]]
    assert len(updates) >= 8 and note["update"] in (1, 2, 3, 4) and "not finite" in note["why"]
    assert all(row.policy_loss is not None for row in rows(directory, UpdateRow))
    digests = [row.weights_sha256 for row in rows(directory, GenerationRow, "event = 'made'")]
    assert len(set(digests)) == len(digests) >= 4 and all_sound(directory)
    assert summary["status"] == "complete"
    assert f"update {note['update']} was dropped" in "".join(capfd.readouterr())
    if when == OWN:
        (decision,) = [row for row in rows(directory, DecisionRow) if row.reward is None and row.decision]
        assert decision.decision > 0


def test_an_expert_that_comes_late_is_not_asked_for_the_reward_of_a_decision_it_never_made(
    strategy, write_bars, tmp_path
):
    bars, own = write_bars(1400), strategy("late", set(), OWN)
    settings = {
        "online__update_every_decisions": 64,
        "checkpoint__interval_updates": 2,
        "strategy__sample": True,
    }
    summary, directory = run(bars, tmp_path / "run", strategy__name=own, **settings)
    experts = {row.expert for row in rows(directory, AllocationRow)}
    assert summary["status"] == "complete" and experts - {"generation 0", "trend", "reversion"}


def frozen_between(monkeypatch: pytest.MonkeyPatch, first: int, last: int) -> None:
    """Inline learning is frozen from decision `first` on, and no more from `last` on."""
    completed = InlineLearning.completed

    def acting(self: InlineLearning, before, generation, reward, tainted, after) -> None:
        if after.decision in (first, last):
            self.freeze("by_hand", after.decision == first)
        completed(self, before, generation, reward, tainted, after)

    monkeypatch.setattr(InlineLearning, "completed", acting)


def promoted(directory: RunDirectory) -> list[int]:
    """After which decisions."""
    found = rows(directory, GenerationRow, "event = 'promoted' AND generation > 0")
    return [json.loads(row.detail)["after_decision"] for row in found]


def test_frozen_an_inline_learner_promotes_nobody_and_afterwards_it_does(monkeypatch, write_bars, tmp_path):
    bars = write_bars(1400)
    free = promoted(run(bars, tmp_path / "free")[1])
    assert free
    first, last = free[0] - 1, free[0] + 100
    frozen_between(monkeypatch, first, last)
    _, directory = run(bars, tmp_path / "frozen")
    after = promoted(directory)
    assert not [decision for decision in after if first <= decision < last]
    assert [decision for decision in after if decision >= last]
    served = {row.generation for row in rows(directory, DecisionRow) if first < row.decision < last}
    assert len(served) == 1
    learnt = [row.decisions for row in rows(directory, UpdateRow)]
    assert not [decision for decision in learnt if first <= decision < last]
    # The same again: what a freeze leaves out, it leaves out every time.
    _, again = run(bars, tmp_path / "again")
    assert promoted(again) == after


@pytest.mark.parametrize("learner", ["inline", "process"])
async def test_a_daemon_tells_of_a_dropped_update_and_counts_it(strategy, learner, write_bars, tmp_path):
    name = strategy(f"daemons_{learner}", {101}, OWN)
    settings = {"online__learner": learner, "online__update_every_decisions": 32}
    daemon, source = make_daemon(write_bars(400), tmp_path / "daemon", name, **settings)
    async with running(daemon, source) as steps:
        await steps.step(300)
        await until(lambda: daemon.session.engine.learning.updates >= 5)
        now = daemon.snapshot()
        assert now.learner is not None and now.learner.non_finite == 1
        assert [alert.key for alert in now.alerts] == ["update_dropped"]
        assert now.learner.state in ("learning", "resting")
        if learner == "process":
            os.kill(daemon.session.engine.learning.process_ids[0], signal.SIGKILL)
            await until(lambda: len(daemon.snapshot().alerts) == 2)
            died = daemon.snapshot().alerts[-1]
            assert died.key == "learner_died" and died.text.startswith("the learner died (exit -9: )")


async def test_one_whose_own_weights_have_turned_bad_begins_anew_and_says_so(write_bars, tmp_path):
    settings = {"online__learner": "inline", "online__update_every_decisions": 32, "ppo__num_steps": 8}
    daemon, source = make_daemon(write_bars(500), tmp_path / "daemon", "ppo_online", **settings)
    learning = daemon.session.engine.learning
    assert isinstance(learning, InlineLearning)
    async with running(daemon, source) as steps:
        await steps.step(200)
        await until(lambda: learning.updates >= 3)
        learning._learner.updater.network.parameters[5] = np.nan
        updates = learning.updates
        await steps.step(200)
        await until(lambda: learning.updates >= updates + 3)
        now = daemon.snapshot()
    assert [alert.key for alert in now.alerts] == ["update_dropped", "learner_made_anew"]
    assert now.learner is not None and now.learner.non_finite == 1 and now.learner.policy_loss is not None
    directory = RunDirectory(tmp_path / "daemon")
    assert told(directory, "learner_made_anew")[0]["generation"] == 0 and all_sound(directory)


def test_the_doors_of_journal_and_store_let_nothing_through_that_is_not_finite(tmp_path):
    from ztb.learning.generations import GenerationInfo
    from ztb.learning.service.generation_store import GenerationStore
    from ztb.ledger.journal import Journal
    from ztb.ledger.journal_reader import JournalReader
    from ztb.ledger.records import MarkRow

    heard: list[Any] = []
    journal = Journal(tmp_path / "journal.sqlite", tell=heard.append)
    with pytest.raises(InvariantError, match="journal: equity of a row of marks would be nan"):
        journal.append(MarkRow(0, 1, 100.0, 1.0, 0.0, np.nan, 0.0, None, None))
    assert journal.append(MarkRow(0, 1, 100.0, 1.0, 0.0, 2.0, 0.0, np.inf, 3.0)) == 1
    digest = journal.sha256()
    journal.close()
    row = MarkRow(0, 1, 100.0, 1.0, 0.0, 2.0, 0.0, None, 3.0)
    reader = JournalReader(tmp_path / "journal.sqlite")
    assert list(reader.rows(MarkRow)) == heard == [row] and reader.sha256() == digest
    reader.close()
    with CheckpointManager(tmp_path / "checkpoints") as manager:
        store = GenerationStore(manager, "policy", {})
        weights = {"bias": np.array([1.0, np.inf], np.float32)}
        with pytest.raises(InvariantError, match=r"generation 3 cannot be kept: weights\.bias"):
            store.put(GenerationInfo(3, None, weights, ""), {"weights": weights}, (), {})


def test_a_generation_that_is_not_finite_is_refused_as_a_beginning(write_bars, tmp_path, capsys):
    from ztb.cli import run as cli

    _, directory = run(write_bars(300), tmp_path / "run", online__learner="off")
    with CheckpointManager(directory.checkpoints) as manager:
        state = manager.load("policy", as_numpy=True)
        next(iter(state["weights"].values())).flat[0] = np.nan
        manager.save(state, "policy")
    arguments = ["--data", str(Path(write_bars(300))), "--out", str(tmp_path / "next")]
    assert cli(["replay", *arguments, "--from-generation", str(directory.path)]) == 3
    assert "of its state is not finite; choose another generation" in capsys.readouterr().err
