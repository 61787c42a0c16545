"""The file system operations that durability rests on, each one a function that a test can stand in for.

Order is everything: data reaches the disk before the name that shows it, the name before the acknowledgement.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents, durably."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def create(path: Path, mode: int = 0o644) -> int:
    """A new empty file, open for writing."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)


def preallocate(descriptor: int, nbytes: int) -> None:
    """Reserve room, so that a full disk says so before a byte is written."""
    os.posix_fallocate(descriptor, 0, nbytes)


def write_at(descriptor: int, pieces: Sequence[memoryview | bytes], offset: int) -> None:
    """Write all of `pieces`, one after the other."""
    written = os.pwritev(descriptor, pieces, offset)
    if written < sum(map(len, pieces)):
        rest = memoryview(b"".join(pieces))
        while written < len(rest):
            written += os.pwrite(descriptor, rest[written:], offset + written)


def begin_sync(descriptor: int, offset: int, nbytes: int) -> None:
    """Have the disk begin with what was written, while the next bytes are made; promises nothing."""
    os.posix_fadvise(descriptor, offset, nbytes, os.POSIX_FADV_DONTNEED)


def truncate(descriptor: int, nbytes: int) -> None:
    os.ftruncate(descriptor, nbytes)


def sync(descriptor: int) -> None:
    os.fsync(descriptor)


def close(descriptor: int) -> None:
    os.close(descriptor)


def rename(source: Path, target: Path) -> None:
    source.rename(target)


def remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def touch(path: Path) -> None:
    """An empty file whose name is a fact, durable on return."""
    close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644))
    sync_folder(path.parent)


def write_durably(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Let `path` hold `data`, durable on return. Whatever ends the process or the machine before that, it is whole: as
    it was, or as it shall be.
    """
    partial = path.with_name(f"{path.name}.partial")
    remove(partial)  # left by one that was killed
    descriptor = create(partial, mode)
    try:
        write_at(descriptor, [data], 0)
        sync(descriptor)
    finally:
        close(descriptor)
    rename(partial, path)
    sync_folder(path.parent)


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A file to write, which takes the place of `path` once the block is over; if that raises, nothing changes."""
    partial = path.with_name(f"{path.name}.partial")
    remove(partial)  # left by one that was killed
    try:
        yield partial
        rename(partial, path)
    finally:
        remove(partial)


def remove_durably(*paths: Path) -> None:
    """Take files of one folder away, in this order, durable on return; those that are not there are none the less."""
    for path in paths:
        remove(path)
    if paths[0].parent.is_dir():
        sync_folder(paths[0].parent)


@contextmanager
def opened(path: Path) -> Generator[int]:
    """`path` open for reading; no link is followed and no pipe waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
