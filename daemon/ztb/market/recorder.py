"""The recorder: what the engine was given, in order, in files that rotate. It never holds trading up.

A crash loses at most the last second. When the disk fills, it stops before anything else does, says so, and goes on
in a new file when there is room again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from ztb.market.instrument import Instrument
from ztb.market.recording import RecordingWriter
from ztb.market.ticks import Flag, Ticks

_EVERY_S = 1.0
_RETRY_S = 10.0
_MOST_WAITING = 4_000_000  # rows, 320 MB: a disk that is this far behind does not keep up
_logger = structlog.get_logger("ztb.recorder")
_RESUMED = int(Flag.GAP | Flag.TAINTED)

_Piece = tuple[Ticks, NDArray[np.int64]]
Report = Callable[[str, str], None]
"""Hears of a change: its key (`recording_stopped`, `recording_resumed`) and what happened, in words."""


@dataclass(frozen=True, slots=True)
class RecordingLimits:
    """A file ends at `file_bytes` or after `file_s`; below `min_free_bytes` of free disk nothing is written.

    Whole files go, the oldest first, once all take over `keep_bytes` or were last written to `keep_s` ago; 0: never.
    """

    file_bytes: int = 256 << 20
    file_s: float = 3600.0
    min_free_bytes: int = 512 << 20
    keep_bytes: int = 0
    keep_s: float = 0.0


def recordings(folder: Path) -> dict[int, Path]:
    """The files of `folder` by number, in order."""
    found = {int(path.stem): path for path in folder.glob("*.ticks") if path.stem.isdecimal()}
    return dict(sorted(found.items()))


def retire(folder: Path, limits: RecordingLimits, now_ns: int) -> list[Path]:
    """Take the files of `folder` away that are beyond `limits` at `now_ns` since 1970, never the newest; which."""
    found = {path: path.stat() for path in recordings(folder).values()}
    left = sum(stat.st_size for stat in found.values())
    gone: list[Path] = []
    for path, stat in list(found.items())[:-1]:
        too_much = limits.keep_bytes > 0 and left > limits.keep_bytes
        too_old = limits.keep_s > 0.0 and now_ns - stat.st_mtime_ns > limits.keep_s * 1e9
        if not too_much and not too_old:
            break
        path.unlink(missing_ok=True)
        left -= stat.st_size
        gone.append(path)
    return gone


def next_number(folder: Path) -> int:
    """The number of the next file."""
    return 1 + max(recordings(folder), default=0)


class Recorder:
    """Writes to `folder`/NNNNNN.ticks. Give blocks to `take` and run `run` as a task.

    `free_bytes` tells the free space at a path. What cannot be written is counted in `lost` rows.
    """

    def __init__(
        self,
        folder: Path,
        instrument: Instrument,
        limits: RecordingLimits,
        free_bytes: Callable[[Path], int],
        report: Report,
    ) -> None:
        self.recording = True
        self.rows = 0
        self.lost = 0
        self._folder = folder
        self._instrument = instrument
        self._limits = limits
        self._free_bytes = free_bytes
        self._report = report
        self._waiting: list[_Piece] = []
        self._held = 0
        self._hole = False
        self._file: _File | None = None
        self._writing: tuple[asyncio.Future[str | None], int] | None = None
        self._retry_s = 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, ticks: Ticks, recv_ns: NDArray[np.int64]) -> None:
        """Record (n,) ticks received at (n,) `recv_ns`; they are copied. Never waits, never raises."""
        if not self.recording:
            self.lost += len(ticks)
        elif self._held + len(ticks) > _MOST_WAITING:
            self._stop("the disk does not keep up", len(ticks))
        else:
            self._waiting.append((ticks.copy(), recv_ns))
            self._held += len(ticks)

    async def run(self) -> None:
        """Write what was taken, each second, until cancelled; then what is left."""
        try:
            while True:
                await asyncio.sleep(_EVERY_S)
                await self.write()
        finally:
            await self.close()

    async def write(self) -> None:
        """Write what was taken so far, in a thread; first see a write through whose caller was cancelled."""
        await self._see_through()
        now_s = asyncio.get_running_loop().time()
        if not self.recording and now_s >= self._retry_s:
            self._try_again(now_s)
        pieces, self._waiting, self._held = self._waiting, [], 0
        rows = sum(len(ticks) for ticks, _ in pieces)
        if not rows:
            return
        loop = asyncio.get_running_loop()
        self._writing = loop.run_in_executor(None, self._write, pieces, now_s), rows
        await self._see_through()

    async def _see_through(self) -> None:
        """Wait for the write that goes on, if one does, and take note of what became of it."""
        if self._writing is None:
            return
        writing, rows = self._writing
        fault = await asyncio.shield(writing)
        self._writing = None
        if fault is None:
            self.rows += rows
        else:
            self._stop(fault, rows)

    async def close(self) -> None:
        """Write what is left and close the file."""
        await self.write()
        await asyncio.to_thread(self._end_file)

    def _stop(self, why: str, rows: int) -> None:
        self.lost += rows + self._held
        self._waiting, self._held = [], 0
        self._hole, self.recording = True, False
        self._retry_s = asyncio.get_running_loop().time() + _RETRY_S
        self._report("recording_stopped", f"{self._folder}: recording stopped: {why}; trading goes on")

    def _try_again(self, now_s: float) -> None:
        if self._room() is not None:
            self._retry_s = now_s + _RETRY_S
            return
        self.recording = True
        self._report("recording_resumed", f"{self._folder}: recording again, {self.lost} rows are missing")

    def _room(self) -> str | None:
        """None if there is room to write, else why not."""
        try:
            free = self._free_bytes(self._folder)
        except OSError as error:
            return str(error)
        least = self._limits.min_free_bytes
        return None if free >= least else f"{free >> 20} MiB are free, {least >> 20} are kept"

    def _write(self, pieces: list[_Piece], now_s: float) -> str | None:
        """Write and rotate; returns what went wrong."""
        fault = self._room()
        if fault is None:
            try:
                self._append(pieces, now_s)
            except OSError as error:
                fault = str(error)
        if fault is not None:
            self._end_file()
        return fault

    def _append(self, pieces: list[_Piece], now_s: float) -> None:
        file = self._open_file(now_s)
        for ticks, recv_ns in pieces:
            if self._hole:
                ticks["flags"][0] |= _RESUMED
                self._hole = False
            file.writer.append(ticks, recv_ns)
        file.writer.flush()
        if file.path.stat().st_size >= self._limits.file_bytes or now_s >= file.until_s:
            self._end_file()
            self._retire(int(pieces[-1][1][-1]))

    def _retire(self, now_ns: int) -> None:
        """Take away what is no longer kept, and say it."""
        gone = retire(self._folder, self._limits, now_ns)
        if gone:
            first = next(iter(recordings(self._folder).values()))
            _logger.info(
                "recordings_retired", folder=str(self._folder), files=len(gone), first_kept=first.name
            )

    def _open_file(self, now_s: float) -> _File:
        if self._file is None:
            path = self._folder / f"{next_number(self._folder):06}.ticks"
            self._file = _File(path, RecordingWriter(path, self._instrument), now_s + self._limits.file_s)
        return self._file

    def _end_file(self) -> None:
        """Leave the file as it was after the last write that succeeded."""
        if self._file is not None:
            self._file.writer.abandon()
            self._file = None


@dataclass(frozen=True, slots=True)
class _File:
    """The file being written, until it is full or `until_s`, loop time."""

    path: Path
    writer: RecordingWriter
    until_s: float
