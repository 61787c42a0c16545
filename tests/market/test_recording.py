"""Our recordings give back every bit, survive a cut at any byte, and never hide other damage."""

from __future__ import annotations

import struct
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ztb.errors import DataError
from ztb.market.history import open_history
from ztb.market.instrument import Instrument
from ztb.market.recording import FRAME_ROWS, RecordingReader, RecordingWriter
from ztb.market.ticks import GAP, TICK, TRADE, Flag, Ticks, empty_ticks, join_ticks

INSTRUMENT = Instrument(
    "BTC/JPY", "BTC", "JPY", "bitflyer", Decimal(1), Decimal("1e-8"), Decimal(100),
    Decimal("0.0015"), Decimal("0.0015"), 5.0, inferred=("lot_size",),
)  # fmt: skip


def _ticks(n: int, seed: int = 0) -> Ticks:
    draw = np.random.default_rng(seed)
    ticks = empty_ticks(n)
    ticks["ts_ns"] = 10**18 + np.cumsum(draw.integers(0, 10**9, n))
    ticks["kind"] = TRADE
    ticks["side"] = draw.choice([-1, 0, 1], n)
    ticks["price"] = draw.integers(1, 10**6, n)
    ticks["size"] = draw.random(n)
    ticks["buy_volume"] = np.where(draw.random(n) < 0.5, np.nan, 1.0)
    return ticks


def _write(path: Path, sizes: list[int]) -> tuple[Ticks, list[int]]:
    """Record blocks of these sizes, each flushed; the ticks and the file's length after each."""
    ticks, ends, at = _ticks(sum(sizes)), [], 0
    with RecordingWriter(path, INSTRUMENT) as writer:
        for size in sizes:
            block = ticks[at : at + size]
            writer.append(block, block["ts_ns"] + 7)
            writer.flush()
            ends.append(path.stat().st_size)
            at += size
    return ticks, ends


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.sampled_from([0, 1, 3, 500, FRAME_ROWS, FRAME_ROWS + 1]), max_size=4))
def test_every_bit_comes_back(tmp_path: Path, sizes: list[int]) -> None:
    path = tmp_path / "r.ztb"
    path.unlink(missing_ok=True)
    ticks, _ = _write(path, sizes)
    reader = RecordingReader(path)
    frames = list(reader.frames())
    assert reader.header().instrument == INSTRUMENT
    assert join_ticks([t for t, _ in frames]).tobytes() == ticks.tobytes()
    assert all((recv == t["ts_ns"] + 7).all() for t, recv in frames)
    assert reader.torn == 0


def test_small_appends_share_a_frame_and_may_be_of_a_repacked_dtype(tmp_path: Path) -> None:
    ticks = _ticks(100)
    with RecordingWriter(tmp_path / "r.ztb", INSTRUMENT) as writer:
        for i in range(0, 100, 2):
            repacked = np.concatenate([ticks[i : i + 1], ticks[i + 1 : i + 2]])
            assert repacked.dtype != TICK
            writer.append(repacked, repacked["ts_ns"])
    frames = list(RecordingReader(tmp_path / "r.ztb").frames())
    assert len(frames) == 1
    assert frames[0][0].tobytes() == ticks.tobytes()


def test_a_file_cut_at_any_byte_gives_every_whole_frame(tmp_path: Path) -> None:
    path, cut = tmp_path / "r.ztb", tmp_path / "cut.ztb"
    sizes = [3, 5, 2]
    ticks, ends = _write(path, sizes)
    content = path.read_bytes()
    start = content.index(b"ZTBF")
    for length in range(start, len(content)):
        cut.write_bytes(content[:length])
        whole = sum(size for size, end in zip(sizes, ends, strict=True) if end <= length)
        reader = RecordingReader(cut)
        found = join_ticks([t for t, _ in reader.frames()])
        assert found.tobytes() == ticks[:whole].tobytes()
        assert reader.torn == length - max([start] + [end for end in ends if end <= length])
    cut.write_bytes(content + bytes(100))
    reader = RecordingReader(cut)
    assert sum(len(t) for t, _ in reader.frames()) == len(ticks)
    assert reader.torn == 100, "a file grown by zeros before the machine lost power"


def test_any_flipped_bit_is_refused_by_name(tmp_path: Path) -> None:
    path, bad = tmp_path / "r.ztb", tmp_path / "bad.ztb"
    _write(path, [30, 30])
    content = path.read_bytes()
    for at in range(0, len(content), 3):
        flipped = bytearray(content)
        flipped[at] ^= 1 << (at % 8)
        bad.write_bytes(bytes(flipped))
        with pytest.raises(DataError, match=r"bad\.ztb"):
            list(RecordingReader(bad).frames())


def test_a_newer_schema_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "r.ztb"
    _write(path, [1])
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, 8, 2)
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="schema 2, this ztb reads up to 1"):
        RecordingReader(path).header()


def test_a_recording_is_never_overwritten(tmp_path: Path) -> None:
    _write(tmp_path / "r.ztb", [1])
    with pytest.raises(DataError, match="never overwritten"):
        RecordingWriter(tmp_path / "r.ztb", INSTRUMENT)


def test_what_was_flushed_is_readable_while_more_is_written(tmp_path: Path) -> None:
    path, ticks = tmp_path / "r.ztb", _ticks(10)
    with RecordingWriter(path, INSTRUMENT) as writer:
        writer.append(ticks[:5], ticks["ts_ns"][:5])
        writer.flush()
        writer.append(ticks[5:], ticks["ts_ns"][5:])
        assert sum(len(t) for t, _ in RecordingReader(path).frames()) == 5


def test_receive_times_must_match(tmp_path: Path) -> None:
    with (
        RecordingWriter(tmp_path / "r.ztb", INSTRUMENT) as writer,
        pytest.raises(ValueError, match="1 ticks and 2"),
    ):
        writer.append(_ticks(1), np.zeros(2, np.int64))


def test_rotated_recordings_are_one_history(tmp_path: Path) -> None:
    ticks = _ticks(50)
    ticks["flags"][20] = GAP | Flag.NO_TIME
    for name, part in (("b.ztb", ticks[:30]), ("a.ztb", ticks[30:])):
        with RecordingWriter(tmp_path / name, INSTRUMENT) as writer:
            writer.append(part, part["ts_ns"])
    with (tmp_path / "a.ztb").open("ab") as file:
        file.write(b"ZTBF\x01")
    history = open_history([tmp_path])
    assert history.instrument == INSTRUMENT
    assert history.bar_ns is None
    assert join_ticks(list(history.blocks(7))).tobytes() == ticks.tobytes()
    assert (history.report.gaps, history.report.no_time, history.report.torn) == (1, 1, 5)
    assert open_history([tmp_path], taker_fee=Decimal("0.01")).instrument.taker_fee == Decimal("0.01")
