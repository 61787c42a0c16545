"""A run as one file: taken from a daemon that goes on, and gone on with elsewhere; damaged ones are refused whole."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import json
import tarfile
from pathlib import Path

import pytest

from chaos.stage import WARM_S, stage
from ztb.cli import run
from ztb.control import Halt, Resume
from ztb.errors import ConfigError, DataError, UsageError
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import FillRow, NoteRow
from ztb.ledger.run_directory import RunDirectory
from ztb.market.recorder import recordings
from ztb.market.recording import RecordingReader
from ztb.runtime.modes.arming import read_arming
from ztb.runtime.recovery.backup import back_up, restore
from ztb.testing.virtual_time import run_virtual
from ztb.utils import files

RECORDED = {"market.record": True}


def fills(folder: Path) -> list[FillRow]:
    with contextlib.closing(JournalReader(folder / "journal.sqlite")) as reader:
        return list(reader.rows(FillRow))


def sha256(folder: Path) -> str:
    with contextlib.closing(JournalReader(folder / "journal.sqlite")) as reader:
        return reader.sha256()


def test_a_daemon_goes_on_while_it_is_backed_up_and_its_copy_goes_on_where_it_was(tmp_path):
    there, here, file = tmp_path / "there", tmp_path / "here", tmp_path / "run.tar"
    seen = []

    async def go() -> None:
        async with stage(3, there, **RECORDED) as it:
            async with it.running("paper") as daemon:
                await asyncio.sleep(WARM_S + 20.0)
                daemon.session.books.journal.flush()
                seen.append((fills(there), daemon.snapshot().position))
                back_up(RunDirectory(there), file)
                await asyncio.sleep(20.0)
            assert fills(there)[: len(seen[0][0])] == seen[0][0] and len(fills(there)) > len(seen[0][0]) > 0
            restore(file, here)
            assert fills(here) == seen[0][0]
            it.folder = here
            async with it.running("paper") as daemon:
                assert daemon.session.engine.books.account.fills == len(seen[0][0])
                assert daemon.snapshot().position == seen[0][1]
                await asyncio.sleep(WARM_S + 20.0)
                assert daemon.snapshot().state == "trading"

    run_virtual(go())
    assert fills(here)[: len(seen[0][0])] == seen[0][0] and len(fills(here)) > len(seen[0][0])
    assert len(recordings(here / "ticks")) == 2, "what came after the restart goes on in a file of its own"
    for path in recordings(here / "ticks").values():
        assert sum(len(ticks) for ticks, _ in RecordingReader(path).frames()) > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "run.tar", "there"]


def test_a_halt_is_taken_over_and_a_permission_to_trade_real_money_is_not(tmp_path):
    there, here, file = tmp_path / "there", tmp_path / "here", tmp_path / "run.tar"

    async def go() -> None:
        async with stage(3, there) as it:
            async with it.running("live") as daemon:
                await asyncio.sleep(WARM_S + 5.0)
                assert (await daemon.controls.execute(Halt("a storm"), "socket")).ok
                back_up(RunDirectory(there), file)
                assert (await daemon.controls.execute(Resume(), "socket")).ok
            restore(file, here)
            it.folder = here
            assert read_arming(there) is not None and read_arming(here) is None
            with pytest.raises(ConfigError, match="it is not armed"):
                async with it.running("live"):
                    pass
            async with it.running("paper") as daemon:
                await asyncio.sleep(1.0)
                assert daemon.snapshot().state == "halted" and "a storm" in daemon.snapshot().because

    run_virtual(go())


@pytest.fixture
def folder(write_bars, tmp_path, monkeypatch):
    """A place with a finished run, and its backup."""
    data = write_bars(150)
    monkeypatch.chdir(tmp_path)
    assert run(["replay", "--data", str(data), "--strategy", "hold", "--learner", "off", "--out", "run"]) == 0
    (tmp_path / "run" / "ticks").mkdir()
    (tmp_path / "run" / "ticks" / "000001.ticks").write_bytes(b"recorded")
    (tmp_path / "run" / "half.partial").touch()
    (tmp_path / "run" / "elsewhere").symlink_to("/etc/hostname")
    assert run(["backup", "run", "run.tar"]) == 0
    return tmp_path


def test_what_comes_back_is_what_went_in_and_nothing_that_only_was_being_written(folder, capsys):
    capsys.readouterr()
    assert run(["restore", "run.tar", "again", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    names = {path.name for path in (folder / "again").rglob("*") if path.is_file()}
    assert {Path(name).name for name in told["files"]} == names and told["run"] == "run"
    assert {"journal.sqlite", "run.json", "summary.json", "000001.ticks"} <= names
    assert not names & {"lock", "half.partial", "elsewhere", "journal.sqlite-wal", "backup.json"}
    assert sha256(folder / "again") == sha256(folder / "run")
    with contextlib.closing(JournalReader(folder / "again" / "journal.sqlite")) as reader:
        assert any(True for _ in reader.rows(NoteRow))
    for path in (folder / "run").rglob("*.json"):
        assert (folder / "again" / path.name).read_bytes() == path.read_bytes()
    assert (folder / "run.tar").stat().st_mode & 0o077 == 0


def test_ticks_may_stay_behind(folder):
    assert run(["backup", "run", "small.tar", "--without-ticks"]) == 0
    assert run(["restore", "small.tar", "again"]) == 0
    assert not (folder / "again" / "ticks").exists() and (folder / "again" / "journal.sqlite").exists()


def test_every_byte_is_looked_at(folder):
    """Whatever is cut off or changed in what a member holds, nothing is made of it."""
    sound = (folder / "run.tar").read_bytes()
    with tarfile.open(folder / "run.tar") as archive:
        held = [(one.offset_data, one.size) for one in archive if one.size]
    for start, size in held:
        (folder / "bad.tar").write_bytes(sound[: start + size // 2])
        with pytest.raises(DataError):
            restore(folder / "bad.tar", folder / "again")
        bad = bytearray(sound)
        bad[start + size // 2] ^= 1
        (folder / "bad.tar").write_bytes(bad)
        with pytest.raises(DataError, match="damaged"):
            restore(folder / "bad.tar", folder / "again")
    assert run(["restore", "bad.tar", "again"]) == 3
    assert not (folder / "again").exists()
    assert not [path for path in folder.iterdir() if path.name.startswith(".again")]


def archive(path: Path, **members: str) -> Path:
    with tarfile.open(path, "w") as made:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content.encode()))
    return path


def test_what_is_no_backup_of_ours_is_refused(folder):
    again = folder / "again"
    newer = {"run": "x", "made_ns": 1, "code_version": "9", "bytes": 0, "files": {}, "schema_version": 2}
    for members, words in (
        ({"../outside": "x"}, "would lie outside"),
        ({"/outside": "x"}, "would lie outside"),
        ({"run.json": "x"}, "backup.json is missing"),
        ({"backup.json": "x"}, "backup.json cannot be read"),
        ({"backup.json": json.dumps(newer)}, "is newer than this ztb knows"),
    ):
        with pytest.raises(DataError, match=words):
            restore(archive(folder / "other.tar", **members), again)
    assert not again.exists() and not (folder.parent / "outside").exists()


def test_nothing_is_overwritten_nor_a_daemon_disturbed(folder):
    with RunDirectory(folder / "busy").make().held():
        with pytest.raises(UsageError, match="a daemon runs there"):
            restore(folder / "run.tar", folder / "busy")
    with pytest.raises(UsageError, match="is not empty"):
        restore(folder / "run.tar", folder / "run")
    with pytest.raises(UsageError, match="is there already"):
        back_up(RunDirectory(folder / "run"), folder / "run.tar")
    (folder / "empty").mkdir()
    restore(folder / "run.tar", folder / "empty")
    assert sha256(folder / "empty") == sha256(folder / "run")


def test_a_full_disk_is_said_and_what_was_begun_is_gone(folder, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as changed:
        changed.setattr(files, "sync", full)
        for typed in (["backup", "run", "full.tar"], ["restore", "run.tar", "full"]):
            assert run(typed) == 75
    assert not [path for path in folder.iterdir() if "full" in path.name]


def test_a_damaged_journal_is_said_and_no_backup_of_it_is_left(folder):
    raw = bytearray((folder / "run" / "journal.sqlite").read_bytes())
    raw[4096:] = bytes(len(raw) - 4096)
    (folder / "run" / "journal.sqlite").write_bytes(raw)
    with pytest.raises(DataError, match="damaged"):
        back_up(RunDirectory(folder / "run"), folder / "bad.tar")
    assert not [path for path in folder.iterdir() if path.name.startswith("bad")]
