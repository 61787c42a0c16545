"""Threads beside the loop give way to it, and only they."""

from __future__ import annotations

import os
import threading

from ztb.ledger.journal import Journal
from ztb.utils import CheckpointManager
from ztb.utils.background import BACKGROUND_NICE, background_thread


def niceness(thread: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, thread)


def running(name: str) -> int:
    return next(thread.native_id or 0 for thread in threading.enumerate() if thread.name == name)


def test_a_background_thread_has_less_priority_than_its_maker_who_keeps_its_own():
    before = niceness(0)
    told: list[int] = []
    thread = background_thread(lambda number: told.append(number + niceness(0)), "beside", 1000)
    thread.start()
    thread.join()
    assert told == [1000 + min(19, before + BACKGROUND_NICE)]
    assert niceness(0) == before


def test_where_priorities_are_refused_the_work_is_done_all_the_same(monkeypatch):
    def refuse(_: int) -> int:
        raise PermissionError("not here")

    monkeypatch.setattr(os, "nice", refuse)
    done = threading.Event()
    thread = background_thread(done.set, "beside")
    thread.start()
    thread.join()
    assert done.is_set()


def test_the_threads_that_write_journals_and_checkpoints_give_way(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    journal.flush()
    with CheckpointManager(tmp_path) as manager:
        manager.save({"a": 1}, "exp")
        lowered = min(19, niceness(0) + BACKGROUND_NICE)
        assert [niceness(running(name)) for name in ("ztb-journal", "checkpoint")] == [lowered, lowered]
    journal.close()


def test_one_that_is_waited_for_has_its_makers_priority(tmp_path):
    told: list[int] = []
    thread = background_thread(lambda: told.append(niceness(0)), "waited for", waited_for=True)
    thread.start()
    thread.join()
    assert told == [niceness(0)]
