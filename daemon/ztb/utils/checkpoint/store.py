"""Changes to one experiment on disk: one generation more, fewer, marks. Each takes the writer's lock.

Also here: writes one generation: temporary file, fsync, rename, fsync of the folder. Durable when `write` returns.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import msgspec
import xxhash

from ztb import __version__
from ztb.errors import UsageError
from ztb.utils import files
from ztb.utils.checkpoint import codec
from ztb.utils.checkpoint.arena import Bytes
from ztb.utils.checkpoint.catalogue import Catalogue
from ztb.utils.checkpoint.codec import Compression
from ztb.utils.checkpoint.errors import NoGeneration, SaveFailed
from ztb.utils.checkpoint.generation import Generation, Retention, describe, surplus
from ztb.utils.checkpoint.layout import HEADER_BYTES, MAX_MANIFEST_BYTES, VERSION, Frame, Header, Manifest
from ztb.utils.checkpoint.loader import Loader
from ztb.utils.checkpoint.names import DATA, GONE, TEMPORARY, Contents, check_mark, file_name
from ztb.utils.checkpoint.snapshot import SnapshotFacts, StateSnapshot

_GATHER_BYTES = 1 << 22
_STORAGE_JSON_BYTES = 128  # what `stored`, `xxh3` and `codec` add to a frame of the manifest, at most
_GATHER_PIECES = 512  # the kernel takes 1024 at a time


class Written(NamedTuple):
    path: Path
    nbytes: int
    manifest: Manifest


class _Output:
    """A file that is written from front to back; `checksum` covers what came since `begin`."""

    def __init__(self, descriptor: int, offset: int) -> None:
        self._descriptor = descriptor
        self.offset = offset
        self._pieces: list[memoryview | bytes] = []
        self._pending = 0

    def write(self, pieces: Iterable[memoryview | bytes]) -> tuple[int, str]:
        """Write `pieces`; their number of bytes and checksum."""
        checksum = xxhash.xxh3_64()
        nbytes = 0
        for piece in pieces:
            checksum.update(piece)
            nbytes += len(piece)
            self._append(piece)
        return nbytes, checksum.hexdigest()

    def _append(self, piece: memoryview | bytes) -> None:
        self._pieces.append(piece)
        self._pending += len(piece)
        if self._pending >= _GATHER_BYTES or len(self._pieces) >= _GATHER_PIECES:
            self.flush()

    def flush(self) -> None:
        """Hand over what was gathered."""
        files.write_at(self._descriptor, self._pieces, self.offset)
        files.begin_sync(self._descriptor, self.offset, self._pending)
        self.offset += self._pending
        self._pieces, self._pending = [], 0


def write(
    folder: Path, number: int, snapshot: StateSnapshot, facts: SnapshotFacts, compression: Compression
) -> Written:
    """Write `snapshot` as generation `number` of `folder`; OSError leaves the folder as it was."""
    temporary = folder / file_name(number, TEMPORARY)
    target = folder / file_name(number, DATA)
    descriptor = files.create(temporary)
    try:
        try:
            nbytes, manifest = _fill(descriptor, number, snapshot, facts, compression)
            files.sync(descriptor)
        finally:
            files.close(descriptor)
        files.rename(temporary, target)
    except BaseException:
        files.remove(temporary)
        raise
    files.sync_folder(folder)
    return Written(target, nbytes, manifest)


def _fill(
    descriptor: int, number: int, snapshot: StateSnapshot, facts: SnapshotFacts, compression: Compression
) -> tuple[int, Manifest]:
    draft = _manifest(number, snapshot, facts)
    files.preallocate(descriptor, _room(draft))
    output = _Output(descriptor, HEADER_BYTES)
    frames = [_write_frame(output, frame, memory, compression) for frame, memory in snapshot.parts()]
    output.flush()
    manifest_offset = output.offset
    manifest = msgspec.structs.replace(draft, frames=frames)
    raw = msgspec.json.encode(manifest)
    output.write([raw])
    output.flush()
    header = Header(
        generation=number,
        manifest_offset=manifest_offset,
        manifest_bytes=len(raw),
        file_bytes=output.offset,
        manifest_xxh3=xxhash.xxh3_64_intdigest(raw),
    )
    files.write_at(descriptor, [header.pack()], 0)
    files.truncate(descriptor, output.offset)
    return output.offset, manifest


def _room(draft: Manifest) -> int:
    """More than the file can need; TypeError if its manifest would be too large to be read again."""
    manifest = len(msgspec.json.encode(draft)) + _STORAGE_JSON_BYTES * len(draft.frames)
    if manifest > MAX_MANIFEST_BYTES:
        raise TypeError(
            f"the state's plain values make {manifest} bytes of JSON (limit {MAX_MANIFEST_BYTES}): "
            "put large lists into numpy arrays, large strings into bytes"
        )
    return HEADER_BYTES + sum(codec.bound(frame.raw) for frame in draft.frames) + manifest


def _write_frame(output: _Output, frame: Frame, memory: Bytes, compression: Compression) -> Frame:
    chosen = codec.choose(frame.dtype, memory, compression)
    width = codec.exponent_width(frame.dtype) or 1
    stored, checksum = output.write(codec.encode(memory, chosen, width, compression.level))
    return msgspec.structs.replace(frame, stored=stored, xxh3=checksum, codec=chosen)


def _manifest(number: int, snapshot: StateSnapshot, facts: SnapshotFacts) -> Manifest:
    """The manifest, save for how the frames are stored."""
    return Manifest(
        schema=VERSION,
        writer=f"ztb {__version__}",
        name=facts.name,
        generation=number,
        created_ns=facts.created_ns,
        replaced=facts.replaced,
        metrics=facts.metrics,
        lineage=facts.lineage,
        frames=snapshot.frames,
        state=msgspec.Raw(msgspec.json.encode(snapshot.tree)),
    )


_log = logging.getLogger(__name__)


class Store:
    """One experiment's writer; every method may raise FolderInUse."""

    def __init__(self, catalogue: Catalogue, loader: Loader, retention: Retention) -> None:
        self._catalogue = catalogue
        self._folder = catalogue.folder
        self._path = catalogue.path
        self._loader = loader
        self._retention = retention

    def save(self, snapshot: StateSnapshot, facts: SnapshotFacts, compression: Compression) -> Generation:
        """Write one more generation, durable on return; SaveFailed leaves the older ones as they were."""
        with self._folder.writing:
            try:
                self._lock()
                number = self._catalogue.contents().next_number
                self._touch(number, facts.marks)
                written = write(
                    folder=self._path, number=number, snapshot=snapshot, facts=facts, compression=compression
                )
            except OSError as error:
                raise SaveFailed(_reason(self._path, error)) from error
        return describe(
            name=facts.name,
            path=written.path,
            nbytes=written.nbytes,
            manifest=written.manifest,
            marks=facts.marks,
        )

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
