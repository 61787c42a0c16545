"""TA-Lib as the oracle: what it computes from bars, the features compute bar by bar."""

from __future__ import annotations

import numpy as np
import pytest
import talib
from numpy.typing import NDArray

from features.feature_ticks import INSTRUMENT, PERIOD, bars
from ztb.features import FeatureSet

FloatArray = NDArray[np.float64]

BARS = bars(600)
OPEN, HIGH, LOW, CLOSE = (BARS[name].copy() for name in ("open", "high", "low", "price"))
FEATURES = FeatureSet(INSTRUMENT, PERIOD)
VALUES = dict(zip(FEATURES.names, FEATURES.batch(BARS).T, strict=True))


def z_score(k: int) -> FloatArray:
    score: FloatArray = (CLOSE - talib.SMA(CLOSE, k)) / talib.STDDEV(CLOSE, k)
    return score


def stochastic() -> FloatArray:
    fast_k: FloatArray = talib.STOCHF(HIGH, LOW, CLOSE, fastk_period=16, fastd_period=1)[0]
    return 2.0 * fast_k / 100.0 - 1.0


def money_flow() -> FloatArray:
    """The bars' own A/D terms, averaged by TA-Lib's EMA."""
    terms = np.diff(talib.AD(HIGH, LOW, CLOSE, BARS["size"].copy()), prepend=0.0)
    flow: FloatArray = talib.EMA(terms, 16) / talib.EMA(BARS["size"].copy(), 16)
    return flow


ORACLES: dict[str, FloatArray] = {
    **{f"return_{k}": np.log1p(talib.ROCP(CLOSE, k)) for k in (1, 2, 4, 8, 16, 32, 64)},
    "z_score_16": z_score(16),
    "z_score_64": z_score(64),
    "ema_deviation_32": CLOSE / talib.EMA(CLOSE, 32) - 1.0,
    "stochastic_16": stochastic(),
    "drawdown_64": CLOSE / talib.MAX(HIGH, 64) - 1.0,
    "rsi_14": talib.RSI(CLOSE, 14) / 50.0 - 1.0,
    "slope_16": talib.LINEARREG_SLOPE(CLOSE, 16) / CLOSE,
    "atr_14": talib.NATR(HIGH, LOW, CLOSE, 14) / 100.0,
    "money_flow_16": money_flow(),
    "macd": (talib.EMA(CLOSE, 12) - talib.EMA(CLOSE, 26)) / CLOSE,
}


@pytest.mark.parametrize("name", ORACLES)
def test_equals_ta_lib_from_its_first_value(name: str) -> None:
    known = np.isfinite(ORACLES[name])
    assert known.sum() > 500
    np.testing.assert_allclose(VALUES[name][known], ORACLES[name][known], rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("name", ORACLES)
def test_warms_up_when_ta_lib_does(name: str) -> None:
    first = int(np.flatnonzero(np.isfinite(ORACLES[name]))[0])
    assert (VALUES[name][:first] == 0.0).all()
    assert VALUES[name][first] != 0.0


def test_macd_histogram_equals_ta_lib_once_seeds_are_forgotten() -> None:
    histogram = talib.MACD(CLOSE, 12, 26, 9)[2] / CLOSE
    np.testing.assert_allclose(VALUES["macd_histogram"][300:], histogram[300:], rtol=1e-6, atol=1e-12)
