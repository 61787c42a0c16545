"""Reads one generation. Nothing of it is believed before its checksum and its sizes have been checked."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from ztb.utils import files
from ztb.utils.checkpoint import arrays, codec, tensors
from ztb.utils.checkpoint.arena import Bytes, view
from ztb.utils.checkpoint.errors import Damaged, Malformed, NewerVersion
from ztb.utils.checkpoint.layout import (
    HEADER_BYTES,
    VERSION,
    Frame,
    Manifest,
    check_extent,
    decode_manifest,
    unpack_header,
)
from ztb.utils.checkpoint.tree import decode_state


@dataclass(frozen=True, slots=True)
class Opened:
    """A generation whose header and manifest have verified."""

    descriptor: int
    manifest: Manifest
    nbytes: int


@contextmanager
def open_generation(path: Path, number: int) -> Generator[Opened]:
    """Open `path`; Damaged (also for Malformed inside), NewerVersion, or FileNotFoundError if it has gone."""
    try:
        with files.opened(path) as descriptor:
            yield _open(descriptor, path, number)
    except FileNotFoundError:
        raise
    except Malformed as error:
        raise Damaged(path, str(error)) from error
    except OSError as error:
        raise Damaged(path, f"it cannot be read: {error.strerror}") from error


def _open(descriptor: int, path: Path, number: int) -> Opened:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise Malformed("not a regular file")
    header = unpack_header(os.pread(descriptor, HEADER_BYTES, 0))
    if header.version > VERSION:
        raise NewerVersion(path, header.version, VERSION)
    check_extent(header, status.st_size, number)
    raw = os.pread(descriptor, header.manifest_bytes, header.manifest_offset)
    return Opened(descriptor, decode_manifest(raw, header), status.st_size)


class _FrameBytes:
    """The stored bytes of one frame, front to back, checksummed as they are read."""

    def __init__(self, descriptor: int, offset: int, frame: Frame) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self._left = frame.stored
        self._expected = frame.xxh3
        self._checksum = xxhash.xxh3_64()

    def into(self, memory: Bytes) -> None:
        """Fill `memory` with the next bytes."""
        if memory.nbytes > self._left:
            raise Malformed("a frame that ends before its array is full")
        for start in range(0, memory.nbytes, codec.BLOCK):
            self._read(view(memory[start : start + codec.BLOCK]))

    def take(self, nbytes: int) -> Bytes:
        """The next `nbytes` bytes."""
        if nbytes > self._left:
            raise Malformed("a frame that ends inside a block")
        memory = np.empty(nbytes, np.uint8)
        self.into(memory)
        return memory

    def skip(self) -> None:
        """Read what is left, for its checksum alone."""
        memory = np.empty(min(self._left, codec.BLOCK), np.uint8)
        while self._left:
            self._read(view(memory[: self._left]))

    def finish(self) -> None:
        """Malformed unless everything was read and its checksum matches."""
        if self._left:
            raise Malformed("a frame with bytes left over")
        if self._checksum.hexdigest() != self._expected:
            raise Malformed("a frame's checksum does not match")

    def _read(self, part: memoryview) -> None:
        done = 0
        while done < len(part):
            count = os.preadv(self._descriptor, [part[done:]], self._offset + done)
            if count == 0:
                raise Malformed("the file ended while it was read")
            done += count
        self._checksum.update(part)
        self._offset += done
        self._left -= done


def _frames(opened: Opened) -> Iterator[tuple[Frame, _FrameBytes]]:
    offset = HEADER_BYTES
    for frame in opened.manifest.frames:
        yield frame, _FrameBytes(opened.descriptor, offset, frame)
        offset += frame.stored


def verify_frames(opened: Opened, max_bytes: int) -> None:
    """Check every frame's size and checksum, without loading; Malformed otherwise."""
    _check_frames(opened.manifest.frames, max_bytes)
    for _, stored in _frames(opened):
        stored.skip()
        stored.finish()


def load_state(opened: Opened, max_bytes: int, as_numpy: bool) -> Any:
    """The state; with `as_numpy`, tensors as numpy arrays. Malformed where it does not verify."""
    _check_frames(opened.manifest.frames, max_bytes)
    values = [_load(frame, stored, as_numpy) for frame, stored in _frames(opened)]
    return decode_state(bytes(opened.manifest.state), values, as_numpy)


def _check_frames(frames: list[Frame], max_bytes: int) -> None:
    """Before a byte is allocated: types and shapes make sense and the whole is not too large."""
    total = sum(frame.raw for frame in frames)
    if total > max_bytes:
        raise Malformed(f"{total} bytes of arrays, more than max_state_bytes = {max_bytes}")
    for frame in frames:
        if frame.kind in ("tensor", "parameter"):
            tensors.tensor_spec(frame)
        elif frame.kind == "bytes":
            arrays.check_size(frame, 1)
        else:
            arrays.array_spec(frame)
        if frame.stored > codec.bound(frame.raw) or (frame.codec == "raw" and frame.stored != frame.raw):
            raise Malformed(f"{frame.stored} bytes stored for {frame.raw}")


def _load(frame: Frame, stored: _FrameBytes, as_numpy: bool) -> Any:
    value, memory = _allocate(frame, as_numpy)
    if frame.codec == "raw":
        stored.into(memory)
    else:
        codec.decode(stored.take, frame, memory)
    stored.finish()
    if frame.kind == "bytes":
        return memory.tobytes()
    if frame.kind == "scalar":
        return value[()]
    return tensors.widen(value, frame.dtype) if _is_tensor(frame) and as_numpy else value


def _allocate(frame: Frame, as_numpy: bool) -> tuple[Any, Bytes]:
    if frame.kind == "bytes":
        memory = np.empty(frame.raw, np.uint8)
        return memory, memory
    if not _is_tensor(frame):
        return arrays.make_array(frame)
    return tensors.make_tensor_array(frame) if as_numpy else tensors.make_tensor(frame)


def _is_tensor(frame: Frame) -> bool:
    return frame.kind in ("tensor", "parameter")
