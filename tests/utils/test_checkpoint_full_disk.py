"""A disk that fills: a clear error, older generations intact, and saving works again when there is room."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from utils.checkpoint_states import child_environment
from ztb.utils import CheckpointManager, files
from ztb.utils.checkpoint import SaveFailed

MEGABYTE = 1 << 20


def state(number: int) -> dict[str, Any]:
    return {"number": number, "weights": np.full(MEGABYTE, number, np.uint8)}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a tmpfs is not permitted here; the file-size limit is tested instead")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    with CheckpointManager(small_disk) as manager:
        manager.save(state(0), "exp")
        filler = small_disk / "filler"
        filler.write_bytes(bytes(2 * MEGABYTE + MEGABYTE // 2))
        for _ in range(3):
            with pytest.raises(SaveFailed, match=r"exp: not saved: No space left on device; .* make room"):
                manager.save(state(1), "exp")
        assert sorted(path.name for path in (small_disk / "exp").iterdir()) == ["gen-00000000.ckpt", "lock"]
        assert manager.load("exp")["number"] == 0
        filler.unlink()
        assert manager.save(state(1), "exp").number == 1
        assert manager.load("exp")["number"] == 1


@contextmanager
def file_size_limit(nbytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_limit_on_file_sizes(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path)
    manager.save(state(0), "exp")
    with file_size_limit(MEGABYTE // 2):
        with pytest.raises(SaveFailed, match=r"exp: not saved: File too large; .* raise the limit"):
            manager.save(state(1), "exp")
        assert manager.save({"number": 2}, "exp").number == 1
    assert manager.save(state(3), "exp").number == 2
    assert [manager.load("exp", n)["number"] for n in range(3)] == [0, 2, 3]


def test_no_room_is_known_before_a_byte_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[object] = []
    monkeypatch.setattr(files, "write_at", lambda *piece: written.append(piece))
    with file_size_limit(MEGABYTE // 2), pytest.raises(SaveFailed, match="File too large"):
        CheckpointManager(tmp_path).save(state(1), "exp")
    assert written == []


@pytest.mark.parametrize(
    "operation", ["create", "preallocate", "write_at", "truncate", "sync", "rename", "sync_folder"]
)
def test_any_operation_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
    manager = CheckpointManager(tmp_path)
    manager.save(state(0), "exp")

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(files, operation, fail)
        with pytest.raises(SaveFailed, match="exp: not saved: Input/output error"):
            manager.save(state(1), "exp")
    assert list((tmp_path / "exp").glob("*.tmp")) == []
    assert manager.load("exp", 0)["number"] == 0
    manager.save(state(2), "exp")
    assert manager.load("exp")["number"] == 2


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SaveFailed, match="file/exp: not saved: File exists"):
        CheckpointManager(tmp_path / "file").save(1, "exp")


def test_a_failed_cleanup_does_not_fail_the_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    manager = CheckpointManager(tmp_path, max_generations=1)
    manager.save(state(0), "exp")

    def refuse(_: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(files, "remove", refuse)
        assert manager.save(state(1), "exp").number == 1
        assert [g.number for g in manager.list("exp")] == [0, 1]
    assert "exp: old generations were not removed: [Errno 13] Permission denied" in caplog.text
    manager.save(state(2), "exp")
    assert [g.number for g in manager.list("exp")] == [2]


FILLING = """
import resource, sys
import numpy as np
from ztb.utils import CheckpointManager
manager = CheckpointManager(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
try:
    manager.save(np.ones(1 << 16), "exp")
except Exception as error:
    print(type(error).__name__)
"""


def test_the_limit_is_an_error_not_a_signal(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FILLING, str(tmp_path)]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "SaveFailed\n"), done.stderr
