"""What stays: the newest, the best, every M-th, the marked; never is the only good one removed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztb.errors import UsageError
from ztb.utils import CheckpointManager
from ztb.utils.checkpoint import Generation, NoGeneration, Retention
from ztb.utils.checkpoint.generation import surplus


def generations(metrics: list[float | None], marked: set[int], damaged: set[int]) -> list[Generation]:
    return [
        Generation(
            "exp",
            number,
            Path(f"{number}"),
            metrics={"return": metric},
            marks=frozenset({"pinned"} if number in marked else ()),
            fault="torn" if number in damaged else None,
        )
        for number, metric in enumerate(metrics)
    ]


def kept(found: list[Generation], **policy: Any) -> list[int]:
    gone = {g.number for g in surplus(found, Retention(**policy))}
    return [g.number for g in found if g.number not in gone]


def test_newest_best_every_and_marked() -> None:
    found = generations([5, 1, None, 7, 2, 7, 0, 3, 4, 1], {1}, set())
    assert kept(found, last=2) == [1, 8, 9]
    assert kept(found, last=2, best=2, metric="return") == [1, 3, 5, 8, 9]
    assert kept(found, last=2, best=1, metric="return") == [1, 5, 8, 9]
    assert kept(found, last=2, best=1, metric="return", lowest_is_best=True) == [1, 6, 8, 9]
    assert kept(found, last=1, every=4) == [0, 1, 4, 8, 9]


def test_damaged_generations_count_for_nothing_and_go_when_old() -> None:
    found = generations([1.0] * 6, set(), {0, 3, 5})
    assert kept(found, last=2) == [2, 3, 4, 5]
    assert kept(generations([1.0] * 3, set(), {0, 1, 2}), last=1) == [0, 1, 2]


@given(
    metrics=st.lists(st.none() | st.floats(-9, 9), max_size=12),
    marked=st.sets(st.integers(0, 11)),
    damaged=st.sets(st.integers(0, 11)),
    last=st.integers(1, 4),
    best=st.integers(0, 3),
    every=st.integers(0, 4),
)
def test_what_must_stay_stays(
    metrics: list[float | None], marked: set[int], damaged: set[int], last: int, best: int, every: int
) -> None:
    found = generations(metrics, marked, damaged)
    stay = kept(found, last=last, best=best, metric="return", every=every)
    good = [g.number for g in found if g.fault is None]
    assert set(good[-last:]) | {g.number for g in found if g.marks} <= set(stay)
    scores = sorted((metrics[n] for n in good if metrics[n] is not None), reverse=True)[:best]
    assert len([n for n in stay if n in good and metrics[n] in scores]) >= len(scores)
    assert len([n for n in stay if n in good]) <= last + best + len(marked) + (len(found) if every else 0)


def test_the_only_good_one_stays(tmp_path: Path) -> None:
    writer = CheckpointManager(tmp_path, max_generations=9)
    paths = [writer.save({"n": n, "weights": np.ones(9)}, "exp").path for n in range(4)]
    writer.close()
    for path in paths[2:]:
        damage_frames_only(path)
    manager = CheckpointManager(tmp_path, max_generations=2)
    assert [g.number for g in manager.cleanup_old_generations("exp")] == [0]
    assert manager.load("exp")["n"] == 1


def damage_frames_only(path: Path) -> None:
    """Header stays good, so that only reading every byte shows the damage."""
    raw = bytearray(path.read_bytes())
    raw[70] ^= 1
    path.write_bytes(raw)


def test_pins_survive_restarts_and_hold(tmp_path: Path) -> None:
    with CheckpointManager(tmp_path, max_generations=1) as manager:
        manager.save({"n": 0}, "exp")
        manager.pin("exp", 0)
        manager.save({"n": 1}, "exp")
        manager.mark_promoted("exp", 1)
        manager.save({"n": 2}, "exp", marks=["traded"])
    with CheckpointManager(tmp_path, max_generations=1) as manager:
        manager.save({"n": 3}, "exp")
        found = manager.list("exp")
        assert [(g.number, g.pinned, g.promoted, sorted(g.marks)) for g in found] == [
            (0, True, False, ["pinned"]),
            (1, False, True, ["promoted"]),
            (2, False, False, ["traded"]),
            (3, False, False, []),
        ]
        with pytest.raises(UsageError, match="is pinned: unpin it first"):
            manager.delete("exp", 0)
        manager.unpin("exp", 0)
        assert [g.number for g in manager.cleanup_old_generations("exp")] == [0]


def test_what_does_not_exist_cannot_be_marked_or_deleted(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path)
    for change in (manager.pin, manager.unpin, manager.mark_promoted, manager.delete):
        with pytest.raises(NoGeneration, match=r"gen-00000004\.ckpt: there is no such generation"):
            change("exp", 4)
    assert not (tmp_path / "exp").exists()


@pytest.mark.parametrize(
    "policy", [{"max_generations": 0}, {"keep_best": 1}, {"keep_every": -1}, {"compression": "gzip"}]
)
def test_wrong_policies_are_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        CheckpointManager(**policy)


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/b", "a\\b", "-a", "a\0", "a" * 101, "ä", "a b"])
def test_wrong_names_are_refused(tmp_path: Path, name: str) -> None:
    manager = CheckpointManager(tmp_path / "base")
    for use in (manager.load, manager.list, manager.cleanup_old_generations, lambda n: manager.save(1, n)):
        with pytest.raises(UsageError, match="experiment name"):
            use(name)
    assert not (tmp_path / "base").exists()


@pytest.mark.parametrize("label", ["", "ckpt", "tmp", "gone", "a-b", "../x", "Pinned"])
def test_wrong_marks_are_refused(tmp_path: Path, label: str) -> None:
    manager = CheckpointManager(tmp_path)
    manager.save(1, "exp")
    with pytest.raises(UsageError, match="mark"):
        manager.mark("exp", 0, label)


def test_the_managers_policy_is_the_one_it_was_given(tmp_path: Path) -> None:
    manager = CheckpointManager(
        tmp_path, max_generations=2, keep_best=1, best_metric="loss", best_is="lowest", keep_every=4
    )
    for number, loss in enumerate([5, 3, 9, 1, 7, 8, 6, 4, 2, 5]):
        manager.save(number, "exp", metrics={"loss": loss})
    assert [g.number for g in manager.list("exp")] == [0, 3, 4, 8, 9]
