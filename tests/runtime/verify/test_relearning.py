"""What a learner in a process of its own learnt while a session traded, learnt again from the session's record."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from runtime.daemons import Hearing, until
from runtime.verify.sessions import alter, ask, configured, decide, kinds, rows, start
from ztb.cli import run
from ztb.control import Freeze, Promote, Rollback, Unfreeze
from ztb.ledger.journal import Journal
from ztb.ledger.records import GenerationRow, NoteRow, Record, UpdateRow
from ztb.runtime.daemon.daemon import Daemon
from ztb.testing.exchange.local import LocalExchange
from ztb.utils import CheckpointManager


async def steered(daemon: Daemon) -> None:
    """The learner is killed, set back by hand, and frozen for a while."""
    session = daemon.session
    learning = session.engine.learning

    async def made(more: int) -> None:
        wanted = session.lineage.made + more
        await until(lambda: session.lineage.made >= wanted)

    await made(1)
    os.kill(learning.process_ids[0], signal.SIGKILL)
    await made(1)
    await ask(daemon, Promote(1))
    await decide(daemon, 3)
    await ask(daemon, Rollback(None))
    await made(1)
    await ask(daemon, Freeze())
    await decide(daemon, 4)
    await ask(daemon, Unfreeze())
    await learnt_to(daemon, session.engine.progress.decisions + 8)


async def learnt_to(daemon: Daemon, decision: int) -> None:
    """Return when a generation has been trained on everything up to `decision`."""
    reached = [-1]

    def hear(record: Record) -> None:
        if isinstance(record, GenerationRow) and record.event == "made":
            reached.append(json.loads(record.detail)["trained_to_decision"])

    daemon.session.context.broadcast.watch(Hearing(hear))
    await until(lambda: reached[-1] >= decision)


async def trade(folder: Path) -> None:
    async with LocalExchange(seed=7) as exchange:
        settings = {"online__learner": "process", "online__profile": "auto", "decision__interval_ms": 100}
        await start(folder, configured(exchange, **settings), steered)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("process") / "run"
    folder.mkdir()
    Journal(folder / "journal.sqlite").close()  # as of a start that was killed before its first row
    asyncio.run(trade(folder))
    return folder


def relearn(folder: Path, to: Path) -> int:
    return run(["replay", str(folder), "--relearn", "--out", str(to), "--json"])


def test_every_generation_is_made_again_though_the_learner_was_killed_set_back_and_frozen(
    session, tmp_path, capsys
):
    assert {"learner_died", "learner_set_back", "frozen"} <= kinds(session)
    candidates = [row for row in rows(session, GenerationRow) if row.event == "made" and row.generation > 0]
    updates = len(rows(session, UpdateRow))
    assert len(candidates) >= 4 and updates >= len(candidates)
    assert relearn(session, tmp_path / "again") == 0
    said = f"{len(candidates)} generations of {updates} updates learnt again, each with the same weights"
    assert said in capsys.readouterr().err


def with_another_digest(folder: Path) -> None:
    alter(
        folder,
        "UPDATE generations SET weights_sha256 = 'ab' || substr(weights_sha256, 3) WHERE generation = 2",
    )


def with_another_statistic(folder: Path) -> None:
    alter(folder, "UPDATE updates SET policy_loss = policy_loss + 1e-9 WHERE number = 1")


def never_set_back(folder: Path) -> None:
    alter(folder, "DELETE FROM notes WHERE kind = 'learner_set_back'")


def never_frozen(folder: Path) -> None:
    alter(folder, "DELETE FROM notes WHERE kind = 'frozen'")


def with_another_weight(folder: Path) -> None:
    """A generation that was saved again with one weight changed, whole as far as its own checksums go."""
    with CheckpointManager(folder / "checkpoints") as manager:
        last = max(manager.list("policy"), key=lambda saved: saved.lineage["generation"])
        state = manager.load("policy", last.number, as_numpy=True)
        next(iter(state["weights"].values())).flat[0] += 1.0
        for saved in manager.list("policy"):
            if saved.lineage["generation"] == last.lineage["generation"]:
                for mark in saved.marks:
                    manager.unmark("policy", saved.number, mark)
                manager.delete("policy", saved.number)
        manager.save(state, "policy", lineage=last.lineage)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (with_another_digest, r"generation 2 \(of update \d+\): weights ab\w+ then, \w+ now"),
        (with_another_statistic, r"update 1: its statistics"),
        (never_set_back, r"generation \d+ \(of update \d+\): weights"),
        (never_frozen, r"generation \d+ \(of update \d+\): weights"),
        (with_another_weight, r"the weights of generation \d+ are not those that served"),
    ],
)
def test_what_was_changed_is_found_and_the_first_generation_named(session, tmp_path, capsys, damage, named):
    broken = Path(shutil.copytree(session, tmp_path / "broken"))
    damage(broken)
    assert relearn(broken, tmp_path / "again") == 3
    assert re.search(named, capsys.readouterr().err)


def test_without_a_run_there_is_nothing_to_learn_again(capsys):
    assert run(["replay", "--relearn"]) == 2
    assert "ztb replay RUN --relearn" in capsys.readouterr().err


def test_the_notes_for_a_repetition_are_small(session):
    told = [row for row in rows(session, NoteRow) if row.kind not in ("began", "opening")]
    assert max(len(row.detail) for row in told) < 300
