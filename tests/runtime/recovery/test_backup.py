"""A run as one file: taken from a daemon that goes on, and gone on with elsewhere; damaged ones are refused whole."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from chaos.stage import WARM_S, stage
from runtime.recovery.test_past import journal
from ztb.cli import run
from ztb.control import Halt, Resume
from ztb.errors import ConfigError, DataError, NotFoundError, UsageError
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
def folder(tmp_path, monkeypatch):
    """A place with a finished run, and its backup."""
    monkeypatch.chdir(tmp_path)
    directory = RunDirectory(tmp_path / "run").make()
    journal(directory.path, NoteRow(1, "began", ""), NoteRow(2, "ended", ""))
    (directory.path / "run.json").write_text('{"mode": "replay"}')
    directory.write_json(directory.summary, {"decisions": 0})
    directory.checkpoints.mkdir()
    for name in ("policy.ztb", "worker"):
        (directory.checkpoints / name).write_bytes(b"weights")
    (directory.path / "logs" / "older").mkdir(parents=True)
    (directory.path / "logs" / "older" / "1.log").write_text("a line\n")
    (directory.path / "ticks").mkdir()
    (directory.path / "ticks" / "000001.ticks").write_bytes(b"recorded")
    for name in ("half.partial", "lock", "journal.sqlite-shm"):
        (directory.path / name).touch()
    (directory.path / "elsewhere").symlink_to("/etc/hostname")
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
    assert told["schema_version"] == 1
    assert told["bytes"] == sum(
        path.stat().st_size for path in (folder / "again").rglob("*") if path.is_file()
    )


def test_nobody_else_reads_a_backup_and_files_come_back_as_they_were_but_for_special_rights(folder):
    modes = {
        "run.json": (0o640, 0o640),
        "checkpoints/worker": (0o4755, 0o755),
        "summary.json": (0o600, 0o600),
    }
    for name, (mode, _) in modes.items():
        (folder / "run" / name).chmod(mode)
    os.utime(folder / "run" / "run.json", (1e9, 1e9))
    back_up(RunDirectory(folder / "run"), folder / "other.tar")
    assert (folder / "other.tar").stat().st_mode & 0o777 == 0o600
    with tarfile.open(folder / "other.tar") as archive:
        assert archive.getmember("backup.json").mode == 0o600
    restore(folder / "other.tar", folder / "again")
    for name, (_, mode) in modes.items():
        assert (folder / "again" / name).stat().st_mode & 0o7777 == mode
    assert (folder / "again").stat().st_mode & 0o777 == 0o755
    assert (folder / "again" / "run.json").stat().st_mtime == 1e9


@pytest.fixture
def synced(folder, monkeypatch):
    """In order: (file, size) as it was made durable, (folder, names in it), and (new name, None) of what was renamed."""
    told: list[tuple[Path, object]] = []

    def sync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        told.append((path, {one.name for one in path.iterdir()} if path.is_dir() else path.stat().st_size))

    def rename(source: Path, target: Path) -> None:
        source.rename(target)
        told.append((target, None))

    monkeypatch.setattr(files, "sync", sync)
    monkeypatch.setattr(files, "rename", rename)
    return told


@pytest.mark.parametrize("size", [0, 2_500, 5_000, 7_500])
def test_a_backup_is_on_disk_whole_before_its_name_and_its_name_before_it_is_said(folder, synced, size):
    """However much of it a buffer holds at the end."""
    (folder / "run" / "ticks" / "000002.ticks").write_bytes(bytes(size))
    target = folder / "run2.tar"
    there = {path.name for path in folder.iterdir()}
    back_up(RunDirectory(folder / "run"), target)
    partial = folder / "run2.tar.partial"
    assert synced == [(partial, target.stat().st_size), (target, None), (folder, there | {"run2.tar"})]


def test_a_restored_run_is_on_disk_whole_before_its_name_and_its_name_before_it_is_said(folder, synced):
    again = folder / "again"
    restore(folder / "run.tar", again)
    *before, renamed, last = synced
    assert renamed == (again, None) and last[0] == folder and "again" in last[1]
    made = next(path for path, _ in before if path.parent == folder)
    safe = {path.relative_to(made).as_posix(): what for path, what in before}
    held = {path.relative_to(again).as_posix(): path for path in (again, *again.rglob("*"))}
    assert safe == {
        name: {one.name for one in path.iterdir()} if path.is_dir() else path.stat().st_size
        for name, path in held.items()
    }


def test_what_retention_takes_away_meanwhile_is_left_out(folder, monkeypatch):
    taken, add = folder / "run" / "summary.json", tarfile.TarFile.addfile

    def addfile(self: tarfile.TarFile, member: tarfile.TarInfo, content: object = None) -> None:
        if member.name == "run.json":
            taken.unlink()
        add(self, member, content)  # type: ignore[arg-type]

    monkeypatch.setattr(tarfile.TarFile, "addfile", addfile)
    names = set(back_up(RunDirectory(folder / "run"), folder / "other.tar").files)
    assert "summary.json" not in names and {"run.json", "journal.sqlite", "ticks/000001.ticks"} <= names
    restore(folder / "other.tar", folder / "again")


def test_what_a_killed_backup_left_is_in_nobodys_way(folder):
    for name in ("other.tar.partial", "other.tar.partial-journal"):
        (folder / name).write_bytes(b"cut short")
    back_up(RunDirectory(folder / "run"), folder / "other.tar")
    restore(folder / "other.tar", folder / "again")
    assert not [path for path in folder.iterdir() if "partial" in path.name]


def test_folders_on_the_way_to_a_backup_or_a_run_are_made(folder):
    back_up(RunDirectory(folder / "run"), folder / "a" / "b" / "run.tar")
    restore(folder / "a" / "b" / "run.tar", folder / "c" / "d" / "run")
    assert sha256(folder / "c" / "d" / "run") == sha256(folder / "run")


def test_real_money_is_not_armed_by_a_copy(folder):
    (folder / "run" / "arming.json").write_text("{}")
    back_up(RunDirectory(folder / "run"), folder / "other.tar")
    assert "arming.json" in restore(folder / "other.tar", folder / "again").files
    assert not (folder / "again" / "arming.json").exists()


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
        ({}, "backup.json is missing"),
    ):
        with pytest.raises(DataError, match=words):
            restore(archive(folder / "other.tar", **members), again)
    with tarfile.open(folder / "link.tar", "w") as made:
        made.add(folder / "run" / "elsewhere", "elsewhere")
    with pytest.raises(DataError, match="'elsewhere' is no file"):
        restore(folder / "link.tar", again)
    (folder / "words.tar").write_text("no archive at all")
    with pytest.raises(DataError, match="not a backup, or cut short"):
        restore(folder / "words.tar", again)
    with pytest.raises(NotFoundError, match="no such file"):
        restore(folder / "gone.tar", again)
    assert not again.exists() and not (folder.parent / "outside").exists()


def test_nothing_is_overwritten_nor_a_daemon_disturbed(folder):
    with RunDirectory(folder / "busy").make().held():
        with pytest.raises(UsageError, match="a daemon runs there"):
            restore(folder / "run.tar", folder / "busy")
    with pytest.raises(UsageError, match="is not empty"):
        restore(folder / "run.tar", folder / "run")
    with pytest.raises(UsageError, match="is there already"):
        back_up(RunDirectory(folder / "run"), folder / "run.tar")
    with pytest.raises(UsageError, match="is not empty"):
        restore(folder / "run.tar", folder / "run" / "run.json")
    with pytest.raises(UsageError, match="lies within the run"):
        back_up(RunDirectory(folder / "run"), folder / "run" / "ticks" / "run.tar")
    with pytest.raises(NotFoundError, match="no journal there"):
        back_up(RunDirectory(folder / "run" / "ticks"), folder / "new" / "other.tar")
    assert not (folder / "new").exists()
    (folder / "empty").mkdir()
    restore(folder / "run.tar", folder / "empty")
    assert sha256(folder / "empty") == sha256(folder / "run")


@pytest.mark.parametrize(
    ("number", "code", "remedy"),
    [
        (errno.ENOSPC, 75, "free space"),
        (errno.EIO, 75, "another disk"),
        (errno.EROFS, 2, "name another place"),
    ],
)
def test_a_disk_that_is_full_or_refuses_is_said_and_what_was_begun_is_gone(
    folder, monkeypatch, capsys, number, code, remedy
):
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as changed:
        changed.setattr(files, "sync", refuse)
        for typed in (["backup", "run", "full.tar"], ["restore", "run.tar", "full"]):
            assert run(typed) == code
            said = capsys.readouterr().err
            assert os.strerror(number) in said and remedy in said
    assert not [path for path in folder.iterdir() if "full" in path.name]


def test_a_damaged_journal_is_said_and_no_backup_of_it_is_left(folder):
    raw = bytearray((folder / "run" / "journal.sqlite").read_bytes())
    raw[4096:] = bytes(len(raw) - 4096)
    (folder / "run" / "journal.sqlite").write_bytes(raw)
    with pytest.raises(DataError, match="damaged"):
        back_up(RunDirectory(folder / "run"), folder / "bad.tar")
    assert not [path for path in folder.iterdir() if path.name.startswith("bad")]
