"""The one kernel of all shipped features: rows in, values out, live and over a history alike.

`_see` takes one row into the state, without a transcendental function where time and price stand still;
`_emit` gives the values. A DEPTH message counts once, at its LAST row. After a gap the return over it is
kept, while the decaying sums and averages start again.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ztb.features import calendar, flow, touch, trend
from ztb.features.averages import quantity, sane
from ztb.features.bucket import close_bucket, extend_bucket, open_bucket
from ztb.features.registry import column
from ztb.features.state import (
    BAR_VOLUME,
    FAST_SUMS,
    HIGH,
    LOG_OPEN,
    LOW,
    N_HORIZONS,
    N_SUMS,
    NOTIONAL,
    OPEN,
    ORDER_FLOW,
    ORDER_FLOW_SIZE,
    SIGNED,
    SLOW_SUMS,
    SQUARES,
    TICKS,
    VOLUME,
    State,
)  # fmt: skip
from ztb.features.trend import MASK
from ztb.market.ticks import BAR, DEPTH, GAP, LAST, TRADE, Ticks
from ztb.market.view import apply_tick
from ztb.utils.kernel import kernel

FloatArray = NDArray[np.float64]

DEPTH_LEVELS = 5
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
def _restart(state: np.void) -> None:
    """Forget decaying sums, averages in time and the last touch: at the first row, and after a gap."""
    state["gap"] = 0
    state["average_price"] = 0.0
    state["touch"][0] = 0.0
    for horizon in range(N_HORIZONS):
        for place in range(N_SUMS):
            state["sums"][horizon, place] = 0.0


@kernel
def _decay(state: np.void, elapsed_ns: int) -> None:
    """Let `elapsed_ns` pass over everything that decays; factors are kept for the next equal span."""
    if elapsed_ns != state["elapsed_ns"]:
        state["elapsed_ns"] = elapsed_ns
        state["decay_slow"] = flow.slow_decay(elapsed_ns, state["period_ns"])
        state["decay_fast"] = flow.fast_decay(state["decay_slow"])
    fast, slow = state["decay_fast"], state["decay_slow"]
    sums = state["sums"]
    for place in range(N_SUMS):
        sums[FAST_SUMS, place] *= fast
        sums[SLOW_SUMS, place] *= slow
    state["average_price"] += (1.0 - slow) * (state["price"] - state["average_price"])
    state["average_spread"] += (1.0 - slow) * (state["spread"] - state["average_spread"])


@kernel
def _see_price(state: np.void, price: float) -> None:
    """A new mid: its log once, its change into the sums."""
    sums = state["sums"]
    if price != state["price"]:
        log_price = math.log(price)
        change = log_price - state["log_price"] if state["price"] > 0.0 else 0.0
        for horizon in range(N_HORIZONS):
            sums[horizon, SQUARES] += change * change
        state["price"] = price
        state["log_price"] = log_price
    for horizon in range(N_HORIZONS):
        sums[horizon, TICKS] += 1.0


@kernel
def _see_trade(state: np.void, price: float, size: float, side: float) -> None:
    """Something was traded; `side` is the taker's, in between for a bar of both."""
    if not (size > 0.0 and sane(price)):
        return
    state["bar"][BAR_VOLUME] += size
    sums = state["sums"]
    for horizon in range(N_HORIZONS):
        sums[horizon, VOLUME] += size
        sums[horizon, SIGNED] += side * size
        sums[horizon, NOTIONAL] += size * price


@kernel
def _see_touch(state: np.void) -> None:
    """The venue's quotes may have changed: the order flow event since they were last seen."""
    view, old, sums = state["view"], state["touch"], state["sums"]
    if view["quoted"] == 0 or not (sane(view["bid"]) and sane(view["ask"])):
        return
    bid, ask = view["bid"], view["ask"]
    bid_size, ask_size = quantity(view["bid_size"]), quantity(view["ask_size"])
    if old[0] > 0.0:
        event = touch.order_flow(bid, bid_size, ask, ask_size, old[0], old[1], old[2], old[3])
        for horizon in range(N_HORIZONS):
            sums[horizon, ORDER_FLOW] += event
            sums[horizon, ORDER_FLOW_SIZE] += abs(event)
    old[0], old[1], old[2], old[3] = bid, bid_size, ask, ask_size


@kernel
def _see_depth(state: np.void) -> None:
    """The weight of the first levels, once a depth message is complete."""
    book = state["view"]["book"]
    bids = touch.level_sum(book["bid_size"], min(DEPTH_LEVELS, book["bids"]))
    asks = touch.level_sum(book["ask_size"], min(DEPTH_LEVELS, book["asks"]))
    state["depth_imbalance"] = touch.imbalance(bids, asks)


@kernel
def _see_bar(state: np.void, tick: np.void) -> None:
    """A whole bucket in one row."""
    close = state["price"]
    bar = state["bar"]
    open_ = tick["open"] if sane(tick["open"]) else close
    high = tick["high"] if sane(tick["high"]) else close
    low = tick["low"] if sane(tick["low"]) else close
    open_bucket(state)
    bar[OPEN] = open_
    bar[LOG_OPEN] = math.log(open_)
    bar[HIGH] = max(open_, high, close)
    bar[LOW] = min(open_, low, close)
    size = quantity(tick["size"])
    bought = tick["buy_volume"]
    side = 2.0 * bought / size - 1.0 if 0.0 <= bought <= size and size > 0.0 else 0.0
    _see_trade(state, (bar[HIGH] + bar[LOW] + close) / 3.0, size, side)
    close_bucket(state)


@kernel
def _pass_time(state: np.void, ts_ns: int) -> None:
    """Time up to `ts_ns` passes before what happens there."""
    elapsed_ns = max(0, ts_ns - state["ts_ns"])
    if state["gap"] != 0 or state["price"] == 0.0:
        _restart(state)
    elif elapsed_ns > 0:
        _decay(state, elapsed_ns)
    state["ts_ns"] = max(ts_ns, state["ts_ns"])


@kernel
def _see(state: np.void, tick: np.void) -> None:
    """Take one row into the state."""
    view = state["view"]
    kind = tick["kind"]
    apply_tick(view, tick)
    if tick["flags"] & GAP:
        state["gap"] = 1
    if (kind == DEPTH and tick["flags"] & LAST == 0) or not sane(view["mid"]):
        return
    if state["bucket_open"] != 0 and (kind == BAR or tick["ts_ns"] >= state["bucket_end"]):
        close_bucket(state)
    _pass_time(state, tick["ts_ns"])
    _see_price(state, view["mid"])
    state["spread"] = touch.spread(view["bid"], view["ask"])
    if state["average_price"] == 0.0:
        state["average_price"] = state["price"]
        state["average_spread"] = state["spread"]
    if kind == BAR:
        _see_bar(state, tick)
        return
    if state["bucket_open"] == 0:
        open_bucket(state)
    extend_bucket(state)
    if kind == TRADE:
        _see_trade(state, tick["price"], quantity(tick["size"]), float(tick["side"]))
        return
    _see_touch(state)
    if kind == DEPTH:
        _see_depth(state)


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
def _emit(state: np.void, values: FloatArray) -> None:
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


@kernel
def advance(state: State, ticks: Ticks, i0: int, i1: int, values: FloatArray) -> None:
    """Take rows [i0, i1) into the state; `values`: (size,), what the features are after the last of them."""
    record = state[0]
    for i in range(i0, min(i1, len(ticks))):
        _see(record, ticks[i])
    _emit(record, values)


@kernel
def advance_at(state: State, ticks: Ticks, rows: NDArray[np.int64], values: FloatArray) -> None:
    """Take all rows into the state; `values`: (len(rows), size or more), the features after each."""
    record = state[0]
    done = 0
    for k in range(len(rows)):
        for i in range(done, rows[k] + 1):
            _see(record, ticks[i])
        _emit(record, values[k])
        done = max(done, rows[k] + 1)
    for i in range(done, len(ticks)):
        _see(record, ticks[i])
