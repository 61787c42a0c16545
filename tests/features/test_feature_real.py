"""Features on recorded trades and bars: finite, alive, and the same whichever way they are computed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from features.feature_ticks import INSTRUMENT, PERIOD
from ztb.features import SHIPPED, FeatureSet
from ztb.market.ticks import BAR, TRADE, Ticks, empty_ticks

DATA = Path(os.environ.get("ZTB_SHARED_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data"))
NEED_QUOTES = {"order_flow_fast", "order_flow_slow", "touch_imbalance", "depth_imbalance_5", "microprice"}
NEED_TICKS = {"spread", "spread_change", "intensity_change"}
pytestmark = [
    pytest.mark.proof,
    pytest.mark.skipif(
        not DATA.is_dir(), reason="the recorded data is absent: set ZTB_SHARED_DATA to its folder"
    ),
]


def recorded_trades() -> Ticks:
    table = pq.read_table(DATA / "ticks" / "trades_BTCJPY_20180122.parquet")
    ticks = empty_ticks(len(table))
    ticks["kind"] = TRADE
    ticks["ts_ns"] = np.maximum.accumulate(table["ts_ms"].to_numpy()) * 1_000_000
    for name in ("side", "price", "size"):
        ticks[name] = table[name].to_numpy()
    return ticks


def recorded_bars() -> Ticks:
    table = pq.read_table(DATA / "klines" / "binance-um_BTCUSDT_1m_2023H1.parquet").slice(0, 100_000)
    ticks = empty_ticks(len(table))
    ticks["kind"] = BAR
    ticks["ts_ns"] = np.arange(1, len(table) + 1) * 60 * 10**9
    for name, column in (
        ("open", "open"),
        ("high", "high"),
        ("low", "low"),
        ("price", "close"),
        ("size", "volume"),
        ("buy_volume", "taker_buy_volume"),
    ):
        ticks[name] = table[column].to_numpy().astype(np.float64)
    return ticks


@pytest.mark.parametrize("kind", ["trades", "bars"])
def test_recorded_markets(kind: str) -> None:
    ticks = recorded_trades() if kind == "trades" else recorded_bars()
    live, values = FeatureSet(INSTRUMENT, PERIOD), FeatureSet(INSTRUMENT, PERIOD).batch(ticks)
    for i in range(len(ticks)):
        live.advance(ticks, i, i + 1)
        if i % 97 == 0:
            assert live.values.tobytes() == values[i].tobytes()
    assert live.values.tobytes() == values[-1].tobytes()
    assert np.isfinite(values).all()
    still = {name for name, column in zip(SHIPPED, values.T, strict=True) if column[1000:].std() < 1e-7}
    assert still <= (NEED_QUOTES if kind == "trades" else NEED_QUOTES | NEED_TICKS)
