"""`ztb generations list|show` prints what is kept, its lineage, and whether it is whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ztb.commands.generations import list_generations, show
from ztb.errors import NotFoundError
from ztb.utils import CheckpointManager


@pytest.fixture
def base(tmp_path: Path) -> Path:
    clock = iter(range(10**18, 10**19, 10**9)).__next__
    with CheckpointManager(tmp_path, clock=clock) as manager:
        for n in range(2):
            lineage = {"parent": n - 1, "data_range": [1, 2], "config_hash": "c0ffee", "seeds": {"action": 7}}
            manager.save({"w": np.ones(9)}, "exp", metrics={"return": n / 4, "sharpe": None}, lineage=lineage)
        manager.mark_promoted("exp", 1)
        manager.save(0, "other")
    return tmp_path


def test_list_as_json(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list_generations(base, None, as_json=True) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(g["name"], g["generation"], g["marks"]) for g in listed] == [
        ("exp", 0, []),
        ("exp", 1, ["promoted"]),
        ("other", 0, []),
    ]
    assert listed[1]["created"] == "2001-09-09T01:46:41+00:00"
    assert listed[1]["metrics"] == {"return": 0.25, "sharpe": None}


def test_list_as_a_table(
    base: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert list_generations(base, "exp", as_json=False) == 0
    printed = capsys.readouterr().out
    for text in ("2001-09-09T01:46:41", "promoted", "return", "0.25", "good"):
        assert text in printed


def test_show_prints_lineage(
    base: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert show(base, "exp", None, as_json=False) == 0
    printed = capsys.readouterr().out
    for text in (
        "lineage.parent",
        "lineage.data_range",
        "[1, 2]",
        "c0ffee",
        '{"action": 7}',
        "every byte verified",
    ):
        assert text in printed


def test_a_damaged_generation_is_said_and_ends_in_exit_code_3(
    base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = base / "exp" / "gen-00000000.ckpt"
    raw = bytearray(path.read_bytes())
    raw[70] ^= 1
    path.write_bytes(raw)
    assert list_generations(base, "exp", as_json=True) == 0, "a list reads manifests only"
    assert show(base, "exp", 0, as_json=True) == 3
    assert (
        json.loads(capsys.readouterr().out.splitlines()[-1])["fault"] == "a frame's checksum does not match"
    )
    path.write_bytes(b"")
    assert list_generations(base, "exp", as_json=True) == 3
    (first, _) = json.loads(capsys.readouterr().out)
    assert (first["created"], first["bytes"]) == (None, None)


def test_nothing_to_list(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there are no generations"):
        list_generations(tmp_path / "absent", None, as_json=False)
