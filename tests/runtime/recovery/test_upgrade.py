"""A run's folder of an earlier version goes on with this one; one of a later version is refused, by name and version."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.daemons import running
from runtime.recovery.test_restart import WARM, life, rows
from ztb.cli import run as ztb
from ztb.errors import DataError
from ztb.ledger.records import SCHEMA_VERSION, DecisionRow, MarkRow


def _aged(journal: Path, version: int) -> None:
    """Make a journal what it was in an earlier version: tables, columns and packs that came since are not there."""
    with contextlib.closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute("DROP TABLE packs")
        connection.execute("ALTER TABLE decisions DROP COLUMN aims")
        if version < 2:
            assert not connection.execute("SELECT count(*) FROM allocations").fetchone()[0]
            connection.execute("DROP TABLE allocations")
        connection.execute("UPDATE meta SET value=? WHERE key='schema_version'", (str(version),))


def _version(journal: Path) -> int:
    with contextlib.closing(sqlite3.connect(journal)) as connection:
        (text,) = connection.execute("SELECT value FROM meta WHERE key='schema_version'").fetchone()
    return int(text)


@pytest.mark.parametrize("version", [1, 2])
async def test_a_run_of_an_earlier_version_is_read_and_gone_on_with(
    write_bars: Callable[..., Path], tmp_path: Path, version: int
) -> None:
    data, folder = write_bars(400), tmp_path / "run"
    daemon, source = life(data, folder, "random_walk")
    async with running(daemon, source) as run:
        await run.step(WARM + 40)
    before, marks = rows(folder, DecisionRow), rows(folder, MarkRow)
    cash = daemon.session.books.account.cash_units
    _aged(folder / "journal.sqlite", version)
    assert rows(folder, DecisionRow) == before and rows(folder, MarkRow) == marks, "it is read as it is"
    assert _version(folder / "journal.sqlite") == version, "and reading changes nothing"
    again, source = life(data, folder, "random_walk")
    assert again.session.books.account.cash_units == cash
    async with running(again, source) as run:
        await run.step(WARM + 90)
    after = rows(folder, DecisionRow)
    assert _version(folder / "journal.sqlite") == SCHEMA_VERSION
    assert after[: len(before)] == before and len(after) > len(before) + 30
    assert ztb(["report", str(folder)]) == 0


async def test_a_run_of_a_later_version_is_refused_and_left_as_it_is(
    write_bars: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, folder = write_bars(300), tmp_path / "run"
    daemon, source = life(data, folder, "random_walk")
    async with running(daemon, source) as run:
        await run.step(WARM + 5)
    with contextlib.closing(sqlite3.connect(folder / "journal.sqlite")) as connection, connection:
        connection.execute("UPDATE meta SET value='99' WHERE key='schema_version'")
    content = (folder / "journal.sqlite").read_bytes()
    with pytest.raises(
        DataError, match=rf"journal\.sqlite: journal schema 99 is newer than .*{SCHEMA_VERSION}.*update"
    ):
        life(data, folder, "random_walk")
    for words in (
        ["report", str(folder)],
        ["why", "1", "--run", str(folder)],
        ["backup", str(folder), "x.tar"],
    ):
        capsys.readouterr()
        assert ztb(words) == 3 and "journal schema 99 is newer" in capsys.readouterr().err
    assert (folder / "journal.sqlite").read_bytes() == content


def test_a_configuration_that_is_no_longer_read_is_refused_by_version_and_key(
    write_bars: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    data = str(write_bars(150))
    assert (
        ztb(["replay", "--data", data, "--strategy", "hold", "--learner", "off", "--out", str(folder)]) == 0
    )
    manifest = json.loads((folder / "run.json").read_text())
    manifest["config"]["risk"]["max_luck"] = 7
    (folder / "run.json").write_text(json.dumps(manifest))
    capsys.readouterr()
    assert ztb(["replay", str(folder), "--out", str(tmp_path / "again")]) == 3
    said = capsys.readouterr().err
    assert all(
        words in said
        for words in (str(folder), "made by version", "max_luck", "use the version that made it")
    )
