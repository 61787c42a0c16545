"""What is known of the real recordings is found in them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from ztb.market.book import CrossingCheck
from ztb.market.history import History, open_history
from ztb.market.ticks import DEPTH, GAP, QUOTE, TRADE, Flag, Ticks

Read = Callable[[History], Ticks]
_HOUR_NS = 3_600 * 10**9
_DAY_NS = 24 * _HOUR_NS


def test_six_days_of_bitflyer_are_one_stream(shared: Path, read: Read) -> None:
    history = open_history(sorted((shared / "ticks").glob("trades_*.parquet")))
    ticks = read(history)
    report = history.report
    assert (len(ticks), report.no_time, report.bad, report.duplicated) == (850_051, 2_779, 0, 0)
    assert int(((ticks["flags"] & Flag.NO_TIME) != 0).sum()) == 2_779
    assert (np.diff(ticks["ts_ns"]) >= 0).all()
    gaps = ticks["ts_ns"][(ticks["flags"] & GAP) != 0]
    assert len(gaps) == report.gaps
    maintenance = gaps[gaps % _DAY_NS // _HOUR_NS == 19]
    assert set(maintenance // _DAY_NS) == set(range(17_551, 17_557)), "every day at 19:00 UTC"
    instrument = history.instrument
    assert (instrument.symbol, instrument.venue) == ("BTC/JPY", "bitflyer")
    assert (instrument.tick_size, instrument.lot_size) == (1, Decimal("1e-8"))


def test_a_day_in_its_original_form_is_the_same_day(shared: Path, read: Read) -> None:
    parquet = read(open_history([shared / "ticks" / "trades_BTCJPY_20180126.parquet"]))
    original = read(open_history([shared / "ticks" / "bitflyer.execution.20180126.BTC_JPY.csv.gz"]))
    assert original.tobytes() == parquet.tobytes()


@pytest.mark.parametrize(
    ("name", "duplicates", "missing"),
    [
        ("binance-spot_BTCUSDT_1m_20191015-20191114", 143, 143),
        ("binance-um_BTCUSDT_1m_2023H1", 0, 0),
        ("binance-spot_BTCUSDT_1h_20170817-20230630", 0, 128),
    ],
)
def test_missing_and_repeated_bars(
    shared: Path, read: Read, name: str, duplicates: int, missing: int
) -> None:
    history = open_history([shared / "klines" / f"{name}.parquet"])
    ticks = read(history)
    report = history.report
    assert (report.duplicated, report.missing_bars, report.bad) == (duplicates, missing, 0)
    assert (np.diff(ticks["ts_ns"]) > 0).all()
    steps = np.diff(ticks["ts_ns"]) // (history.bar_ns or 0)
    assert list(np.flatnonzero(steps > 1) + 1) == list(np.flatnonzero(ticks["flags"] & GAP))


@pytest.mark.parametrize(
    ("name", "venue", "trades", "quotes", "untimed"),
    [("spot", "binance", 9_757, 28_039, 28_039), ("usdm", "binanceusdm", 21_313, 66_089, 0)],
)
def test_websocket_tapes_make_a_book_that_never_crosses(
    shared: Path, read: Read, name: str, venue: str, trades: int, quotes: int, untimed: int
) -> None:
    history = open_history([shared / "ticks" / f"{name}_btcusdt_20240808.jsonl.zst"])
    ticks = read(history)
    kinds = np.bincount(ticks["kind"], minlength=4)
    assert (kinds[TRADE], kinds[QUOTE]) == (trades, quotes)
    assert kinds[DEPTH] > 100_000
    assert history.instrument.venue == venue
    assert (history.report.no_time, history.report.gaps, history.report.missing_ids) == (untimed, 0, 0)
    check = CrossingCheck()
    check.see(ticks)
    assert check.crossed == 0


def test_every_sample_is_read_whole(shared: Path, read: Read) -> None:
    for path in sorted((shared / "samples").iterdir()):
        history = open_history([path])
        ticks = read(history)
        assert len(ticks) >= history.report.rows > 0, path.name
        assert history.report.bad == 0, path.name
        assert history.instrument.base != "BASE", path.name


def test_the_same_bars_in_two_layouts_are_the_same_ticks(shared: Path, read: Read) -> None:
    samples = shared / "samples"
    csv = read(open_history([samples / "vision_um_klines_header_BTCUSDT-1m-2022-06-18.csv"]))
    ccxt = read(open_history([samples / "ccxt_fetch_ohlcv_BTCUSDT-perp_1m.json"]))
    for field in ("ts_ns", "open", "high", "low", "price", "size"):
        assert (csv[field] == ccxt[field]).all()
    feather = read(open_history([samples / "freqtrade_UNITTEST_BTC-1m.feather"]))
    packed = read(open_history([samples / "freqtrade_UNITTEST_BTC-8m.json.gz"]))
    assert all((feather[f] == packed[f]).all() for f in ("ts_ns", "open", "high", "low", "price"))
    np.testing.assert_allclose(feather["size"], packed["size"], rtol=1e-15)


def test_quotes_and_trades_of_one_market_are_merged(shared: Path, read: Read) -> None:
    samples = sorted((shared / "samples").glob("vision_um_*BTCUSDT*2024-08-08.csv"))
    history = open_history(samples)
    ticks = read(history)
    assert len(ticks) == 6_000
    assert (np.diff(ticks["ts_ns"]) >= 0).all()
    assert history.report.kinds == {"trade": 3_000, "quote": 3_000}
