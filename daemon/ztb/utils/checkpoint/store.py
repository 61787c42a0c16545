"""Changes to one experiment on disk: one generation more, fewer, marks. Each takes the writer's lock."""

from __future__ import annotations

import errno
import logging
from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path

from ztb.errors import UsageError
from ztb.utils.checkpoint import files
from ztb.utils.checkpoint.catalogue import Catalogue
from ztb.utils.checkpoint.codec import Compression
from ztb.utils.checkpoint.errors import NoGeneration, SaveFailed
from ztb.utils.checkpoint.generation import Generation, describe
from ztb.utils.checkpoint.loader import Loader
from ztb.utils.checkpoint.names import DATA, GONE, Contents, check_mark, file_name
from ztb.utils.checkpoint.retention import Retention, surplus
from ztb.utils.checkpoint.snapshot import Facts, Snapshot
from ztb.utils.checkpoint.writer import write

_log = logging.getLogger(__name__)


class Store:
    """One experiment's writer; every method may raise FolderInUse."""

    def __init__(self, catalogue: Catalogue, loader: Loader, retention: Retention) -> None:
        self._catalogue = catalogue
        self._folder = catalogue.folder
        self._path = catalogue.path
        self._loader = loader
        self._retention = retention

    def save(self, snapshot: Snapshot, facts: Facts, compression: Compression) -> Generation:
        """Write one more generation, durable on return; SaveFailed leaves the older ones as they were."""
        with self._folder.writing:
            try:
                self._lock()
                number = self._catalogue.contents().next_number
                self._touch(number, facts.marks)
                written = write(self._path, number, snapshot, facts, compression)
            except OSError as error:
                raise SaveFailed(_reason(self._path, error)) from error
        return describe(facts.name, written.path, written.nbytes, written.manifest, facts.marks)

    def changing(self) -> AbstractContextManager[bool]:
        """Hold off whoever lists or changes names, in this process, until a change is complete."""
        return self._folder.pruning

    def prune(self, known_good: int | None = None) -> list[Generation]:
        """Remove what retention does not keep; what was removed. Never the only one that verifies.

        `known_good` was written a moment ago and need not be read again.
        """
        with self._folder.pruning:
            found = self._catalogue.survey()
            victims = surplus(found, self._retention)
            if not victims:
                return []
            self._lock()
            spared = self._spared(found, victims) if known_good is None else None
            victims = [g for g in victims if g is not spared and not self._folder.is_read(g.number)]
            for victim in victims:
                self._remove(victim.number)
            return victims

    def _spared(self, found: list[Generation], victims: list[Generation]) -> Generation | None:
        """The newest victim that verifies if none of those that stay does."""
        doomed = {victim.number for victim in victims}
        for kept in reversed(found):
            if kept.number not in doomed and self._loader.verify(kept).fault is None:
                return None
        return next((v for v in reversed(victims) if self._loader.verify(v).fault is None), None)

    def delete(self, number: int) -> None:
        """Remove generation `number`, whatever retention says; refused while it is marked."""
        with self._folder.pruning:
            found = self._existing(number)
            if labels := found.marks.get(number):
                raise UsageError(
                    f"{self._catalogue.file(number)} is {' and '.join(sorted(labels))}: unpin it first"
                )
            self._lock()
            if number == found.next_number - 1:
                self._touch(number, [GONE])
            self._remove(number)

    def mark(self, number: int, label: str) -> None:
        """Put a mark on a generation, durable on return."""
        with self._folder.pruning:
            self._existing(number)
            self._lock()
            self._touch(number, [check_mark(label)])

    def unmark(self, number: int, label: str) -> None:
        """Take a mark off, durably."""
        with self._folder.pruning:
            self._existing(number)
            self._lock()
            self._remove(number, check_mark(label))

    def _existing(self, number: int) -> Contents:
        found = self._catalogue.contents()
        if number not in found.numbers:
            raise NoGeneration(f"{self._catalogue.file(number)}: there is no such generation")
        return found

    def _lock(self) -> None:
        """Become the folder's writer; at the first time, sweep what a killed one left."""
        if self._folder.lock():
            self._sweep(self._catalogue.contents())

    def _sweep(self, found: Contents) -> None:
        """Remove saves that never ended, marks of generations that never were, numbers kept for nothing."""
        for name in found.temporary:
            _log.warning("%s: left by a save that never ended, removed", self._path / name)
            files.remove(self._path / name)
        for number in set(found.marks) - set(found.numbers):
            for label in found.marks[number]:
                files.remove(self._path / file_name(number, label))
        for number in found.gone:
            if found.numbers and number < found.numbers[-1]:
                files.remove(self._path / file_name(number, GONE))

    def _touch(self, number: int, labels: Collection[str]) -> None:
        for label in labels:
            files.touch(self._path / file_name(number, label))

    def _remove(self, number: int, suffix: str = DATA) -> None:
        files.remove(self._path / file_name(number, suffix))
        files.sync_folder(self._path)


def _reason(path: Path, error: OSError) -> str:
    room = {
        errno.ENOSPC: "make room",
        errno.EDQUOT: "make room",
        errno.EFBIG: "raise the limit on file sizes",
    }
    remedy = room.get(error.errno or 0, "check the folder and its permissions")
    return f"{path}: not saved: {error.strerror}; the older generations are intact; {remedy} and save again"
