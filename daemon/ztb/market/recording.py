"""Our own recordings: ticks as they were received, in an append-only file that survives a crash.

File: magic, schema version (u32), header length (u32), header JSON (the instrument), xxh3 of all before
(u64); then frames: magic, row count (u32), payload length (u32), xxh3 of the payload (u64), xxh3 of the start
up to here (u64), payload. A payload is zstd over ten int64 columns: the nine lanes of TICK rows, event
times as differences to the row before, and receive times as differences to event times. All little-endian.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec
import numpy as np
import xxhash
import zstandard
from numpy.typing import NDArray

from ztb.errors import DataError
from ztb.market.importers.files import RECORDING_MAGIC, ReadProgress
from ztb.market.instrument import Instrument
from ztb.market.ticks import TICK, Ticks, empty_ticks, join_ticks

SCHEMA = 1
FRAME_ROWS = 16_384
_FRAME_MAGIC = b"ZTBF"
_HEAD = struct.Struct("<8sII")
_FRAME = struct.Struct("<4sIIQ")
_SUM = struct.Struct("<Q")
_LANES = TICK.itemsize // 8
_MOST_ROWS = 1 << 22
# Lane 1 is kind, side, flags and four bytes of padding.
_USED = np.int64(0xFFFFFFFF)


class RecordingHeader(msgspec.Struct, frozen=True):
    """The header of a recording: its facts about itself."""

    instrument: Instrument


class RecordingWriter:
    """Appends ticks of one instrument to a new file; rows are kept back until a frame is full or flushed.

    The file is called `path`.part until its first flush, so that one called `path` has a whole header and frame.
    Raises DataError if the file exists: a recording is never overwritten.
    """

    def __init__(self, path: Path, instrument: Instrument) -> None:
        if path.exists():
            raise DataError(f"{path}: exists already, recordings are never overwritten: name a new file")
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._file: IO[bytes] = self._part.open("wb")
        self._sound = 0
        header = msgspec.json.encode(RecordingHeader(instrument))
        head = _HEAD.pack(RECORDING_MAGIC, SCHEMA, len(header)) + header
        self._file.write(head + _SUM.pack(xxhash.xxh3_64_intdigest(head)))
        self._compress = zstandard.ZstdCompressor(level=1, write_content_size=True).compress
        self._ticks: list[Ticks] = []
        self._recv_ns: list[NDArray[np.int64]] = []
        self._held = 0

    def append(self, ticks: Ticks, recv_ns: NDArray[np.int64]) -> None:
        """Take (n,) ticks and when each was received, (n,) nanoseconds; both are copied."""
        if len(ticks) != len(recv_ns):
            raise ValueError(f"{len(ticks)} ticks and {len(recv_ns)} receive times")
        self._ticks.append(ticks.copy())
        self._recv_ns.append(recv_ns.astype(np.int64))
        self._held += len(ticks)
        if self._held >= FRAME_ROWS:
            self._write_held()

    def flush(self) -> None:
        """Hand everything appended so far to the operating system (not yet to the disk)."""
        self._write_held()
        self._file.flush()
        if self._sound == 0:
            self._part.rename(self._path)
        self._sound = self._file.tell()

    def close(self) -> None:
        """Flush and close; a second call does nothing."""
        if not self._file.closed:
            self.flush()
            self._file.close()

    def abandon(self) -> None:
        """Close after a write has failed: the file ends with the last flush that did not, or goes. Never raises."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            if self._sound:
                os.truncate(self._path, self._sound)
            else:
                self._part.unlink()

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write_held(self) -> None:
        if self._held == 0:
            return
        ticks, recv_ns = join_ticks(self._ticks), np.concatenate(self._recv_ns)
        for at in range(0, len(ticks), FRAME_ROWS):
            self._write_frame(ticks[at : at + FRAME_ROWS], recv_ns[at : at + FRAME_ROWS])
        self._ticks, self._recv_ns, self._held = [], [], 0

    def _write_frame(self, ticks: Ticks, recv_ns: NDArray[np.int64]) -> None:
        payload = self._compress(_pack(ticks, recv_ns))
        start = _FRAME.pack(_FRAME_MAGIC, len(ticks), len(payload), xxhash.xxh3_64_intdigest(payload))
        self._file.write(start + _SUM.pack(xxhash.xxh3_64_intdigest(start)) + payload)


def _pack(ticks: Ticks, recv_ns: NDArray[np.int64]) -> bytes:
    lanes = np.empty((_LANES + 1, len(ticks)), "<i8")
    lanes[:_LANES] = np.ascontiguousarray(ticks).view("<i8").reshape(len(ticks), _LANES).T
    lanes[1] &= _USED
    lanes[_LANES] = recv_ns - lanes[0]
    lanes[0, 1:] = np.diff(lanes[0])
    return lanes.tobytes()


def _unpack(payload: bytes, rows: int) -> tuple[Ticks, NDArray[np.int64]]:
    lanes = np.frombuffer(payload, "<i8").reshape(_LANES + 1, rows)
    ticks = empty_ticks(rows)
    ticks.view("<i8").reshape(rows, _LANES)[:] = lanes[:_LANES].T
    ticks["ts_ns"] = np.cumsum(lanes[0])
    return ticks, ticks["ts_ns"] + lanes[_LANES]


@dataclass(slots=True)
class RecordingReader:
    """Reads a recording from the start. `torn`: after a pass, how many bytes of a cut last frame."""

    path: Path
    torn: int = 0

    def header(self) -> RecordingHeader:
        """The header; DataError if it is damaged or of a newer schema."""
        with self.path.open("rb") as file:
            return self._header(file)

    def frames(self, progress: ReadProgress | None = None) -> Iterator[tuple[Ticks, NDArray[np.int64]]]:
        """(ticks, receive times) of each frame. A last frame that was cut short ends the file and is counted
        in `torn`; any other damage is a DataError that names the frame and its place."""
        self.torn = 0
        with self.path.open("rb") as file:
            if progress is not None:
                progress.watch(file)
            self._header(file)
            number = 0
            while (frame := self._frame(file, number)) is not None:
                number += 1
                yield frame
            if progress is not None:
                progress.bytes_read()

    def _header(self, file: IO[bytes]) -> RecordingHeader:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size or head[:8] != RECORDING_MAGIC:
            raise DataError(f"{self.path}: is no ztb recording")
        _, schema, length = _HEAD.unpack(head)
        if schema > SCHEMA:
            raise DataError(
                f"{self.path}: recorded with schema {schema}, this ztb reads up to {SCHEMA}: use a newer ztb"
            )
        text = file.read(length)
        total = file.read(_SUM.size)
        if len(total) < _SUM.size or _SUM.unpack(total)[0] != xxhash.xxh3_64_intdigest(head + text):
            raise DataError(f"{self.path}: its header is damaged: restore the file from a copy")
        return msgspec.json.decode(text, type=RecordingHeader)

    def _frame(self, file: IO[bytes], number: int) -> tuple[Ticks, NDArray[np.int64]] | None:
        at = file.tell()
        start, own = file.read(_FRAME.size), file.read(_SUM.size)
        head = start + own
        if len(own) < _SUM.size or not any(head):
            self.torn = len(head) + _rest(file)
            return None
        magic, rows, length, total = _FRAME.unpack(start)
        known = magic == _FRAME_MAGIC and 0 < rows <= _MOST_ROWS
        if not known or _SUM.unpack(own)[0] != xxhash.xxh3_64_intdigest(start):
            raise self._damage(number, at, "its start is not that of a frame")
        payload = file.read(length)
        if len(payload) < length:
            self.torn = len(head) + len(payload)
            return None
        if xxhash.xxh3_64_intdigest(payload) != total:
            raise self._damage(number, at, "its checksum does not match")
        return self._decoded(payload, rows, number, at)

    def _decoded(self, payload: bytes, rows: int, number: int, at: int) -> tuple[Ticks, NDArray[np.int64]]:
        size = rows * 8 * (_LANES + 1)
        try:
            plain = zstandard.ZstdDecompressor().decompress(payload, max_output_size=size)
        except zstandard.ZstdError as error:
            raise self._damage(number, at, str(error)) from error
        if len(plain) != size:
            raise self._damage(number, at, f"{rows} rows do not fit its {len(plain)} bytes")
        return _unpack(plain, rows)

    def _damage(self, number: int, at: int, why: str) -> DataError:
        return DataError(
            f"{self.path}: frame {number} at byte {at} is damaged ({why}): restore the file from a copy"
        )


def _rest(file: IO[bytes]) -> int:
    """The number of bytes left, whatever they are."""
    here = file.tell()
    return file.seek(0, 2) - here
