"""Writes one generation: temporary file, fsync, rename, fsync of the folder. Durable when `write` returns."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec
import xxhash

from ztb import __version__
from ztb.utils.checkpoint import codec, files
from ztb.utils.checkpoint.arena import Bytes
from ztb.utils.checkpoint.codec import Compression
from ztb.utils.checkpoint.layout import HEADER_BYTES, MAX_MANIFEST_BYTES, VERSION, Frame, Header, Manifest
from ztb.utils.checkpoint.names import DATA, TEMPORARY, file_name
from ztb.utils.checkpoint.snapshot import Facts, Snapshot

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


def write(folder: Path, number: int, snapshot: Snapshot, facts: Facts, compression: Compression) -> Written:
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
    descriptor: int, number: int, snapshot: Snapshot, facts: Facts, compression: Compression
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
    header = Header(number, manifest_offset, len(raw), output.offset, xxhash.xxh3_64_intdigest(raw))
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


def _manifest(number: int, snapshot: Snapshot, facts: Facts) -> Manifest:
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
