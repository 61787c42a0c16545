"""Each row of the table of layouts is written from its own roles, and read back as the ticks that were written."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from ztb.market.history import History, open_history
from ztb.market.importers.headerless import PATTERNS
from ztb.market.importers.layouts import LAYOUTS, Layout
from ztb.market.ticks import BAR, DEPTH, QUOTE, TRADE, Ticks

Read = Callable[[History], Ticks]
_START_MS, _ROWS = 1_704_067_200_000, 60
_SYMBOLS = {"bitflyer": "BTC_JPY", "bitmex": "XBTUSD"}
_NAMED = {f"{i}: {layout.name}": layout for i, layout in enumerate(LAYOUTS) if layout.kind != DEPTH}
_BARE = {f"{i}: {pattern.name}": pattern for i, pattern in enumerate(PATTERNS)}


@dataclass(frozen=True)
class _Row:
    """What happened: a bar of a minute, or a trade, or a quote; prices and quantities as text."""

    ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    size: Decimal
    bought: bool


def _rows(kind: int, seed: int) -> list[_Row]:
    rng, close, rows = np.random.default_rng(seed), Decimal(40_000), []
    for i in range(_ROWS):
        first, close = close, close + int(rng.integers(-9, 10))
        high, low = max(first, close) + int(rng.integers(1, 9)), min(first, close) - int(rng.integers(1, 9))
        size = Decimal(int(rng.integers(1, 10**6))) / 10**4
        ms = _START_MS + i * (60_000 if kind == BAR else 137)
        rows.append(_Row(ms, first, high, low, close, size, bool(rng.integers(2)) if i > 1 else i == 1))
    return rows


def _text(role: str, row: _Row, i: int, layout: Layout) -> str:
    """A row's value of a role, as its venue would write it."""
    moment = datetime.fromtimestamp(row.ms / 1000, UTC)
    cost = row.size * row.close
    texts: Mapping[str, object] = {
        "time": row.ms + (60_000 if layout.closes else 0), "end": row.ms + 59_999, "date": f"{moment:%Y.%m.%d}",
        "clock": f"{moment:%H:%M}", "open": row.open, "high": row.high, "low": row.low, "close": row.close,
        "vwap": row.close, "price": row.close, "bid": row.close, "ask": row.close + 1, "bid_size": row.size,
        "ask_size": row.size + 1, "size": row.size, "base_size": row.size, "quote_size": cost, "cost": cost,
        "tick_size": row.size, "signed_size": row.size if row.bought else -row.size, "id": i + 1, "first": i + 1,
        "last": i + 1, "count": 3, "buys": row.size / 2, "buys_quote": cost / 2, "flag": "true", "best": "true",
        "maker": str(not row.bought).lower(), "side": "buy" if row.bought else "sell",
        "maker_side": "sell" if row.bought else "buy", "state": "RUNNING", "cap": 10**12, "order": f"JRF{i}",
        "symbol": _SYMBOLS.get(layout.venue or "", "BTCUSDT"), "venue": layout.venue or "binance-futures",
        "other": "m" if layout.kind == TRADE else 0,
    }  # fmt: skip
    return str(texts[role])


def _write(
    path: Path, layout: Layout, roles: Sequence[str], rows: Sequence[_Row], names: Sequence[str]
) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        if names:
            table.writerow(names)
        table.writerows([_text(role, row, i, layout) for role in roles] for i, row in enumerate(rows))


def _assert_same(history: History, ticks: Ticks, rows: Sequence[_Row], layout: Layout) -> None:
    assert len(ticks) == len(rows) and history.report.bad == 0
    assert (ticks["kind"] == layout.kind).all()
    assert (ticks["ts_ns"] - ticks["span_ns"]).tolist() == [row.ms * 10**6 for row in rows]
    roles = set(layout.columns)
    for name in ("bid", "ask") if layout.kind == QUOTE else ("price",):
        assert ticks[name].tolist() == [float(row.close) + (name == "ask") for row in rows]
    if layout.kind == BAR:
        assert {name: ticks[name].tolist() for name in ("open", "high", "low")} == {
            name: [float(getattr(row, name)) for row in rows] for name in ("open", "high", "low")
        }
    if {"size", "base_size", "quote_size", "tick_size", "signed_size"} & roles:
        assert ticks["size"] == pytest.approx([float(row.size) for row in rows], rel=1e-9)
    if {"side", "maker", "maker_side", "signed_size"} & roles:
        assert ticks["side"].tolist() == [1 if row.bought else -1 for row in rows]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("which", _NAMED)
def test_a_layout_with_names_is_read_back(tmp_path: Path, read: Read, which: str, seed: int) -> None:
    layout, path = _NAMED[which], tmp_path / "BTC-history.csv"
    rows = _rows(layout.kind, seed)
    _write(path, layout, list(layout.columns), rows, list(layout.columns.values()))
    history = open_history([path])
    ticks = read(history)
    assert history.report.layouts == [layout.name]
    _assert_same(history, ticks, rows, layout)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("which", _BARE)
def test_a_layout_without_names_is_read_back(tmp_path: Path, read: Read, which: str, seed: int) -> None:
    pattern, path = _BARE[which], tmp_path / "BTCUSDT.csv"
    layout, rows = pattern.layout(), _rows(pattern.kind, seed)
    _write(path, layout, pattern.roles, rows, ())
    history = open_history([path])
    _assert_same(history, read(history), rows, layout)
