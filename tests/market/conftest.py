"""Fixtures for market data: files made here, and the real recordings where this machine has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ztb.market.history import History
from ztb.market.ticks import Ticks, join_ticks


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a text file; returns its path."""

    def write_text(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write_text


@pytest.fixture
def read() -> Callable[[History], Ticks]:
    """All ticks of a history."""
    return lambda history: join_ticks(list(history.blocks()))


@pytest.fixture
def bars_csv(tmp_path: Path) -> Callable[[Iterable[str]], Path]:
    """A file of one-minute bars: each line is `minute` or `minute,open,high,low,close,volume`."""

    def write_bars(lines: Iterable[str]) -> Path:
        rows = [line if "," in line else f"{line},10.5,11.0,10.0,10.5,2.25" for line in lines]
        stamped = [f"{1_600_000_020 + 60 * int(r.split(',')[0])}{r[r.index(',') :]}" for r in rows]
        path = tmp_path / "BTCUSD.csv"
        path.write_text("timestamp,open,high,low,close,volume\n" + "\n".join(stamped) + "\n")
        return path

    return write_bars
