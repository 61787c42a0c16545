"""The values from the state: what changes with every row, and the selection of columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ztb.features import calendar, flow, touch, trend
from ztb.features.averages import quantity
from ztb.features.registry import column
from ztb.features.state import (
    FAST_SUMS,
    LOG_OPEN,
    NOTIONAL,
    ORDER_FLOW,
    ORDER_FLOW_SIZE,
    SIGNED,
    SLOW_SUMS,
    SQUARES,
    TICKS,
    VOLUME,
)
from ztb.features.trend import MASK
from ztb.utils.kernel import kernel

FloatArray = NDArray[np.float64]

_RETURN_1, _RETURN_2, _RETURN_4 = column("return_1"), column("return_2"), column("return_4")
_RETURN_8, _RETURN_16 = column("return_8"), column("return_16")
_RETURN_32, _RETURN_64 = column("return_32"), column("return_64")
_BODY, _Z_16, _Z_64 = column("body"), column("z_score_16"), column("z_score_64")
_EMA_DEVIATION, _STOCHASTIC = column("ema_deviation_32"), column("stochastic_16")
_DRAWDOWN = column("drawdown_64")
_VOLUME_CHANGE, _INTENSITY_CHANGE = column("volume_change"), column("intensity_change")
_TRADE_FAST, _TRADE_SLOW = column("trade_imbalance_fast"), column("trade_imbalance_slow")
_ORDER_FLOW_FAST, _ORDER_FLOW_SLOW = column("order_flow_fast"), column("order_flow_slow")
_VWAP_FAST, _VWAP_SLOW = column("vwap_deviation_fast"), column("vwap_deviation_slow")
_TWAP = column("twap_deviation_slow")
_TICK_VOLATILITY = column("tick_volatility_fast")
_SPREAD, _SPREAD_CHANGE = column("spread"), column("spread_change")
_TOUCH_IMBALANCE, _DEPTH_IMBALANCE = column("touch_imbalance"), column("depth_imbalance_5")
_MICROPRICE = column("microprice")
_DAY_SINE, _DAY_COSINE = column("day_sine"), column("day_cosine")
_WEEK_SINE, _WEEK_COSINE = column("week_sine"), column("week_cosine")


@kernel
def _emit_trend(state: np.void) -> None:
    values = state["all"]
    price, log_price = state["price"], state["log_price"]
    past = state["log_close"]
    last = state["buckets"] - 1
    values[_RETURN_1] = trend.log_return(log_price, past[(last - 1) & MASK])
    values[_RETURN_2] = trend.log_return(log_price, past[(last - 2) & MASK])
    values[_RETURN_4] = trend.log_return(log_price, past[(last - 4) & MASK])
    values[_RETURN_8] = trend.log_return(log_price, past[(last - 8) & MASK])
    values[_RETURN_16] = trend.log_return(log_price, past[(last - 16) & MASK])
    values[_RETURN_32] = trend.log_return(log_price, past[(last - 32) & MASK])
    values[_RETURN_64] = trend.log_return(log_price, past[(last - 64) & MASK])
    values[_BODY] = trend.body(log_price, state["bar"][LOG_OPEN])
    values[_Z_16] = trend.z_score(price, state["mean_16"], state["deviation_16"])
    values[_Z_64] = trend.z_score(price, state["mean_64"], state["deviation_64"])
    values[_EMA_DEVIATION] = trend.average_deviation(price, state["ema_32"])
    values[_STOCHASTIC] = trend.stochastic(price, state["low_16"], state["high_16"])
    values[_DRAWDOWN] = trend.drawdown(price, state["high_64"])


@kernel
def _emit_flow(state: np.void) -> None:
    values = state["all"]
    price = state["price"]
    fast, slow = state["sums"][FAST_SUMS], state["sums"][SLOW_SUMS]
    values[_VOLUME_CHANGE] = flow.rate_change(fast[VOLUME], slow[VOLUME])
    values[_INTENSITY_CHANGE] = flow.rate_change(fast[TICKS], slow[TICKS])
    values[_TRADE_FAST] = flow.signed_share(fast[SIGNED], fast[VOLUME])
    values[_TRADE_SLOW] = flow.signed_share(slow[SIGNED], slow[VOLUME])
    values[_ORDER_FLOW_FAST] = flow.signed_share(fast[ORDER_FLOW], fast[ORDER_FLOW_SIZE])
    values[_ORDER_FLOW_SLOW] = flow.signed_share(slow[ORDER_FLOW], slow[ORDER_FLOW_SIZE])
    values[_VWAP_FAST] = flow.vwap_deviation(price, fast[NOTIONAL], fast[VOLUME])
    values[_VWAP_SLOW] = flow.vwap_deviation(price, slow[NOTIONAL], slow[VOLUME])
    values[_TWAP] = flow.twap_deviation(price, state["average_price"])
    values[_TICK_VOLATILITY] = flow.tick_volatility(fast[SQUARES])


@kernel
def _emit_touch(state: np.void) -> None:
    values = state["all"]
    view = state["view"]
    weight = touch.imbalance(quantity(view["bid_size"]), quantity(view["ask_size"]))
    values[_SPREAD] = state["spread"]
    values[_SPREAD_CHANGE] = flow.spread_change(state["spread"], state["average_spread"])
    values[_TOUCH_IMBALANCE] = weight
    values[_DEPTH_IMBALANCE] = state["depth_imbalance"] if view["book"]["bids"] > 0 else weight
    values[_MICROPRICE] = touch.microprice(state["spread"], weight)


@kernel
def _emit_time(values: FloatArray, ts_ns: int) -> None:
    day, week = calendar.minute_of_day(ts_ns), calendar.seventh_of_week(ts_ns)
    values[_DAY_SINE] = calendar.circle_sine(day)
    values[_DAY_COSINE] = calendar.circle_cosine(day)
    values[_WEEK_SINE] = calendar.circle_sine(week)
    values[_WEEK_COSINE] = calendar.circle_cosine(week)


@kernel
def emit(state: np.void, values: FloatArray) -> None:
    """The selected values after the last row; 0 where a feature is not warm."""
    if state["price"] > 0.0:
        _emit_trend(state)
        _emit_flow(state)
        _emit_touch(state)
        _emit_time(state["all"], state["ts_ns"])
    every, column_of, warm_up = state["all"], state["column"], state["warm_up"]
    buckets = state["buckets"]
    for j in range(state["selected"]):
        values[j] = every[column_of[j]] if buckets >= warm_up[j] else 0.0
