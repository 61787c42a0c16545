"""The recorder: in order, complete up to the last second, rotated, and the first to give way on a full disk."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import structlog

from ztb.market.history import open_history
from ztb.market.instrument import Instrument
from ztb.market.recorder import Recorder, RecordingLimits, recordings
from ztb.market.recording import RecordingReader
from ztb.market.ticks import TRADE, Flag, Ticks, empty_ticks, join_ticks
from ztb.testing.virtual_time import run_virtual

INSTRUMENT = Instrument(
    "BTC/USDT", "BTC", "USDT", "binance", Decimal("0.01"), Decimal("0.00001"), Decimal(5), Decimal("0.001"),
    Decimal("0.001"), 1.0,
)  # fmt: skip
PLENTY = 1 << 40


def trades(first: int, count: int) -> Ticks:
    ticks = empty_ticks(count)
    ticks["kind"] = TRADE
    ticks["ts_ns"] = np.arange(first, first + count) * 1_000_000 + 1_700_000_000_000_000_000
    ticks["price"] = np.arange(first, first + count) + 1.0
    ticks["size"] = 1.0
    return ticks


def recorded(folder: Path) -> tuple[Ticks, np.ndarray]:
    frames = [frame for path in sorted(folder.iterdir()) for frame in RecordingReader(path).frames()]
    return join_ticks([ticks for ticks, _ in frames]), np.concatenate([recv for _, recv in frames])


def recorder(folder: Path, limits: RecordingLimits | None = None, free=lambda _: PLENTY, heard=None):
    limits = limits or RecordingLimits()
    said: list[tuple[str, str]] = [] if heard is None else heard
    return Recorder(folder, INSTRUMENT, limits, free, lambda key, text: said.append((key, text)))


def test_blocks_are_recorded_in_order_with_their_receive_times(tmp_path):
    async def run() -> None:
        keep = recorder(tmp_path)
        for i in range(50):
            block = trades(i * 10, 10)
            keep.take(block, block["ts_ns"] + i)
            block["price"] = -1.0  # what happens to a block later is not the recorder's affair
            await asyncio.sleep(0.3)
            await keep.write()
        await keep.close()
        assert keep.rows == 500

    run_virtual(run())
    ticks, recv_ns = recorded(tmp_path)
    assert ticks.tobytes() == trades(0, 500).tobytes()
    assert (recv_ns - ticks["ts_ns"]).tolist() == np.repeat(np.arange(50), 10).tolist()


def test_who_is_ended_in_the_middle_of_a_write_sees_it_through_before_the_last_one(tmp_path):
    inside, go_on = threading.Event(), threading.Event()

    def free(_: Path) -> int:
        if not inside.is_set():
            inside.set()
            go_on.wait(10)
        return PLENTY

    async def run() -> None:
        keep = recorder(tmp_path, free=free)
        keep.take(trades(0, 10), trades(0, 10)["ts_ns"])
        writing = asyncio.create_task(keep.write())
        await asyncio.to_thread(inside.wait, 10)
        keep.take(trades(10, 10), trades(10, 10)["ts_ns"])
        writing.cancel()
        await asyncio.wait([writing])
        closing = asyncio.create_task(keep.close())
        await asyncio.wait([closing], timeout=0.1)
        go_on.set()
        await closing
        assert (keep.rows, keep.lost) == (20, 0)

    asyncio.run(run())
    assert [path.name for path in tmp_path.iterdir()] == ["000001.ticks"]
    assert recorded(tmp_path)[0].tobytes() == trades(0, 20).tobytes()


def test_files_end_by_size_and_by_age_and_read_as_one_history(tmp_path):
    async def run(limits: RecordingLimits) -> None:
        keep = recorder(tmp_path / str(limits.file_bytes), limits)
        for i in range(100):
            block = trades(i * 100, 100)
            keep.take(block, block["ts_ns"])
            await keep.write()
            await asyncio.sleep(1.0)
        await keep.close()

    for limits, least in ((RecordingLimits(file_bytes=3_000), 5), (RecordingLimits(file_s=20.0), 5)):
        run_virtual(run(limits))
        folder = tmp_path / str(limits.file_bytes)
        assert least <= len(list(folder.iterdir())) <= 60
        history = open_history([folder])
        assert join_ticks(list(history.blocks())).tobytes() == trades(0, 10_000).tobytes()
        assert history.instrument == INSTRUMENT


def test_a_recorder_in_a_folder_that_holds_files_goes_on_after_them(tmp_path):
    async def run(first: int) -> None:
        keep = recorder(tmp_path)
        keep.take(trades(first, 10), trades(first, 10)["ts_ns"])
        await keep.close()

    run_virtual(run(0))
    run_virtual(run(10))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["000001.ticks", "000002.ticks"]
    assert recorded(tmp_path)[0].tobytes() == trades(0, 20).tobytes()


def kept_of(folder: Path, limits: RecordingLimits) -> list[str]:
    """Files that are left of an hour in which one was ended each 20 s, each a day older than the next."""

    async def run() -> None:
        keep = recorder(folder, limits)
        for i in range(9):
            block = trades(i * 100, 100)
            keep.take(block, block["ts_ns"])
            await keep.write()
            for back, path in enumerate(reversed(recordings(folder).values())):
                then = int(block["ts_ns"][-1]) - back * 86_400 * 10**9
                os.utime(path, ns=(then, then))
            await asyncio.sleep(20.0)
        await keep.close()

    run_virtual(run())
    return [path.name for path in recordings(folder).values()]


def test_the_oldest_files_go_by_size_or_by_age_and_that_is_said(tmp_path):
    with structlog.testing.capture_logs() as lines:
        all_of_them = kept_of(tmp_path / "all", RecordingLimits(file_s=20.0))
        assert len(all_of_them) >= 5 and not lines
        size = max(path.stat().st_size for path in (tmp_path / "all").iterdir())
        by_size = kept_of(tmp_path / "size", RecordingLimits(file_s=20.0, keep_bytes=3 * size))
        by_age = kept_of(tmp_path / "age", RecordingLimits(file_s=20.0, keep_s=1.5 * 86_400.0))
    assert by_size == all_of_them[-len(by_size) :] and 2 <= len(by_size) <= 4
    assert by_age == all_of_them[-len(by_age) :] and 2 <= len(by_age) <= 3
    assert {line["event"] for line in lines} == {"recordings_retired"}
    assert lines[-1]["first_kept"] in (by_age[0], by_age[-2])
    assert recorded(tmp_path / "size")[0]["ts_ns"][-1] == trades(800, 100)["ts_ns"][-1]


def test_the_newest_file_stays_whatever_the_limits(tmp_path):
    assert kept_of(tmp_path, RecordingLimits(file_s=20.0, keep_bytes=1, keep_s=1e-3))[-1:]


def test_a_disk_that_fills_stops_recording_says_so_and_goes_on_when_there_is_room(tmp_path):
    free, said = [PLENTY], []

    async def run() -> None:
        keep = recorder(tmp_path, RecordingLimits(min_free_bytes=1000), lambda _: free[0], said)
        for i in range(60):
            free[0] = 999 if 10 <= i < 30 else PLENTY
            keep.take(trades(i * 10, 10), trades(i * 10, 10)["ts_ns"])
            await asyncio.sleep(1.0)
            await keep.write()
        assert keep.recording and keep.rows + keep.lost == 600 and 200 <= keep.lost <= 310
        await keep.close()

    run_virtual(run())
    assert [key for key, _ in said] == ["recording_stopped", "recording_resumed"]
    ticks, _ = recorded(tmp_path)
    hole = np.flatnonzero(np.diff(ticks["price"]) > 1.0) + 1
    assert len(hole) == 1
    assert ticks["flags"][hole[0]] == int(Flag.GAP | Flag.TAINTED) and np.count_nonzero(ticks["flags"]) == 1


def test_a_write_that_fails_half_way_leaves_a_file_that_reads_to_the_last_good_one(tmp_path, monkeypatch):
    """The disk says ENOSPC after part of a frame was written, and later there is room again."""

    async def run() -> None:
        said: list[tuple[str, str]] = []
        keep = recorder(tmp_path, heard=said)
        keep.take(trades(0, 1000), trades(0, 1000)["ts_ns"])
        await keep.write()
        assert keep._file is not None
        writer = keep._file.writer
        write = writer._file.write

        def half(data: bytes) -> int:
            write(data[: len(data) // 2])
            writer._file.flush()
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(writer, "_file", Disk(writer._file, half))
        keep.take(trades(1000, 1000), trades(1000, 1000)["ts_ns"])
        await keep.write()
        assert not keep.recording and keep.lost == 1000
        assert "No space left" in said[0][1]
        await asyncio.sleep(11.0)
        await keep.write()
        keep.take(trades(2000, 1000), trades(2000, 1000)["ts_ns"])
        await keep.close()

    run_virtual(run())
    ticks, _ = recorded(tmp_path)
    assert ticks["price"].tolist() == [*range(1, 1001), *range(2001, 3001)]


class Disk:
    def __init__(self, file, write) -> None:
        self._file, self.write = file, write

    def __getattr__(self, name: str):
        return getattr(self._file, name)


def test_a_disk_that_does_not_keep_up_loses_recording_not_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("ztb.market.recorder._MOST_WAITING", 100)

    async def run() -> None:
        keep = recorder(tmp_path)
        for i in range(11):
            keep.take(trades(i * 10, 10), trades(i * 10, 10)["ts_ns"])
        assert not keep.recording and keep.lost == 110
        await keep.close()

    run_virtual(run())


CHILD = """
import asyncio, sys, time
from pathlib import Path
sys.path[:0] = {path!r}
from market.test_recorder import recorder, trades

async def main():
    keep = recorder(Path({folder!r}))
    async def produce():
        i = 0
        while True:
            block = trades(i * 20, 20)
            block["ts_ns"] = time.time_ns()
            keep.take(block, block["ts_ns"].copy())
            i += 1
            await asyncio.sleep(0.005)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keep.run())
        tasks.create_task(produce())
        print("running", flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("after_s", [1.7, 2.4])
def test_a_kill_loses_at_most_the_last_second(tmp_path, after_s):
    code = CHILD.format(path=[entry for entry in sys.path if entry], folder=str(tmp_path))
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "running\n"
    time.sleep(after_s)
    killed_ns = time.time_ns()
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    ticks, recv_ns = recorded(tmp_path)
    assert ticks["price"].tolist() == list(range(1, len(ticks) + 1))
    assert len(ticks) > 1000
    # A second, and what the thread takes to write on a busy machine.
    assert (killed_ns - recv_ns[-1]) / 1e9 <= 1.5
