"""Merged streams have one order, whatever the pieces they come in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztb.errors import DataError
from ztb.market.history import History, open_history
from ztb.market.importers.merge import in_blocks, merge
from ztb.market.ticks import QUOTE, TICK, TRADE, Ticks, empty_ticks, join_ticks

_STREAM = st.lists(st.lists(st.integers(0, 6), max_size=6), max_size=5)


def _pieces(steps: list[list[int]], rank: int) -> list[Ticks]:
    """Pieces of one stream with rising times; `price` is (rank, row)."""
    now = row = 0
    pieces: list[Ticks] = []
    for piece in steps:
        ticks = empty_ticks(len(piece))
        for i, step in enumerate(piece):
            now, row = now + step // 3, row + 1
            ticks["ts_ns"][i], ticks["price"][i] = now, rank * 1000 + row
        if len(ticks):
            pieces.append(ticks)
    return pieces


@given(st.lists(_STREAM, min_size=1, max_size=4), st.integers(1, 7))
def test_order_is_time_then_rank_then_row(streams: list[list[list[int]]], rows: int) -> None:
    made = [_pieces(steps, rank) for rank, steps in enumerate(streams)]
    expected = sorted((int(t["ts_ns"]), float(t["price"])) for pieces in made for p in pieces for t in p)
    blocks = list(in_blocks(merge([iter(pieces) for pieces in made]), rows))
    found = [(int(t["ts_ns"]), float(t["price"])) for block in blocks for t in block]
    assert found == expected
    assert all(len(block) == rows for block in blocks[:-1])
    assert all(block.dtype == TICK for block in blocks)


def test_quotes_come_before_trades_of_the_same_time(tmp_path: Path, read: Callable[[History], Ticks]) -> None:
    ms = 1_600_000_000_000
    trades, quotes = tmp_path / "a.csv", tmp_path / "b.csv"
    trades.write_text("timestamp,price,size\n" + "".join(f"{ms + i},100,1\n" for i in (0, 2, 4)))
    quotes.write_text("timestamp,bid,ask\n" + "".join(f"{ms + i},99,101\n" for i in (0, 1, 4)))
    ticks = read(open_history([trades, quotes]))
    assert list(ticks["kind"]) == [QUOTE, TRADE, QUOTE, TRADE, QUOTE, TRADE]
    assert read(open_history([quotes, trades])).tobytes() == ticks.tobytes()
    assert open_history([quotes, trades]).digest == open_history([trades, quotes]).digest


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_first_part_of_a_file_is_the_first_part_of_its_rows(
    tmp_path: Path, read: Callable[[History], Ticks], share: float
) -> None:
    draw = np.random.default_rng(3)
    n = 20_000
    ids = np.arange(n) + np.cumsum(draw.random(n) < 0.001) - np.cumsum(draw.random(n) < 0.001)
    times = (
        1_600_000_000_000
        + np.cumsum(draw.integers(-300, 700, n))
        + 400_000 * np.cumsum(draw.random(n) < 0.001)
    )
    prices = np.where(draw.random(n) < 0.001, np.nan, np.rint(draw.normal(1000, 9, n)) / 10)
    lines = [f"{i},{p},1,1,{t},true\n" for i, p, t in zip(ids, prices, times, strict=True)]
    lines[5000] = "1,2\n"
    (tmp_path / "all.csv").write_text("".join(lines))
    cut = int(n * share)
    (tmp_path / "part.csv").write_text("".join(lines[:cut]))
    whole, part = open_history([tmp_path / "all.csv"]), open_history([tmp_path / "part.csv"])
    ticks = read(part)
    assert part.instrument == whole.instrument
    assert ticks.tobytes() == read(whole)[: len(ticks)].tobytes()
    assert 0 < len(ticks) < cut
    report = whole.report
    assert report.duplicated > 0 < report.gaps
    assert report.dropped["malformed row"] == 1


def test_blocks_can_be_taken_again_in_any_size(read: Callable[[History], Ticks]) -> None:
    history = open_history(None)
    whole = read(history)
    first_report = history.report.to_json()
    again = join_ticks(list(history.blocks(777)))
    assert again.tobytes() == whole.tobytes()
    assert history.report.to_json() == first_report


def test_progress_rises_to_one() -> None:
    history = open_history(None)
    seen = [history.progress() for _ in history.blocks(1000)]
    assert seen == sorted(seen)
    assert history.progress() == 1.0


def test_digest_is_of_content_not_of_names(tmp_path: Path) -> None:
    text = "timestamp,price,size\n1600000000000,5,1\n"
    for name, content in (("a.csv", text), ("b.csv", text), ("c.csv", text.replace(",5,", ",6,"))):
        (tmp_path / name).write_text(content)
    a, b, c = (open_history([tmp_path / name]).digest for name in ("a.csv", "b.csv", "c.csv"))
    assert a == b != c
    assert len(a) == 64


def test_large_files_are_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream takes no more pieces from its file than it has handed out."""
    path = tmp_path / "x.csv"
    path.write_text(
        "timestamp,price,size\n" + "".join(f"{1_600_000_000_000 + i},5,1\n" for i in range(20_000))
    )
    monkeypatch.setattr("ztb.market.importers.csv_tables._BLOCK", 16_384)
    history = open_history([path])
    blocks = history.blocks(100)
    next(blocks)
    assert history.report.rows < 2_000
    with pytest.raises(DataError, match="no such file"):
        open_history([tmp_path / "y.csv"])
