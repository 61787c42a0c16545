"""The generations of one experiment on disk: what there is, one more, fewer, and which one can be loaded."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ztb.errors import UsageError
from ztb.utils.checkpoint import files
from ztb.utils.checkpoint.codec import Compression
from ztb.utils.checkpoint.errors import Damaged, NewerVersion, NoGeneration, SaveFailed
from ztb.utils.checkpoint.folder import share
from ztb.utils.checkpoint.generation import Generation, describe
from ztb.utils.checkpoint.names import DATA, GONE, Contents, check_mark, file_name, read_folder
from ztb.utils.checkpoint.reader import load_state, open_generation, verify_frames
from ztb.utils.checkpoint.retention import Retention, surplus
from ztb.utils.checkpoint.snapshot import Facts, Snapshot
from ztb.utils.checkpoint.writer import write

_log = logging.getLogger(__name__)


class Restored(NamedTuple):
    """A loaded state, the generation it came from, and the newer ones that did not verify, newest first."""

    state: Any
    generation: Generation
    skipped: tuple[Damaged, ...]


class Store:
    """One experiment. Reading takes no lock; what changes the folder takes it (FolderInUse)."""

    def __init__(self, path: Path, retention: Retention, compression: Compression, max_bytes: int) -> None:
        self._folder = share(path)
        self._path = path
        self._retention = retention
        self._compression = compression
        self._max_bytes = max_bytes

    def save(self, snapshot: Snapshot, facts: Facts) -> Generation:
        """Write one more generation, durable on return; SaveFailed leaves the older ones as they were."""
        with self._folder.writing:
            try:
                self.lock()
                number = read_folder(self._path).next_number
                written = write(self._path, number, snapshot, facts, self._compression)
            except OSError as error:
                raise SaveFailed(_reason(self._path, error)) from error
        return describe(facts.name, written.path, written.nbytes, written.manifest, frozenset())

    def lock(self) -> None:
        """Become the folder's writer; at the first time, sweep what a killed one left."""
        if self._folder.lock():
            found = read_folder(self._path)
            for name in found.temporary:
                _log.warning("%s: left by a save that never ended, removed", self._path / name)
                files.remove(self._path / name)

    def survey(self) -> list[Generation]:
        """All generations by number; of damaged ones only number, path and fault are known."""
        with self._folder.pruning:
            found = read_folder(self._path)
        described = (self._describe(number, found) for number in found.numbers)
        return [generation for generation in described if generation is not None]

    def _describe(self, number: int, found: Contents) -> Generation | None:
        path = self._file(number)
        marks = found.marks.get(number, frozenset[str]())
        try:
            with open_generation(path, number) as opened:
                return describe(self._path.name, path, opened.nbytes, opened.manifest, marks)
        except FileNotFoundError:
            return None
        except NewerVersion as error:
            return Generation(
                self._path.name, number, path, marks=marks, version=error.version, fault=str(error)
            )
        except Damaged as error:
            return Generation(self._path.name, number, path, marks=marks, fault=error.reason)

    def verify(self, generation: Generation) -> Generation:
        """Read every byte; the same generation, with what is wrong as its `fault`."""
        try:
            with (
                self._folder.reading(generation.number),
                open_generation(generation.path, generation.number) as opened,
            ):
                verify_frames(opened, self._max_bytes)
        except NewerVersion as error:
            return replace(generation, fault=str(error), version=error.version)
        except (Damaged, FileNotFoundError) as error:
            return replace(generation, fault=str(error))
        return replace(generation, fault=None)

    def restore(self, number: int | None, as_numpy: bool) -> Restored:
        """Generation `number`, or the newest that verifies."""
        if number is not None:
            return self._restore_one(number, as_numpy)
        skipped: list[Damaged] = []
        for candidate in self._newest_first():
            try:
                restored = self._restore_one(candidate, as_numpy)
            except FileNotFoundError:
                continue
            except Damaged as error:
                skipped.append(error)
                continue
            for fault in skipped:
                _log.warning("%s; loaded %s instead", fault, restored.generation.path)
            return restored._replace(skipped=tuple(skipped))
        raise NoGeneration(_nothing(self._path, skipped))

    def _newest_first(self) -> Iterator[int]:
        """Numbers from the newest down; read again, as a cleanup may have removed them for newer ones."""
        seen: set[int] = set()
        while fresh := set(read_folder(self._path).numbers) - seen:
            yield from sorted(fresh, reverse=True)
            seen |= fresh

    def _restore_one(self, number: int, as_numpy: bool) -> Restored:
        path = self._file(number)
        with self._folder.reading(number), open_generation(path, number) as opened:
            state = load_state(opened, self._max_bytes, as_numpy)
            marks = read_folder(self._path).marks.get(number, frozenset[str]())
            return Restored(state, describe(self._path.name, path, opened.nbytes, opened.manifest, marks), ())

    def changing(self) -> AbstractContextManager[bool]:
        """Hold off whoever lists or changes names, in this process, until a change is complete."""
        return self._folder.pruning

    def prune(self, known_good: int | None = None) -> list[Generation]:
        """Remove what retention does not keep; what was removed. Never the only one that verifies.

        `known_good` was written a moment ago and need not be read again.
        """
        with self._folder.pruning:
            found = self.survey()
            victims = surplus(found, self._retention)
            if not victims:
                return []
            self.lock()
            spared = None if known_good is not None else self._spared(found, victims)
            victims = [g for g in victims if g is not spared and not self._folder.is_read(g.number)]
            for victim in victims:
                self._remove(victim.number)
            return victims

    def _spared(self, found: list[Generation], victims: list[Generation]) -> Generation | None:
        """The newest victim that verifies if none of those that stay does."""
        doomed = {victim.number for victim in victims}
        for kept in reversed(found):
            if kept.number not in doomed and self.verify(kept).fault is None:
                return None
        return next((v for v in reversed(victims) if self.verify(v).fault is None), None)

    def delete(self, number: int) -> None:
        """Remove generation `number`, whatever retention says; refused while it is marked."""
        with self._folder.pruning:
            found = read_folder(self._path)
            self._must_exist(number, found)
            if labels := found.marks.get(number):
                raise UsageError(f"{self._file(number)} is {' and '.join(sorted(labels))}: unpin it first")
            self.lock()
            if number == found.next_number - 1:
                files.touch(self._path / file_name(number, GONE))
            self._remove(number)

    def mark(self, number: int, label: str) -> None:
        """Put a mark on a generation, durable on return."""
        with self._folder.pruning:
            self._must_exist(number, read_folder(self._path))
            self.lock()
            files.touch(self._path / file_name(number, check_mark(label)))

    def unmark(self, number: int, label: str) -> None:
        with self._folder.pruning:
            self._must_exist(number, read_folder(self._path))
            self.lock()
            files.remove(self._path / file_name(number, check_mark(label)))
            files.sync_folder(self._path)

    def _must_exist(self, number: int, found: Contents) -> None:
        if number not in found.numbers:
            raise NoGeneration(f"{self._file(number)}: there is no such generation")

    def _remove(self, number: int) -> None:
        files.remove(self._file(number))
        files.sync_folder(self._path)

    def _file(self, number: int) -> Path:
        return self._path / file_name(number, DATA)


def _reason(path: Path, error: OSError) -> str:
    room = {
        errno.ENOSPC: "make room",
        errno.EDQUOT: "make room",
        errno.EFBIG: "raise the limit on file sizes",
    }
    remedy = room.get(error.errno or 0, "check the folder and its permissions")
    return f"{path}: not saved: {error.strerror}; the older generations are intact; {remedy} and save again"


def _nothing(path: Path, skipped: list[Damaged]) -> str:
    if not skipped:
        return f"{path}: there is no generation yet"
    return f"{path}: none of {len(skipped)} generations verifies: " + "; ".join(str(e) for e in skipped[:3])
