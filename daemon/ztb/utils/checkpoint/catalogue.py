"""The generations of an experiment, and what their manifests say.

Also here: an experiment's folder as this process shares it: one writer's lock, and who is reading what.

The lock is `flock` on the file `lock`: the kernel releases it when its process dies, however it dies. It is
taken by the first write and kept. All managers of one process share it; other processes are refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from ztb.utils import files
from ztb.utils.checkpoint.errors import Damaged, FolderInUse, NewerVersion
from ztb.utils.checkpoint.generation import Generation, describe
from ztb.utils.checkpoint.names import DATA, LOCK, Contents, file_name, read_folder
from ztb.utils.checkpoint.reader import open_generation

_registry: weakref.WeakValueDictionary[Path, Folder] = weakref.WeakValueDictionary()
_registry_lock = threading.Lock()


class Folder:
    """Shared by all managers of this process. `writing` admits one save, `pruning` one change of names."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.users = 0
        self.descriptor: int | None = None
        self.reset()

    def reset(self) -> None:
        """Nobody holds anything."""
        self.unlock()
        self.writing = threading.Lock()
        self.pruning = threading.RLock()
        self._locking = threading.Lock()
        self._readers: Counter[int] = Counter()
        self._readers_lock = threading.Lock()

    def __del__(self) -> None:
        self.unlock()

    def lock(self) -> bool:
        """Become the folder's writer; True if this process was not before. FolderInUse if another is."""
        with self._locking:
            if self.descriptor is not None and self._still_there(self.descriptor):
                return False
            self.unlock()
            files.make_folder(self.path)
            self.descriptor = _flock(self.path / LOCK)
            return True

    def unlock(self) -> None:
        """Let other processes write."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def _still_there(self, descriptor: int) -> bool:
        """True if the lock held is the one that others would find; a folder may be removed and made anew."""
        try:
            return os.path.samestat(os.fstat(descriptor), (self.path / LOCK).stat())
        except FileNotFoundError:
            return False

    @contextlib.contextmanager
    def reading(self, number: int) -> Generator[None]:
        """Generation `number` is not removed by this process meanwhile."""
        with self._readers_lock:
            self._readers[number] += 1
        try:
            yield
        finally:
            with self._readers_lock:
                self._readers[number] -= 1

    def is_read(self, number: int) -> bool:
        with self._readers_lock:
            return self._readers[number] > 0


def share(path: Path) -> Folder:
    """The one Folder of this process for `path`."""
    resolved = path.resolve()
    with _registry_lock:
        folder = _registry.get(resolved)
        if folder is None:
            folder = _registry[resolved] = Folder(resolved)
        folder.users += 1
        return folder


def leave(folder: Folder) -> None:
    """Undo one `share`; the last user's leaving lets other processes write."""
    with _registry_lock:
        folder.users -= 1
        if folder.users == 0:
            folder.unlock()


def _flock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "a process that is starting"
        os.close(descriptor)
        raise FolderInUse(
            f"{path.parent}: {holder} writes to it; stop that process, or save under another name"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()} ({sys.argv[0]})\n".encode(), 0)
    return descriptor


def _forget_after_fork() -> None:
    """A forked child has the parent's descriptors but is not the writer."""
    global _registry, _registry_lock
    _registry_lock = threading.Lock()
    for folder in list(_registry.values()):
        folder.reset()


os.register_at_fork(after_in_child=_forget_after_fork)


_NO_MARKS: frozenset[str] = frozenset()
_Identity = tuple[int, int, int]


class Catalogue:
    """One experiment's folder as names and manifests. Manifests are read once for each file that is met."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = share(path)
        self._known: dict[_Identity, Generation] = {}

    def close(self) -> None:
        """Leave the folder to others."""
        leave(self.folder)

    def contents(self) -> Contents:
        return read_folder(self.path)

    def file(self, number: int) -> Path:
        return self.path / file_name(number, DATA)

    def survey(self) -> list[Generation]:
        """All generations by number; of damaged ones only number, path and fault are known."""
        with self.folder.pruning:
            found = self.contents()
        known: dict[_Identity, Generation] = {}
        generations = [g for number in found.numbers if (g := self._meet(number, found, known))]
        self._known = known
        return generations

    def _meet(self, number: int, found: Contents, known: dict[_Identity, Generation]) -> Generation | None:
        """The generation as described before or now; None if its file has gone meanwhile."""
        try:
            status = self.file(number).stat()
            identity = (status.st_ino, status.st_size, status.st_ctime_ns)
            generation = self._known.get(identity) or self._describe(number)
        except FileNotFoundError:
            return None
        generation = replace(generation, marks=found.marks.get(number, _NO_MARKS))
        if generation.number == number:
            known[identity] = generation
        return generation

    def _describe(self, number: int) -> Generation:
        path = self.file(number)
        try:
            with open_generation(path, number) as opened:
                return describe(self.path.name, path, opened.nbytes, opened.manifest)
        except NewerVersion as error:
            return Generation(self.path.name, number, path, version=error.version, fault=str(error))
        except Damaged as error:
            return Generation(self.path.name, number, path, fault=error.reason)
