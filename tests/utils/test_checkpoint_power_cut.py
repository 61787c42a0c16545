"""Whatever a power cut leaves of unsynced writes and names: no acknowledged generation is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from utils.checkpoint_disk import Disk, Fact, Files, Name, lay_out, power_cuts
from ztb.utils import CheckpointManager, files
from ztb.utils.checkpoint import NoGeneration


def state(number: int) -> dict[str, Any]:
    return {"number": number, "weights": np.full(300, number, np.float32)}


def saves_and_cleanups(manager: CheckpointManager) -> None:
    """Saves beyond what retention keeps, pins, a promotion, a deletion; generation n holds state(n)."""
    for number in range(4):
        manager.save(state(number), "exp")
    manager.pin("exp", 2)
    manager.save(state(4), "exp", marks=["promoted"])
    manager.save(state(5), "exp")
    manager.save(state(6), "exp")
    manager.delete("exp", 6)
    manager.save(state(7), "exp")
    manager.unpin("exp", 2)
    manager.cleanup_old_generations("exp")


def recorded(
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
    scenario: Callable[[CheckpointManager], object],
    blind: frozenset[str] = frozenset(),
) -> list[Any]:
    disk = Disk(monkeypatch, blind)
    manager = CheckpointManager(base, max_generations=2)
    scenario(manager)
    manager.close()
    monkeypatch.undo()
    return disk.log


def promised(log: list[Any], moment: int) -> set[int]:
    """Generations that were acknowledged and that nobody had begun to remove."""
    numbers: set[int] = set()
    for entry in log[:moment]:
        if isinstance(entry, Fact):
            numbers.add(entry.number)
        elif isinstance(entry, Name) and entry.inode is None and entry.name.endswith(".ckpt"):
            numbers.discard(int(entry.name[4:12]))
    return numbers


def cuts(log: list[Any], relevant: str = "") -> list[tuple[int, Files]]:
    """Every different state of the disk with the latest moment at which it can come about."""
    found: dict[frozenset[tuple[Path, bytes]], tuple[int, Files]] = {}
    for moment in range(len(log) + 1):
        for left in power_cuts(log, moment, relevant):
            key = frozenset({**left, Path("/promised"): repr(sorted(promised(log, moment))).encode()}.items())
            found[key] = (moment, left)
    return list(found.values())


def losses(log: list[Any], left: tuple[int, Files], base: Path) -> list[str]:
    """What a new process finds wrong after this power cut."""
    moment, disk = left
    lay_out(disk, base)
    manager = CheckpointManager(base, max_generations=2)
    expected = promised(log, moment)
    wrong = [f"generation {number} is lost" for number in expected if not loads(manager, number)]
    newest = max(expected, default=-1)
    try:
        loaded = manager.restore("exp")
    except NoGeneration:
        return [*wrong, "nothing can be loaded"] if expected else []
    if loaded.generation.number < newest or loaded.state["number"] != loaded.generation.number:
        wrong.append(f"loaded {loaded.generation.number} where {newest} was acknowledged")
    return wrong


def loads(manager: CheckpointManager, number: int) -> bool:
    try:
        loaded = manager.load("exp", number)
    except Exception:
        return False
    return loaded["number"] == number and bool((loaded["weights"] == number).all())


def test_no_power_cut_loses_an_acknowledged_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = recorded(tmp_path / "base", monkeypatch, saves_and_cleanups)
    states = cuts(log, ".ckpt")
    assert len(states) > 20
    assert [wrong for left in states if (wrong := losses(log, left, tmp_path / "cut"))] == []


def test_saving_goes_on_after_every_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = recorded(tmp_path / "base", monkeypatch, saves_and_cleanups)
    for left in cuts(log):
        assert losses(log, left, tmp_path / "cut") == [], left[0]
        with CheckpointManager(tmp_path / "cut") as manager:
            numbers = [generation.number for generation in manager.list("exp")]
            assert manager.save(state(99), "exp").number > max(numbers, default=-1)
            assert manager.load("exp")["number"] == 99


def test_marks_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = recorded(tmp_path / "base", monkeypatch, saves_and_cleanups)
    promotion = next(i for i, entry in enumerate(log) if entry == Fact("saved", 4))
    for moment, disk in cuts(log):
        if moment > promotion:
            lay_out(disk, tmp_path / "cut")
            manager = CheckpointManager(tmp_path / "cut")
            assert [g.number for g in manager.list("exp") if g.promoted] == [4]


def test_a_deleted_number_is_not_used_again(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path)
    assert [manager.save(state(n), "exp").number for n in range(3)] == [0, 1, 2]
    manager.delete("exp", 2)
    manager.close()
    again = CheckpointManager(tmp_path)
    assert again.save(state(3), "exp").number == 3
    assert [g.number for g in again.list("exp")] == [0, 1, 3]


@pytest.mark.parametrize("missing", ["sync", "sync_folder"])
def test_the_simulation_notices_a_missing_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    log = recorded(
        tmp_path / "base", monkeypatch, lambda manager: manager.save(state(0), "exp"), frozenset({missing})
    )
    assert any(losses(log, left, tmp_path / "cut") for left in cuts(log, ".ckpt"))


def test_new_folders_are_synced_into_their_parents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    real = files.sync_folder
    monkeypatch.setattr(files, "sync_folder", lambda folder: (synced.append(folder), real(folder))[1])
    files.make_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]
