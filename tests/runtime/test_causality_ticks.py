"""On ticks of every kind: what comes later, or how it is read, changes no decision before it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from ztb.market.instrument import Instrument
from ztb.market.recording import RecordingWriter
from ztb.market.ticks import DEPTH, LAST, QUOTE, SNAPSHOT, TRADE, Ticks, empty_ticks
from ztb.strategies.loader import available

D = Decimal
INSTRUMENT = Instrument(
    "BTC/USDT:USDT", "BTC", "USDT", "binanceusdm", D("0.1"), D("0.001"), D(5), D("0.0002"), D("0.0005"), 0.5,
    short=True,
)  # fmt: skip
N = 4000
FROM = 2600  # the row from which on the future is another
START_NS = 1_600_000_000_000_000_000
SETTINGS = {
    "decision__interval_ms": 1000,
    "online__update_every_decisions": 64,
    "checkpoint__interval_updates": 1,
}


def _clock(rng: np.random.Generator) -> np.ndarray:
    """Event times, some of them shared by several rows, about ten a second."""
    return START_NS + np.cumsum(rng.integers(0, 5, N) * rng.integers(0, 100_000_000, N))


def _walk(rng: np.random.Generator) -> np.ndarray:
    return np.round(20_000.0 * np.exp(np.cumsum(rng.normal(0.0, 2e-5, N))), 1)


def trades(rng: np.random.Generator) -> Ticks:
    ticks = empty_ticks(N)
    ticks["kind"], ticks["ts_ns"], ticks["price"] = TRADE, _clock(rng), _walk(rng)
    ticks["size"], ticks["side"] = rng.integers(1, 500, N) / 1e3, rng.choice([-1, 1], N)
    return ticks


def quotes(rng: np.random.Generator) -> Ticks:
    ticks = empty_ticks(N)
    ticks["kind"], ticks["ts_ns"], ticks["bid"] = QUOTE, _clock(rng), _walk(rng)
    ticks["ask"] = ticks["bid"] + rng.integers(1, 4, N) / 10
    ticks["price"] = 0.5 * (ticks["bid"] + ticks["ask"])
    ticks["bid_size"], ticks["ask_size"] = rng.integers(1, 500, N) / 1e3, rng.integers(1, 500, N) / 1e3
    return ticks


def books(rng: np.random.Generator) -> Ticks:
    """Snapshots of one level a side, now and then one more, and a trade after every fourth message."""
    ticks, times, prices = empty_ticks(N), _clock(rng), _walk(rng)
    ticks["ts_ns"] = times
    for row in range(0, N, 5):
        levels = ticks[row : row + 4]
        levels["kind"], levels["ts_ns"], levels["side"] = DEPTH, times[row + 3], (1, 1, -1, -1)
        levels["price"] = np.round(prices[row] + np.array([-0.1, -0.3, 0.1, 0.2]), 1)
        levels["size"] = rng.integers(1, 500, 4) / 1e3
        levels["flags"] = (SNAPSHOT, 0, 0, LAST)
        trade = ticks[row + 4 : row + 5]
        trade["kind"], trade["price"], trade["side"] = TRADE, prices[row], rng.choice([-1, 1])
        trade["size"] = rng.integers(1, 300) / 1e3
    ticks["ts_ns"] = np.maximum.accumulate(ticks["ts_ns"])
    return ticks


STREAMS: dict[str, Callable[[np.random.Generator], Ticks]] = {
    "trades": trades,
    "quotes": quotes,
    "books": books,
}
EVERY_STRATEGY_ON_EVERY_STREAM = [(name, stream) for name in sorted(available()) for stream in STREAMS]


def made(stream: str) -> Ticks:
    return STREAMS[stream](np.random.default_rng(5))


def recorded(path: Path, ticks: Ticks) -> Path:
    with RecordingWriter(path, INSTRUMENT) as writer:
        writer.append(ticks, ticks["ts_ns"])
    return path


def with_another_future(ticks: Ticks) -> Ticks:
    """From row FROM on, prices are a tenth higher."""
    changed = ticks.copy()
    later = changed[FROM:]
    kinds = later["kind"]
    for name, of in (("price", (TRADE, DEPTH, QUOTE)), ("bid", (QUOTE,)), ("ask", (QUOTE,))):
        rows = np.isin(kinds, of)
        later[name][rows] = np.round(later[name][rows] * 1.1, 1)
    return changed


@pytest.mark.parametrize(("strategy", "stream"), EVERY_STRATEGY_ON_EVERY_STREAM)
def test_neither_the_future_nor_the_length_of_a_file_nor_its_blocks_change_a_decision(
    strategy, stream, replay, check_books, tmp_path
):
    ticks = made(stream)
    whole = replay(recorded(tmp_path / "whole", ticks), strategy, **SETTINGS)
    other = replay(recorded(tmp_path / "other", with_another_future(ticks)), strategy, **SETTINGS)
    half = replay(recorded(tmp_path / "half", ticks[:FROM]), strategy, **SETTINGS, market__block_rows=7)
    small = replay(tmp_path / "whole", strategy, **SETTINGS, market__block_rows=41)
    check_books(whole)
    assert small.summary["journal_sha256"] == whole.summary["journal_sha256"]
    assert small.summary["weights_sha256"] == whole.summary["weights_sha256"]
    rows = whole.decisions
    past = [row for row in rows if row["ts_ns"] < ticks["ts_ns"][FROM]]
    assert 100 < len(past) < len(rows) - 50
    assert half.decisions == rows[: len(half.decisions)] and len(half.decisions) >= len(past)
    assert other.decisions[: len(past)] == past
    assert other.decisions[len(past) :] != rows[len(past) :]
    if strategy == "ppo_online":
        assert whole.summary["updates"] >= 2
