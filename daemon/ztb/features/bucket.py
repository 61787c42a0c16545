"""Buckets of one period, built from ticks or taken from bars, and what is known when one completes.

A bucket is the period that holds a tick, aligned to 1970; one without ticks does not exist, as in the venues'
own bars. It completes when a row of a later one arrives. Each bar is one bucket. Prices in it are mids.
"""

from __future__ import annotations

import math

import numpy as np

from ztb.features import trend, volatility
from ztb.features.averages import NEAR_ZERO, ema, ratio, wilder
from ztb.features.registry import column
from ztb.features.state import BAR_VOLUME, HIGH, LOG_OPEN, LOW, OPEN
from ztb.features.trend import MASK, mean_and_deviation
from ztb.utils.kernel import kernel

_RSI, _ATR = column("rsi_14"), column("atr_14")
_MACD, _MACD_HISTOGRAM = column("macd"), column("macd_histogram")
_EFFICIENCY, _SLOPE = column("efficiency_16"), column("slope_16")
_VOLATILITY_8, _VOLATILITY_32 = column("volatility_8"), column("volatility_32")
_VOLATILITY_CHANGE = column("volatility_change")
_PARKINSON, _GARMAN_KLASS = column("parkinson_16"), column("garman_klass_16")
_DOWNSIDE, _JUMP = column("downside_32"), column("jump_32")
_SKEWNESS, _AUTOCORRELATION = column("skewness_32"), column("autocorrelation_32")
_MONEY_FLOW = column("money_flow_16")
_MACD_FROM = 25


@kernel
def open_bucket(state: np.void) -> None:
    """Start the bucket that holds the present time, at the present price."""
    state["bucket_open"] = 1
    state["bucket_end"] = (state["ts_ns"] // state["period_ns"] + 1) * state["period_ns"]
    bar = state["bar"]
    bar[LOG_OPEN] = state["log_price"]
    bar[OPEN] = state["price"]
    bar[HIGH] = state["price"]
    bar[LOW] = state["price"]
    bar[BAR_VOLUME] = 0.0


@kernel
def extend_bucket(state: np.void) -> None:
    """The present price widens the bucket in progress."""
    bar = state["bar"]
    bar[HIGH] = max(bar[HIGH], state["price"])
    bar[LOW] = min(bar[LOW], state["price"])


@kernel
def _remember(state: np.void) -> None:
    """Enter the bucket in the rings; the first fills them, so that every lookup is a price."""
    state["buckets"] += 1
    n = state["buckets"]
    bar = state["bar"]
    for place in range((n - 1) & MASK, MASK + 1 if n == 1 else ((n - 1) & MASK) + 1):
        state["close"][place] = state["price"]
        state["log_close"][place] = state["log_price"]
        state["high"][place] = bar[HIGH]
        state["low"][place] = bar[LOW]


@kernel
def _average_prices(state: np.void, n: int) -> None:
    price = state["price"]
    values = state["all"]
    state["ema_12"] = ema(state["ema_12"], price, n, 12.0)
    state["ema_26"] = ema(state["ema_26"], price, n, 26.0)
    state["ema_32"] = ema(state["ema_32"], price, n, 32.0)
    line = state["ema_12"] - state["ema_26"]
    if n > _MACD_FROM:
        state["macd_signal"] = ema(state["macd_signal"], line, n - _MACD_FROM, 9.0)
    values[_MACD] = trend.convergence(state["ema_12"], state["ema_26"], price)
    values[_MACD_HISTOGRAM] = trend.convergence_turn(line, state["macd_signal"], price)


@kernel
def _average_ranges(state: np.void, n: int) -> None:
    bar = state["bar"]
    values = state["all"]
    open_, close = bar[LOG_OPEN], state["log_price"]
    high, low = math.log(bar[HIGH]), math.log(bar[LOW])
    parkinson = volatility.parkinson_variance(high, low)
    garman_klass = volatility.garman_klass_variance(open_, high, low, close)
    state["parkinson"] = ema(state["parkinson"], parkinson, n, 16.0)
    state["garman_klass"] = ema(state["garman_klass"], garman_klass, n, 16.0)
    values[_PARKINSON] = math.sqrt(state["parkinson"])
    values[_GARMAN_KLASS] = math.sqrt(state["garman_klass"])


@kernel
def _average_money(state: np.void, n: int) -> None:
    bar = state["bar"]
    location = volatility.close_location(bar[HIGH], bar[LOW], state["price"])
    state["money"] = ema(state["money"], location * bar[BAR_VOLUME], n, 16.0)
    state["money_volume"] = ema(state["money_volume"], bar[BAR_VOLUME], n, 16.0)
    state["all"][_MONEY_FLOW] = ratio(state["money"], state["money_volume"], NEAR_ZERO)


@kernel
def _average_changes(state: np.void, n: int) -> None:
    """Wilder's averages of rises, falls and true ranges; n counts changes, one less than buckets."""
    price = state["price"]
    before = state["close"][(n - 1) & MASK]
    change = price - before
    state["gain"] = wilder(state["gain"], max(change, 0.0), n, 14)
    state["loss"] = wilder(state["loss"], max(-change, 0.0), n, 14)
    span = volatility.true_range(state["bar"][HIGH], state["bar"][LOW], before)
    state["range"] = wilder(state["range"], span, n, 14)
    state["all"][_RSI] = trend.relative_strength(state["gain"], state["loss"], price)
    state["all"][_ATR] = state["range"] / price


@kernel
def _average_returns(state: np.void, n: int) -> None:
    """Moments of bucket returns; n counts returns, one less than buckets."""
    change = state["log_price"] - state["log_close"][(n - 1) & MASK]
    square = change * change
    last = state["last_return"]
    state["variance_8"] = ema(state["variance_8"], square, n, 8.0)
    state["variance_32"] = ema(state["variance_32"], square, n, 32.0)
    state["falls"] = ema(state["falls"], square if change < 0.0 else 0.0, n, 32.0)
    state["cubes"] = ema(state["cubes"], square * change, n, 32.0)
    if n > 1:
        state["neighbours"] = ema(state["neighbours"], abs(change * last), n - 1, 32.0)
        state["products"] = ema(state["products"], change * last, n - 1, 32.0)
    state["last_return"] = change


@kernel
def _show_moments(state: np.void) -> None:
    values = state["all"]
    variance = state["variance_32"]
    values[_VOLATILITY_8] = volatility.volatility(state["variance_8"])
    values[_VOLATILITY_32] = volatility.volatility(variance)
    values[_VOLATILITY_CHANGE] = volatility.volatility_change(state["variance_8"], variance)
    values[_DOWNSIDE] = volatility.downside(state["falls"], variance)
    values[_JUMP] = volatility.jump(state["neighbours"], variance)
    values[_SKEWNESS] = volatility.skewness(state["cubes"], variance)
    values[_AUTOCORRELATION] = volatility.autocorrelation(state["products"], variance)


@kernel
def _look_back(state: np.void, n: int) -> None:
    """Figures taken from the rings over a fixed number of buckets."""
    values = state["all"]
    closes = state["close"]
    state["mean_16"], state["deviation_16"] = mean_and_deviation(closes, n, 16)
    state["mean_64"], state["deviation_64"] = mean_and_deviation(closes, n, 64)
    state["low_16"] = trend.lowest(state["low"], n, 16, state["low_16"])
    state["high_16"] = trend.highest(state["high"], n, 16, state["high_16"])
    state["high_64"] = trend.highest(state["high"], n, 64, state["high_64"])
    values[_EFFICIENCY] = trend.efficiency(closes, n, 16)
    values[_SLOPE] = trend.slope(closes, n, 16)


@kernel
def close_bucket(state: np.void) -> None:
    """Complete the bucket in progress at the present price."""
    state["bucket_open"] = 0
    _remember(state)
    n = state["buckets"]
    _average_prices(state, n)
    _average_ranges(state, n)
    _average_money(state, n)
    if n > 1:
        _average_changes(state, n - 1)
        _average_returns(state, n - 1)
        _show_moments(state)
    _look_back(state, n)
