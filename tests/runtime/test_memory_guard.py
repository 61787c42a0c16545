"""A run that nears its memory limit ends cleanly, says so, and keeps what was done."""

from __future__ import annotations

import json

import pytest

from ztb.cli import run
from ztb.errors import ResourceError
from ztb.ledger.journal import JournalReader
from ztb.ledger.records import NoteRow
from ztb.runtime.memory_guard import MemoryGuard, resident_bytes


def test_it_leaves_above_95_percent_and_not_below():
    MemoryGuard(1.0, lambda: 949_000_000)()
    with pytest.raises(ResourceError, match=r"0\.96 GB of limits\.max_memory_gb = 1\.00 are in use"):
        MemoryGuard(1.0, lambda: 960_000_000)()


def test_it_measures_this_process():
    before = resident_bytes()
    ballast = bytearray(b"x" * 200_000_000)
    assert resident_bytes() - before > 0.8 * len(ballast)


def test_a_replay_over_its_limit_ends_with_75_and_stays_readable(write_bars, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ZTB_MAX_MEMORY_GB", "0.21")
    out = tmp_path / "run"
    ballast = bytearray(b"x" * 200_000_000)
    assert run(["replay", "--data", str(write_bars(400)), "--strategy", "hold", "--out", str(out)]) == 75
    assert ballast and "ZTB_MAX_MEMORY_GB" in capsys.readouterr().err
    assert json.loads((out / "summary.json").read_text())["status"].startswith("failed: memory")
    rows = list(JournalReader(out / "journal.sqlite").rows(NoteRow))
    assert (rows[0].kind, rows[-1].kind) == ("start", "end") and rows[-1].detail.startswith("failed: memory")
