"""The thread that saves: every call is made, in order, whatever the others do and however its owner ends."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

import pytest

from ztb.errors import UsageError
from ztb.utils import CheckpointManager
from ztb.utils.checkpoint.worker import WriterThread


def test_calls_are_made_in_order_and_one_that_raises_does_not_stop_the_next(caplog):
    made: list[int] = []
    worker = WriterThread("saver")
    worker.submit(lambda: made.append(0))
    worker.submit(lambda: made.append(1 // 0))
    worker.submit(lambda: made.append(2))
    worker.close()
    assert made == [0, 2]
    assert "ZeroDivisionError" in caplog.text


def test_closed_it_takes_no_call_and_its_thread_is_gone():
    worker = WriterThread("saver of this test")
    worker.submit(lambda: None)
    worker.close()
    worker.close()
    with pytest.raises(UsageError, match="has ended"):
        worker.submit(lambda: None)
    assert "saver of this test" not in {thread.name for thread in threading.enumerate()}


def test_forgotten_its_thread_ends():
    worker = WriterThread("forgotten saver")
    worker.submit(lambda: None)
    del worker
    gc.collect()
    assert "forgotten saver" not in {thread.name for thread in threading.enumerate()}


def test_the_process_ends_only_when_every_call_is_made():
    script = (
        "import time\nfrom ztb.utils.checkpoint.worker import WriterThread\nworker = WriterThread('saver')\n"
        "worker.submit(lambda: time.sleep(0.2))\nworker.submit(lambda: print('made', flush=True))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "made\n"


def test_where_no_thread_can_be_begun_the_save_fails_and_the_next_one_works(tmp_path, monkeypatch):
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with CheckpointManager(tmp_path) as manager:
        with monkeypatch.context() as limited, pytest.raises(RuntimeError, match="new thread"):
            limited.setattr(threading.Thread, "start", refuse)
            manager.save({"a": 1}, "exp")
        assert manager.save({"a": 2}, "exp").number == 0
        assert manager.load("exp") == {"a": 2}
