"""Many readers, one writer: loads while saves and cleanups run; a second writer is refused."""

from __future__ import annotations

import logging
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from utils.checkpoint_states import child_environment
from ztb.errors import ZtbError
from ztb.utils import CheckpointManager
from ztb.utils.checkpoint import loader, reader


def state(number: int) -> dict[str, Any]:
    return {"number": number, "weights": np.full(50_000, number, np.int32)}


def whole(loaded: dict[str, Any]) -> bool:
    return bool((loaded["weights"] == loaded["number"]).all())


READER = """
import sys
from ztb.utils import CheckpointManager
from ztb.utils.checkpoint import loader, reader
manager = CheckpointManager(sys.argv[1])
seen = []
while not seen or seen[-1] < int(sys.argv[2]):
    loaded = manager.restore("exp")
    assert not loaded.skipped, loaded.skipped
    assert (loaded.state["weights"] == loaded.state["number"]).all()
    seen.append(loaded.state["number"])
    manager.list("exp")
assert seen == sorted(seen), "an older generation after a newer one"
print(len(seen))
"""


def test_loads_while_saves_and_cleanups_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manager = CheckpointManager(tmp_path, max_generations=1)
    manager.save(state(0), "exp")
    last = 80
    command = [sys.executable, "-c", READER, str(tmp_path), str(last)]
    reader = subprocess.Popen(
        command, env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    failures: list[object] = []

    def read() -> None:
        number = 0
        while number < last:
            loaded = manager.load("exp")
            if not whole(loaded):
                failures.append(loaded)
            number = loaded["number"]

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    with caplog.at_level(logging.WARNING):
        for number in range(1, last + 1):
            manager.save(state(number), "exp")
            manager.cleanup_old_generations("exp")
        for thread in threads:
            thread.join()
    output, error = reader.communicate()
    assert (reader.returncode, error.decode(), failures, caplog.records) == (0, "", [], [])
    assert int(output) > 1


def test_a_generation_being_read_is_not_removed(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path, max_generations=1)
    path = manager.save(state(0), "exp").path
    from ztb.utils.checkpoint.catalogue import share

    with share(path.parent).reading(0):
        manager.save(state(1), "exp")
        assert [g.number for g in manager.list("exp")] == [0, 1]
    assert [g.number for g in manager.cleanup_old_generations("exp")] == [0]


WRITER = """
import sys
from ztb.utils import CheckpointManager
from ztb.utils.checkpoint import loader, reader
manager = CheckpointManager(sys.argv[1])
print(manager.load("exp")["number"], flush=True)
try:
    manager.save(1, "exp")
except Exception as error:
    print(type(error).__name__, error.exit_code, error)
print(manager.save(1, "another").number)
"""


def test_a_second_process_is_refused_by_name_and_may_read(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path)
    manager.save(state(7), "exp")
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=True)
    loaded, refusal, other = done.stdout.splitlines()
    assert loaded == "7"
    assert refusal.startswith(f"FolderInUse 75 {tmp_path}/exp: process {os.getpid()} on ")
    assert "writes to it; stop that process" in refusal
    assert other == "0"


def test_the_lock_goes_with_its_manager(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    manager = CheckpointManager(tmp_path)
    manager.save(state(7), "exp")
    manager.close()
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["7", "0"]


def test_managers_of_one_process_share_a_folder(tmp_path: Path) -> None:
    first, second = CheckpointManager(tmp_path), CheckpointManager(tmp_path)
    numbers = [manager.save(state(n), "exp").number for n, manager in enumerate([first, second] * 3)]
    assert numbers == list(range(6))
    first.close()
    assert second.save(state(6), "exp").number == 6


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_is_another_process(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path)
    manager.save(state(0), "exp")
    forking = multiprocessing.get_context("fork")
    answers = forking.SimpleQueue()

    def child() -> None:
        for saver in (manager, CheckpointManager(tmp_path)):
            try:
                saver.save(state(1), "exp")
            except ZtbError as error:
                answers.put(str(error))

    process = forking.Process(target=child)
    process.start()
    process.join()
    assert "opened before a fork" in answers.get()
    assert f"process {os.getpid()} on" in answers.get()
    assert manager.save(state(1), "exp").number == 1


def test_a_folder_removed_and_made_anew_is_locked_anew(tmp_path: Path) -> None:
    import shutil

    manager = CheckpointManager(tmp_path)
    manager.save(state(0), "exp")
    shutil.rmtree(tmp_path / "exp")
    assert manager.save(state(1), "exp").number == 0
    assert (tmp_path / "exp" / "lock").read_text().startswith(f"process {os.getpid()}")


def test_left_over_files_are_swept_by_the_writer_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with CheckpointManager(tmp_path) as manager:
        manager.save(state(0), "exp")
    folder = tmp_path / "exp"
    for name in ("gen-00000001.tmp", "gen-00000009.promoted", "notes.txt"):
        (folder / name).touch()
    manager = CheckpointManager(tmp_path)
    manager.load("exp")
    assert (folder / "gen-00000001.tmp").exists()
    with caplog.at_level(logging.WARNING):
        assert manager.save(state(1), "exp").number == 1
    assert "gen-00000001.tmp: left by a save that never ended, removed" in caplog.text
    assert sorted(path.name for path in folder.iterdir()) == [
        "gen-00000000.ckpt",
        "gen-00000001.ckpt",
        "lock",
        "notes.txt",
    ]


def test_what_a_load_reads_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = CheckpointManager(tmp_path, max_generations=1)
    manager.save(state(0), "exp")
    reading, released = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Any:
        reading.set()
        assert released.wait(30)
        return reader.load_state(*arguments)

    monkeypatch.setattr(loader, "load_state", slow)
    loaded: list[Any] = []
    thread = threading.Thread(target=lambda: loaded.append(manager.load("exp")))
    thread.start()
    assert reading.wait(30)
    manager.save(state(1), "exp")
    assert [g.number for g in manager.list("exp")] == [0, 1]
    released.set()
    thread.join()
    assert loaded[0]["number"] == 0
    assert [g.number for g in manager.cleanup_old_generations("exp")] == [0]


def test_a_save_in_progress_is_not_swept_by_a_second_process(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path)
    manager.save(state(7), "exp")
    unfinished = tmp_path / "exp" / "gen-00000001.tmp"
    unfinished.touch()
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=True)
    assert "FolderInUse" in done.stdout
    assert unfinished.exists()
