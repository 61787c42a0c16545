"""Old runs go by size and age, the oldest first and each said; what goes on, is real money's or is needed stays."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from ztb.cli import run
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.recovery.pruning import OldRun, spent

_NOW_S = 1_700_000_000.0
_DAY_S = 86_400


def _made(
    folder: Path, name: str, *, days: float, size: int = 1000, mode: str = "replay", **manifest: Any
) -> Path:
    """A run of `size` bytes whose journal was last written so many days ago."""
    path = folder / name
    path.mkdir(parents=True)
    (path / "run.json").write_text(json.dumps({"mode": mode, **manifest}))
    (path / "summary.json").write_text("{}")
    rest = size - sum(each.stat().st_size for each in path.iterdir())
    (path / "journal.sqlite").write_bytes(bytes(rest))
    os.utime(path / "journal.sqlite", (_NOW_S - days * _DAY_S,) * 2)
    return path


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("ztb.runtime.clock.SystemClock.now_ns", lambda _self: int(_NOW_S * 1e9))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def _left(runs: Path) -> list[str]:
    return sorted(path.name for path in runs.iterdir())


def _prune(words: str) -> int:
    return run(["prune", *shlex.split(words)])


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ("--keep-days 15", ["c", "d"]), ("--keep-days 100", ["a", "b", "c", "d"]), ("--keep-gb 0.0000025", ["c", "d"]),
        ("--keep-gb 0.0000035 --keep-days 15", ["c", "d"]), ("--keep-gb 1", ["a", "b", "c", "d"]),
        ("--keep-gb 0.0000001", []),
    ],
)  # fmt: skip
def test_the_oldest_go_by_age_and_by_size(runs: Path, capsys: Any, limits: str, left: list[str]) -> None:
    for name, days in (("a", 40), ("b", 30), ("c", 10), ("d", 1)):
        _made(runs, name, days=days)
    assert _prune(f"{limits} --dry-run") == 0 and _left(runs) == ["a", "b", "c", "d"]
    said = capsys.readouterr().out
    assert said.count("would remove") == 4 - len(left)
    assert _prune(limits) == 0 and _left(runs) == left
    assert f"{4 - len(left)} of 4 runs are gone" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("held", "a daemon runs there"), ("live", "the books of real money"), ("unfinished", "it has not ended"),
        ("a generation of it", "user needs it"), ("repeated", "user needs it"), ("its ticks", "user needs it"),
        ("unreadable", "what it is cannot be read"),
    ],
)  # fmt: skip
def test_what_is_needed_stays_and_why_is_said(runs: Path, capsys: Any, what: str, reason: str) -> None:
    path = _made(runs, "old", days=400, mode="live" if what == "live" else "paper")
    if what == "unfinished":
        (path / "summary.json").unlink()
    elif what == "unreadable":
        (path / "run.json").write_text("{")
    names = {
        "a generation of it": {"from_generation": "runs/old:3"}, "repeated": {"repeats": "runs/old"},
        "its ticks": {"data": [str(path / "ticks")]},
    }  # fmt: skip
    if what in names:
        _made(runs, "user", days=1, **names[what])
    if what == "held":
        with RunDirectory(path).held():
            assert _prune("--keep-days 30") == 0
    else:
        assert _prune("--keep-days 30") == 0
    assert "old" in _left(runs) and f"old (0.0 MB): {reason}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("keep_bytes", "keep_ns", "gone"),
    [
        (0, 0, 0), (1, 0, 2), (0, 1, 2), (7, 0, 0), (6, 0, 1), (3, 0, 1), (0, 20, 0), (0, 19, 1), (0, 10, 1),
        (100, 100, 0), (7, 19, 1),
    ],
)  # fmt: skip
def test_a_run_stays_as_long_as_a_limit_is_kept_to_and_0_is_none(
    keep_bytes: int, keep_ns: int, gone: int
) -> None:
    runs = [OldRun(RunDirectory(Path(name)), size, at, "") for name, size, at in (("a", 4, 80), ("b", 3, 90))]
    assert spent(runs, keep_bytes, keep_ns, now_ns=100) == runs[:gone]


def test_a_run_whose_name_ends_like_a_generation_is_needed_under_that_name(runs: Path) -> None:
    _made(runs, "night:3", days=400)
    _made(runs, "user", days=1, repeats="runs/night:3")
    assert _prune("--keep-days 30") == 0 and _left(runs) == ["night:3", "user"]


def test_by_default_nothing_goes(runs: Path, capsys: Any) -> None:
    _made(runs, "old", days=4000)
    assert _prune("") == 2 and _left(runs) == ["old"]
    assert "without either every run stays" in capsys.readouterr().err
    assert _prune("gone --keep-days 1") == 3
    assert _prune("--keep-days 1 --json") == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["removed"] == [{"run": "runs/old", "bytes": 1000}] and said["kept"] == []
