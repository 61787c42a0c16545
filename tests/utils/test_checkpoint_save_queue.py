"""Saves in the background: copied at the call, one in flight, one waiting, nothing dropped quietly."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ztb.errors import UsageError
from ztb.utils import CheckpointManager, files
from ztb.utils.checkpoint import Generation
from ztb.utils.checkpoint.arena import ALIGNMENT, Arena
from ztb.utils.checkpoint.snapshot import copy
from ztb.utils.checkpoint.worker import WriterThread


@contextmanager
def held_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A disk on which no save comes to its end until the event is set."""
    released = threading.Event()
    real = files.rename

    def waiting(source: Path, target: Path) -> None:
        assert released.wait(30)
        real(source, target)

    monkeypatch.setattr(files, "rename", waiting)
    yield released
    released.set()


@asynccontextmanager
async def in_flight(
    manager: CheckpointManager, monkeypatch: pytest.MonkeyPatch, count: int, **how: Any
) -> AsyncIterator[tuple[list[asyncio.Task[Generation]], threading.Event]]:
    """`count` saves of {"n": 0}, {"n": 1} ... begun in this order while the disk hangs."""
    with held_disk(monkeypatch) as released:
        tasks: list[asyncio.Task[Generation]] = []
        for n in range(count):
            tasks.append(asyncio.create_task(manager.save_async({"n": n}, "exp", **how)))
            await asyncio.sleep(0)
        yield tasks, released


@pytest.fixture
def manager(tmp_path: Path) -> CheckpointManager:
    return CheckpointManager(tmp_path)


async def test_the_state_is_copied_at_the_call(
    manager: CheckpointManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, history = np.zeros(1000), [1]
    with held_disk(monkeypatch) as released:
        saving = asyncio.create_task(manager.save_async({"weights": weights, "history": history}, "exp"))
        await asyncio.sleep(0)
        weights += 1
        history.append(2)
        released.set()
        await saving
    loaded = manager.load("exp")
    assert not loaded["weights"].any()
    assert loaded["history"] == [1]


async def test_the_loop_runs_while_the_disk_hangs(
    manager: CheckpointManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_flight(manager, monkeypatch, 1) as (tasks, released):
        for _ in range(100):
            await asyncio.sleep(0)
        assert not tasks[0].done()
        released.set()
        assert (await tasks[0]).number == 0


async def test_every_state_is_saved_in_order_under_backpressure(
    manager: CheckpointManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_flight(manager, monkeypatch, 5) as (tasks, released):
        released.set()
        generations = await asyncio.gather(*tasks)
    assert [g.number for g in generations] == list(range(5))
    assert [manager.load("exp", n)["n"] for n in range(5)] == list(range(5))


async def test_a_newer_state_replaces_a_waiting_one_only_where_allowed(
    manager: CheckpointManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_flight(manager, monkeypatch, 4, replaceable=True) as (tasks, released):
        released.set()
        generations = await asyncio.gather(*tasks)
    assert [(g.number, g.replaced) for g in generations] == [(0, 0), (1, 2), (1, 2), (1, 2)]
    assert manager.load("exp") == {"n": 3}
    assert manager.list("exp")[-1].replaced == 2


async def test_another_experiments_state_is_never_replaced(
    manager: CheckpointManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_flight(manager, monkeypatch, 2, replaceable=True) as (tasks, released):
        other = asyncio.create_task(manager.save_async({"n": 9}, "other"))
        await asyncio.sleep(0)
        released.set()
        await asyncio.gather(*tasks, other)
    assert manager.load("exp") == {"n": 1}
    assert manager.load("other") == {"n": 9}


async def test_marks_of_a_replaced_state_go_to_the_one_that_replaced_it(
    manager: CheckpointManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_flight(manager, monkeypatch, 2, replaceable=True, marks=["promoted"]) as (tasks, released):
        newer = asyncio.create_task(manager.save_async({"n": 2}, "exp", marks=["traded"]))
        await asyncio.sleep(0)
        released.set()
        assert (await newer).marks == {"promoted", "traded"}
        await asyncio.gather(*tasks)
    assert manager.list("exp")[-1].marks == {"promoted", "traded"}


async def test_a_cancelled_caller_does_not_cancel_the_save(
    manager: CheckpointManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_flight(manager, monkeypatch, 3) as (tasks, released):
        tasks[1].cancel()
        tasks[2].cancel()
        await asyncio.gather(*tasks[1:], return_exceptions=True)
        released.set()
        await tasks[0]
    await manager.save_async({"n": 3}, "exp")
    assert [manager.load("exp", g.number)["n"] for g in manager.list("exp")] == [0, 1, 3]


async def test_a_failure_after_its_caller_has_gone_is_said(
    manager: CheckpointManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files, "sync", fail)
    async with in_flight(manager, monkeypatch, 1) as (tasks, released):
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        released.set()
        manager.close()
    assert "a save in the background failed" in caplog.text
    assert "exp: not saved: Input/output error" in caplog.text


def test_a_large_state_is_saved_whole(manager: CheckpointManager) -> None:
    generator = np.random.default_rng(0)
    state = [generator.integers(0, 256, size, dtype=np.uint8) for size in (30_000_001, 5, 9_000_000)]
    manager.save(state, "exp")
    for loaded, original in zip(manager.load("exp"), state, strict=True):
        np.testing.assert_array_equal(loaded, original)


async def test_a_refused_state_leaves_the_waiting_one_alone(
    manager: CheckpointManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_flight(manager, monkeypatch, 2, replaceable=True) as (tasks, released):
        with pytest.raises(TypeError, match=r"state\['n'\]: cannot save a builtins.set"):
            await manager.save_async({"n": {1}}, "exp")
        released.set()
        await asyncio.gather(*tasks)
    assert manager.load("exp") == {"n": 1}


def test_saving_from_threads_without_a_loop(manager: CheckpointManager) -> None:
    threads = [threading.Thread(target=manager.save, args=({"n": n}, f"exp{n % 2}")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(manager.list(name)) for name in manager.experiments()] == [4, 4]


def test_a_closed_manager_saves_nothing_more_but_loads(manager: CheckpointManager) -> None:
    manager.save({"n": 0}, "exp")
    manager.close()
    with pytest.raises(UsageError, match="closed"):
        manager.save({"n": 1}, "exp")
    assert manager.load("exp") == {"n": 0}


async def test_lineage_and_metrics_come_back(manager: CheckpointManager) -> None:
    lineage = {"parent": 3, "data_range": [1, 2], "seeds": {"action": 7}, "config_hash": "ab"}
    await manager.save_async(1, "exp", metrics={"return": 0.5, "sharpe": float("nan")}, lineage=lineage)
    (generation,) = manager.list("exp")
    assert generation.metrics == {"return": 0.5, "sharpe": None}
    assert generation.lineage == lineage
    with pytest.raises(TypeError, match=r"lineage\['seeds'\]\[0\]"):
        await manager.save_async(1, "exp", lineage={"seeds": [object()]})


def test_the_clock_is_the_callers(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path, clock=lambda: 1_700_000_000_000_000_000)
    first, second = manager.save([1.5], "exp"), manager.save([1.5], "same")
    assert first.created.isoformat() == "2023-11-14T22:13:20+00:00"
    assert first.path.read_bytes().replace(b"exp", b"same")[64:] == second.path.read_bytes()[64:]


@pytest.mark.parametrize("busy", [False, True])
def test_a_large_copy_is_the_same_with_and_without_help(busy: bool) -> None:
    source = np.random.default_rng(0).integers(0, 256, 50_000_001, dtype=np.uint8)
    target = np.zeros_like(source)
    cuts = [0, 1, 30_000_000, source.size]
    moves = [
        (target.ctypes.data + start, source.ctypes.data + start, end - start)
        for start, end in itertools.pairwise(cuts)
    ]
    released = threading.Event()
    helper = WriterThread("helper")
    if busy:
        helper.submit(lambda: released.wait() and None)
    copy(moves, source.size, helper)  # would never return if it waited for a helper that is busy
    released.set()
    helper.close()
    np.testing.assert_array_equal(target, source)


def test_the_memory_of_a_copy_is_used_again() -> None:
    arena = Arena()
    arena.reserve(3_000_000)
    first = arena.address
    for nbytes in (1, 3_000_000, 4_000_000):
        assert arena.reserve(nbytes).nbytes == nbytes
        assert arena.address == first
    assert first % ALIGNMENT == 0
