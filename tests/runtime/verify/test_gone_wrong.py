"""A session whose learner dropped updates, went wrong and began anew, and was frozen, is repeated and learnt again."""

from __future__ import annotations

import asyncio
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.daemons import Hearing, until
from runtime.verify.sessions import alter, ask, configured, decide, kinds, rows, start
from runtime.verify.test_relearning import learnt_to, relearn
from ztb.control import Freeze, Unfreeze
from ztb.learning.service.inline import InlineLearning
from ztb.learning.service.process import ProcessLearning
from ztb.ledger.records import DecisionRow, GenerationRow, NoteRow, Record, UpdateRow
from ztb.runtime.daemon.daemon import Daemon
from ztb.testing.exchange.local import LocalExchange


def spoil(daemon: Daemon) -> None:
    """From the next decision on the learner goes wrong: inline a weight of its, in a process what it is sent."""
    learning = daemon.session.engine.learning
    if isinstance(learning, InlineLearning):
        learning._learner.updater.network.parameters[3] = math.nan
        return
    assert isinstance(learning, ProcessLearning)
    push = learning.process.push
    learning.process.push = lambda one: push(replace(one, next_value=math.nan))  # type: ignore[method-assign]


def mend(daemon: Daemon) -> None:
    learning = daemon.session.engine.learning
    if isinstance(learning, ProcessLearning):
        del learning.process.push


async def steered(daemon: Daemon) -> None:
    """It learns; it goes wrong, is made anew, and learns; it is frozen, and learns once more."""
    session = daemon.session
    heard: list[str] = []

    def hear(record: Record) -> None:
        if isinstance(record, NoteRow):
            heard.append(record.kind)

    daemon.session.context.broadcast.watch(Hearing(hear))
    await until(lambda: session.lineage.made >= 3)
    spoil(daemon)
    await until(lambda: "learner_made_anew" in heard)
    mend(daemon)
    await learnt_to(daemon, session.engine.progress.decisions + 8)
    alerts = [alert.key for alert in daemon.snapshot().alerts]
    assert "update_dropped" in alerts and "learner_made_anew" in alerts
    await ask(daemon, Freeze())
    await decide(daemon, 6)
    await ask(daemon, Unfreeze())
    await learnt_to(daemon, session.engine.progress.decisions + 8)


@pytest.fixture(scope="module", params=["inline", "process"])
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param) / "run"
    folder.mkdir()

    async def trade() -> None:
        async with LocalExchange(seed=11) as exchange:
            await start(folder, configured(exchange, online__learner=request.param), steered)

    asyncio.run(trade())
    return folder


def test_every_decision_and_every_generation_is_made_again(session, tmp_path, capsys):
    assert {"update_dropped", "learner_made_anew", "frozen"} <= kinds(session)
    made = [row for row in rows(session, GenerationRow) if row.event == "made" and row.generation > 0]
    updates = [row.number for row in rows(session, UpdateRow)]
    assert len(updates) < updates[-1] and len(made) >= 4
    assert relearn(session, tmp_path / "again") == 0
    said = capsys.readouterr().err
    assert f"{len(rows(session, DecisionRow))} decisions repeated bit for bit" in said
    assert (
        f"{len(made)} generations of {len(updates)} updates learnt again, each with the same weights" in said
    )


@pytest.mark.parametrize("kind", ["update_dropped", "learner_made_anew"])
def test_a_journal_that_does_not_say_so_is_found_out(session, tmp_path, kind):
    broken = Path(shutil.copytree(session, tmp_path / "broken"))
    alter(broken, f"DELETE FROM notes WHERE kind = '{kind}'")
    assert relearn(broken, tmp_path / "again") == 3
