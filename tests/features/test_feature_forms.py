"""Closed forms: every feature that TA-Lib does not know, from its definition, over the whole history at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from features.feature_ticks import INSTRUMENT, PERIOD, START, bars, depth, quotes, trades
from features.test_feature_oracles import ORACLES
from ztb.features import SHIPPED, FeatureSet
from ztb.market.ticks import LAST, TRADE, Ticks, empty_ticks

FloatArray = NDArray[np.float64]


def values_of(ticks: Ticks, period_ns: int = PERIOD) -> dict[str, FloatArray]:
    features = FeatureSet(INSTRUMENT, period_ns)
    return dict(zip(features.names, features.batch(ticks).T, strict=True))


def averaged(series: FloatArray, span: int) -> FloatArray:
    """Exponential moving average, seeded by the mean of the first `span`."""
    out = np.cumsum(series) / np.arange(1, len(series) + 1)
    for i in range(span, len(series)):
        out[i] = out[i - 1] + 2.0 / (span + 1.0) * (series[i] - out[i - 1])
    return out


BARS = bars(300)
OPEN, H, L, C = (np.log(BARS[name]) for name in ("open", "high", "low", "price"))
R = np.diff(C)
E32 = averaged(R**2, 32)
E8 = averaged(R**2, 8)
ONE, TWO = np.zeros(1), np.zeros(2)
PATH = np.convolve(np.abs(np.diff(BARS["price"])), np.ones(16), "valid")

BAR_FORMS: dict[str, FloatArray] = {
    "body": C - OPEN,
    "efficiency_16": np.concatenate((np.zeros(16), (BARS["price"][16:] - BARS["price"][:-16]) / PATH)),
    "volatility_8": np.concatenate((ONE, np.sqrt(E8))),
    "volatility_32": np.concatenate((ONE, np.sqrt(E32))),
    "volatility_change": np.concatenate((ONE, (np.sqrt(E8) - np.sqrt(E32)) / (np.sqrt(E8) + np.sqrt(E32)))),
    "parkinson_16": np.sqrt(averaged((H - L) ** 2 / (4 * math.log(2)), 16)),
    "garman_klass_16": np.sqrt(averaged(0.5 * (H - L) ** 2 - (2 * math.log(2) - 1) * (C - OPEN) ** 2, 16)),
    "downside_32": np.concatenate((ONE, 2 * averaged(R**2 * (R < 0), 32) / E32 - 1)),
    "skewness_32": np.concatenate((ONE, averaged(R**3, 32) / E32**1.5)),
    "jump_32": np.concatenate((TWO, 1 - math.pi / 2 * averaged(np.abs(R[1:] * R[:-1]), 32) / E32[1:])),
    "autocorrelation_32": np.concatenate((TWO, averaged(R[1:] * R[:-1], 32) / E32[1:])),
}


@pytest.mark.parametrize("name", BAR_FORMS)
def test_features_of_bars_follow_their_formulas(name: str) -> None:
    np.testing.assert_allclose(values_of(BARS)[name][40:], BAR_FORMS[name][40:], rtol=1e-9, atol=1e-13)


def decayed(ticks: Ticks, amounts: FloatArray, horizons: int) -> FloatArray:
    """sum of exp(-age / horizon) * amount over all rows up to each."""
    age = (ticks["ts_ns"][:, None] - ticks["ts_ns"][None, :]) / (horizons * PERIOD)
    weights = np.where(np.tril(np.ones(age.shape)) > 0, np.exp(-np.maximum(age, 0.0)), 0.0)
    return np.asarray(weights @ amounts)


def share(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0.0)


def contrast(now: FloatArray, usual: FloatArray) -> FloatArray:
    return np.asarray((now - usual) / (now + usual))


def held(ticks: Ticks, series: FloatArray) -> FloatArray:
    """Time-weighted exponential average over the slow horizon of a figure held between rows."""
    out = series.copy()
    for i in range(1, len(series)):
        weight = 1.0 - math.exp(-(ticks["ts_ns"][i] - ticks["ts_ns"][i - 1]) / (8 * PERIOD))
        out[i] = out[i - 1] + weight * (series[i - 1] - out[i - 1])
    return out


TRADES = trades(1500)
SIZE, SIDE = TRADES["size"], TRADES["side"].astype(np.float64)
SPREAD = 2e-4 * TRADES["price"]
MID = TRADES["price"] - 0.5 * SPREAD * SIDE
VOLUME_1, VOLUME_8 = decayed(TRADES, SIZE, 1), decayed(TRADES, SIZE, 8)
TICKS_1, TICKS_8 = decayed(TRADES, np.ones(len(TRADES)), 1), decayed(TRADES, np.ones(len(TRADES)), 8)
CHANGES = np.diff(np.log(MID), prepend=np.log(MID[0]))
SPREAD_BPS = 1e4 * SPREAD / MID

TRADE_FORMS: dict[str, FloatArray] = {
    "volume_change": contrast(8 * VOLUME_1, VOLUME_8),
    "intensity_change": contrast(8 * TICKS_1, TICKS_8),
    "trade_imbalance_fast": decayed(TRADES, SIDE * SIZE, 1) / VOLUME_1,
    "trade_imbalance_slow": decayed(TRADES, SIDE * SIZE, 8) / VOLUME_8,
    "vwap_deviation_fast": MID / (decayed(TRADES, SIZE * TRADES["price"], 1) / VOLUME_1) - 1,
    "vwap_deviation_slow": MID / (decayed(TRADES, SIZE * TRADES["price"], 8) / VOLUME_8) - 1,
    "twap_deviation_slow": MID / held(TRADES, MID) - 1,
    "tick_volatility_fast": np.sqrt(decayed(TRADES, CHANGES**2, 1)),
    "spread": SPREAD_BPS,
    "spread_change": contrast(SPREAD_BPS, held(TRADES, SPREAD_BPS)),
}


@pytest.mark.parametrize("name", TRADE_FORMS)
def test_features_of_trades_follow_their_formulas(name: str) -> None:
    values = values_of(TRADES)[name]
    np.testing.assert_allclose(values[1000:], TRADE_FORMS[name][1000:], rtol=1e-9, atol=1e-12)
    assert np.abs(values[1000:]).max() > 0.0


def order_flow_events(ticks: Ticks) -> FloatArray:
    """Cont, Kukanov and Stoikov's e_n, row by row."""
    now, then = ticks[1:], ticks[:-1]
    bid = np.where(now["bid"] >= then["bid"], now["bid_size"], 0) - np.where(
        now["bid"] <= then["bid"], then["bid_size"], 0
    )
    ask = np.where(now["ask"] >= then["ask"], then["ask_size"], 0) - np.where(
        now["ask"] <= then["ask"], now["ask_size"], 0
    )
    return np.concatenate((ONE, bid + ask))


QUOTES = quotes(1500)
EVENTS = order_flow_events(QUOTES)
WEIGHT = (QUOTES["bid_size"] - QUOTES["ask_size"]) / (QUOTES["bid_size"] + QUOTES["ask_size"])
MICROPRICE = QUOTES["ask"] * QUOTES["bid_size"] + QUOTES["bid"] * QUOTES["ask_size"]

QUOTE_FORMS: dict[str, FloatArray] = {
    "order_flow_fast": share(decayed(QUOTES, EVENTS, 1), decayed(QUOTES, np.abs(EVENTS), 1)),
    "order_flow_slow": share(decayed(QUOTES, EVENTS, 8), decayed(QUOTES, np.abs(EVENTS), 8)),
    "spread": 1e4 * (QUOTES["ask"] - QUOTES["bid"]) / QUOTES["price"],
    "touch_imbalance": WEIGHT,
    "microprice": 1e4 * (MICROPRICE / (QUOTES["bid_size"] + QUOTES["ask_size"]) / QUOTES["price"] - 1),
}


@pytest.mark.parametrize("name", QUOTE_FORMS)
def test_features_of_quotes_follow_their_formulas(name: str) -> None:
    values = values_of(QUOTES)[name]
    np.testing.assert_allclose(values[1000:], QUOTE_FORMS[name][1000:], rtol=1e-6, atol=1e-9)


def top_levels(ticks: Ticks) -> FloatArray:
    """Imbalance of the best five levels after each row, from plain dictionaries."""
    sides: dict[int, dict[float, float]] = {1: {}, -1: {}}
    out = []
    for tick in ticks:
        side = sides[int(tick["side"])]
        side[float(tick["price"])] = float(tick["size"])
        if tick["size"] == 0.0:
            del side[float(tick["price"])]
        bids = sum(sides[1][price] for price in sorted(sides[1], reverse=True)[:5])
        asks = sum(sides[-1][price] for price in sorted(sides[-1])[:5])
        out.append((bids - asks) / (bids + asks) if bids + asks else 0.0)
    return np.array(out)


def test_depth_imbalance_weighs_five_levels_after_each_message() -> None:
    ticks = depth(400)
    last = np.flatnonzero(ticks["flags"] & LAST)[50:]
    values = values_of(ticks)["depth_imbalance_5"]
    np.testing.assert_allclose(values[last], top_levels(ticks)[last], atol=1e-12)
    inside = np.setdiff1d(np.arange(last[0], len(ticks)), last)
    assert (values[inside] == values[inside - 1]).all()


def test_time_is_the_angle_of_the_minute_and_of_the_week() -> None:
    ticks = trades(400, mean_ms=3_000_000)
    values = values_of(ticks)
    minutes = ticks["ts_ns"] // (60 * 10**9)
    day, week = minutes % 1440 / 1440, (minutes + 3 * 1440) % 10080 // 7 * 7 / 10080
    forms = {"day_sine": np.sin(math.tau * day), "day_cosine": np.cos(math.tau * day),
             "week_sine": np.sin(math.tau * week), "week_cosine": np.cos(math.tau * week)}  # fmt: skip
    for name, form in forms.items():
        np.testing.assert_allclose(values[name], form, atol=1e-12)


def test_monday_midnight_begins_the_week() -> None:
    ticks = trades(1)
    ticks["ts_ns"] = 4 * 86_400 * 10**9  # 1970-01-05
    values = values_of(ticks)
    assert (values["week_sine"][0], values["week_cosine"][0]) == (0.0, 1.0)


def test_ticks_give_the_features_of_the_bars_they_make() -> None:
    """Buckets of mids: closing each row's bucket equals feeding the bar."""
    ticks = trades(4000)
    ticks["side"] = 0  # the mid is the price
    bucket = ticks["ts_ns"] // PERIOD
    first = np.flatnonzero(np.diff(bucket, prepend=-1))
    made = empty_ticks(len(first))
    made["kind"] = 3
    for name, reduce in (("high", np.maximum), ("low", np.minimum)):
        made[name] = reduce.reduceat(ticks["price"], first)
    made["open"], made["price"] = ticks["price"][first], ticks["price"][np.append(first[1:], len(ticks)) - 1]
    made["size"] = np.add.reduceat(ticks["size"], first)
    made["ts_ns"] = (bucket[first] + 1) * PERIOD
    from_bars, from_ticks = values_of(made), values_of(ticks)
    complete = first[1:]  # the row that opens a bucket completes the one before it
    for name in (
        "rsi_14",
        "atr_14",
        "volatility_32",
        "parkinson_16",
        "garman_klass_16",
        "macd",
        "money_flow_16",
    ):
        np.testing.assert_allclose(from_ticks[name][complete], from_bars[name][:-1], rtol=1e-9, atol=1e-15)


def test_return_reaches_back_whole_buckets_from_the_present_price() -> None:
    ticks = empty_ticks(5)
    ticks["kind"] = TRADE
    ticks["ts_ns"] = START + np.array([0, 1, 2, 3, 3]) * PERIOD
    ticks["price"], ticks["size"] = [100.0, 110.0, 121.0, 133.1, 140.0], 1.0
    values = values_of(ticks)
    assert values["return_1"].tolist()[:2] == [0.0, 0.0]
    np.testing.assert_allclose(values["return_1"][2:], np.log([1.21, 1.21, 140 / 110]))
    np.testing.assert_allclose(values["return_2"][3:], np.log([1.331, 1.40]))


def test_every_shipped_feature_has_an_oracle_or_a_closed_form() -> None:
    timed = {"day_sine", "day_cosine", "week_sine", "week_cosine", "depth_imbalance_5", "macd_histogram"}
    assert set(SHIPPED) == {*ORACLES, *BAR_FORMS, *TRADE_FORMS, *QUOTE_FORMS, *timed}
    assert len(SHIPPED) >= 32
