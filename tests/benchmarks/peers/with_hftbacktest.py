"""The rule of `bench_peers.py` on hftbacktest, as its documentation writes one: `python with_hftbacktest.py TICKS`.

The touch follows the trades, as our exchange models it, so that fills cost alike; with the word `still` behind it the
book never moves, and nothing but trades is to be read: no fill is at a price of the market then.
"""

import json
import sys
import time

import numpy as np
from hftbacktest import (
    BUY_EVENT,
    DEPTH_SNAPSHOT_EVENT,
    EXCH_EVENT,
    GTC,
    LIMIT,
    LOCAL_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    ROIVectorMarketDepthBacktest,
    event_dtype,
)  # fmt: skip
from hftbacktest.types import DEPTH_BBO_EVENT
from numba import njit

SECOND, MS = 1_000_000_000, 1_000_000
FAST, SLOW = 0.1, 0.01


@njit
def trade(hbt, asset, fast_share, slow_share):
    decisions = orders = 0
    price = fast = slow = 0.0
    held = 0
    while hbt.elapse(SECOND) == 0:
        last = hbt.last_trades(asset)
        if len(last) > 0:
            price = last[len(last) - 1].px
            hbt.clear_last_trades(asset)
        if price == 0.0:
            continue
        hbt.clear_inactive_orders(asset)
        decisions += 1
        fast = price if fast == 0.0 else fast + fast_share * (price - fast)
        slow = price if slow == 0.0 else slow + slow_share * (price - slow)
        wanted = 1 if fast > slow else 0
        if wanted > held:
            orders += 1
            hbt.submit_buy_order(asset, orders, 35_000.0, 0.1, GTC, LIMIT, False)
        elif wanted < held:
            orders += 1
            hbt.submit_sell_order(asset, orders, 25_000.0, 0.1, GTC, LIMIT, False)
        held = wanted
    return decisions, orders


def data(ticks, still):
    """Trades, each after a quote of the touch around its price; `still`: in a book that never moves."""
    per, both = 1 if still else 3, EXCH_EVENT | LOCAL_EVENT
    events = np.zeros(per * len(ticks) + 2, event_dtype)
    events["ev"][0] = DEPTH_SNAPSHOT_EVENT | both | BUY_EVENT
    events["ev"][1] = DEPTH_SNAPSHOT_EVENT | both | SELL_EVENT
    events["px"][:2], events["qty"][:2] = (29_999.99, 30_000.01), 1e6
    events["exch_ts"][:2] = ticks["ts_ns"][0] - SECOND
    trades = events[1 + per :: per]
    trades["ev"] = np.where(ticks["side"] > 0, BUY_EVENT, SELL_EVENT) | TRADE_EVENT | both
    trades["px"], trades["qty"], trades["exch_ts"] = ticks["price"], ticks["size"], ticks["ts_ns"]
    if not still:
        for place, side, away in ((2, BUY_EVENT, -0.01), (3, SELL_EVENT, 0.01)):
            quotes = events[place::per]
            quotes["ev"] = DEPTH_BBO_EVENT | both | side
            quotes["px"], quotes["qty"], quotes["exch_ts"] = ticks["price"] + away, 1.0, ticks["ts_ns"]
    events["local_ts"] = events["exch_ts"] + MS
    return events


def backtest(events):
    asset = (
        BacktestAsset().data(events).linear_asset(1.0).constant_order_latency(MS, MS).risk_adverse_queue_model()
        .no_partial_fill_exchange().trading_value_fee_model(0.0002, 0.0005).tick_size(0.01).lot_size(0.00001)
        .roi_lb(20_000.0).roi_ub(40_000.0).last_trades_capacity(10_000)
    )  # fmt: skip
    return ROIVectorMarketDepthBacktest([asset])


def main():
    events = data(np.load(sys.argv[1]), "still" in sys.argv)
    trade(backtest(events[:10_000]), 0, FAST, SLOW)
    made = backtest(events)
    cpu, wall = time.process_time(), time.perf_counter()
    decisions, orders = trade(made, 0, FAST, SLOW)
    told = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    print(json.dumps({**told, "decisions": decisions, "orders": orders}))


if __name__ == "__main__":
    main()
