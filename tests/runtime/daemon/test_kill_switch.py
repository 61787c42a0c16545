"""The latch: set whatever the disk does, taken away only durably, and never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ztb.errors import DataError
from ztb.runtime.daemon.kill_switch import KillSwitch, Latch
from ztb.utils import files

LATCH = Latch("halted", 7, "a test", "because")


def fails(*_given: object) -> None:
    raise OSError("the disk is full")


def test_it_is_latched_at_once_and_still_after_a_restart_until_it_is_cleared(tmp_path: Path):
    switch = KillSwitch(tmp_path)
    switch.set(LATCH)
    assert switch.latch == LATCH == KillSwitch(tmp_path).latch
    switch.file.touch()
    assert switch.touched()
    switch.clear()
    assert switch.latch is None is KillSwitch(tmp_path).latch and not switch.touched()


def test_a_full_disk_keeps_nobody_from_halting_and_lets_nobody_resume(tmp_path: Path, monkeypatch):
    switch = KillSwitch(tmp_path)
    with monkeypatch.context() as full:
        full.setattr(files, "write_durably", fails)
        with pytest.raises(OSError, match="full"):
            switch.set(LATCH)
    assert switch.latch == LATCH
    monkeypatch.setattr(files, "remove_durably", fails)
    with pytest.raises(OSError, match="full"):
        switch.clear()
    assert switch.latch == LATCH


def test_a_latch_that_cannot_be_read_is_no_permission(tmp_path: Path):
    (tmp_path / "latch.json").write_text('{"stop": "hal')
    with pytest.raises(DataError, match=r"latch\.json.*trading stays halted.*remove the file"):
        KillSwitch(tmp_path)
