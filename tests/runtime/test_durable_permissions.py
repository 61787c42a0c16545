"""What a person allowed, took back or stopped is so after a power cut at any moment: the old word before it is given,
the new one once it is acknowledged, never half of one.

The disk is the checkpoints' simulated one, and runs once with each of its syncs taken away, to see that it notices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from utils.checkpoint_disk import Disk, Fact, Files, power_cuts
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.daemon.kill_switch import KillSwitch, Latch
from ztb.runtime.modes.arming import Arming, disarm, read_arming, write_arming
from ztb.telemetry.mqtt.signing import SequenceFile
from ztb.utils import files

ARMED = Arming("account", 1000.0, "config", "code", "weights", expires_ns=100)
STARTED = Arming("account", 1000.0, "config", "code", "weights", expires_ns=100, started_ns=50)
HALTED = Latch("halted", 1, "socket", "a reason")
FLATTENING = Latch("flattening", 2, "signal", "another")


@dataclass(frozen=True)
class Word:
    """`before` is made and acknowledged, then `change`; `read` says what a new process finds."""

    before: Callable[[Path], object]
    change: Callable[[Path], object]
    read: Callable[[Path], object]


def nothing(_folder: Path) -> None:
    return None


def stopped(folder: Path) -> tuple[Latch | None, bool]:
    switch = KillSwitch(folder)
    return switch.latch, switch.touched()


def touch_and_latch(folder: Path) -> None:
    files.touch(folder / "halt")
    KillSwitch(folder).set(HALTED)


def manifest(folder: Path) -> dict[str, Any] | None:
    run = RunDirectory(folder)
    return run.read_json(run.manifest) if run.manifest.exists() else None


WORDS = {
    "arming": Word(nothing, lambda folder: write_arming(folder, ARMED), read_arming),
    "the first start of what is armed": Word(
        lambda folder: write_arming(folder, ARMED), lambda folder: write_arming(folder, STARTED), read_arming
    ),
    "disarming": Word(lambda folder: write_arming(folder, ARMED), disarm, read_arming),
    "halting": Word(nothing, lambda folder: KillSwitch(folder).set(HALTED), stopped),
    "flattening a halted run": Word(
        lambda folder: KillSwitch(folder).set(HALTED), lambda folder: KillSwitch(folder).set(FLATTENING), stopped
    ),
    "resuming": Word(touch_and_latch, lambda folder: KillSwitch(folder).clear(), stopped),
    "a signed command's number": Word(
        lambda folder: SequenceFile(folder / "sequence").advance(7),
        lambda folder: SequenceFile(folder / "sequence").advance(8),
        lambda folder: SequenceFile(folder / "sequence").highest,
    ),
    "a run's manifest": Word(
        lambda folder: RunDirectory(folder).write_json(folder / "run.json", {"seed": 1}),
        lambda folder: RunDirectory(folder).write_json(folder / "run.json", {"seed": 2}),
        manifest,
    ),
}  # fmt: skip


def found_after_cuts(
    word: Word, folder: Path, monkeypatch: pytest.MonkeyPatch, blind: frozenset[str] = frozenset()
) -> tuple[list[object], list[object], object, object]:
    """(what is found after cuts while the word changes, after it is acknowledged, the old word, the new one)."""
    folder.mkdir()
    disk = Disk(monkeypatch, blind)
    word.before(folder)
    old, began = word.read(folder), len(disk.log)
    word.change(folder)
    new = word.read(folder)
    disk.log.append(Fact("acknowledged", 0))
    monkeypatch.undo()
    during = [
        read_after(word, left, folder) for moment in range(began, len(disk.log)) for left in cut(disk, moment)
    ]
    after = [read_after(word, left, folder) for left in cut(disk, len(disk.log))]
    return during, after, old, new


def cut(disk: Disk, moment: int) -> list[Files]:
    return [
        {path: data for path, data in left.items() if path.suffix != ".partial"}
        for left in power_cuts(disk.log, moment, "")
    ]


def read_after(word: Word, left: Files, folder: Path) -> object:
    """What a process finds in a folder that was left so; a file that cannot be read is its error's text."""
    for path in folder.iterdir():
        path.unlink()
    for path, data in left.items():
        path.write_bytes(data)
    try:
        return word.read(folder)
    except Exception as error:
        return repr(error)


@pytest.mark.parametrize("what", WORDS)
def test_no_power_cut_loses_a_word_that_was_acknowledged(what, tmp_path, monkeypatch):
    during, after, old, new = found_after_cuts(WORDS[what], tmp_path / "run", monkeypatch)
    assert old != new and after and all(found == new for found in after)
    if (
        what != "resuming"
    ):  # of two files, either may go first: the run is still stopped, by the one or the other
        assert all(found in (old, new) for found in during)
    assert any(found == old for found in during)


def test_while_a_resumption_is_not_acknowledged_nothing_is_half_read(tmp_path, monkeypatch):
    during, _, _, _ = found_after_cuts(WORDS["resuming"], tmp_path / "run", monkeypatch)
    assert {str(found) for found in during} == {
        str((latch, touched)) for latch in (HALTED, None) for touched in (True, False)
    }


@pytest.mark.parametrize("missing", ["sync", "sync_folder"])
@pytest.mark.parametrize("what", WORDS)
def test_the_simulated_disk_notices_a_sync_that_is_missing(what, missing, tmp_path, monkeypatch):
    removes = what in ("disarming", "resuming")
    if removes and missing == "sync":
        return  # there is no file to be synced
    during, after, _, new = found_after_cuts(WORDS[what], tmp_path / "run", monkeypatch, frozenset({missing}))
    assert not all(found == new for found in after), (what, during)


def test_it_lies_for_its_owner_alone_from_its_first_moment(tmp_path):
    write_arming(tmp_path / "new" / "run", ARMED)
    assert (tmp_path / "new" / "run" / "arming.json").stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.rglob("*.partial"))
