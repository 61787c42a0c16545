"""What the exchange costs a row, and how long its kernels take to compile: `python tests/benchmarks/bench_exchange.py`.

Give `NUMBA_CACHE_DIR` an empty folder to see the compile time; absolute figures are this machine's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial

import numpy as np

from ztb.execution.orders import OrderRequest, OrderType
from ztb.execution.paper import PaperExchange
from ztb.execution.paper_config import PaperConfig
from ztb.market.instrument import Instrument
from ztb.market.ticks import BAR, QUOTE, TRADE, Ticks, empty_ticks

ROWS = 1_000_000
INSTRUMENT = Instrument(
    symbol="BTC/USDT",
    base="BTC",
    quote="USDT",
    venue="bench",
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.00001"),
    min_notional=Decimal("5"),
    maker_fee=Decimal("0.001"),
    taker_fee=Decimal("0.001"),
    spread_bps=1.0,
)


def market(kind: int) -> Ticks:
    rng = np.random.default_rng(0)
    ticks = empty_ticks(ROWS)
    ticks["ts_ns"] = np.arange(1, ROWS + 1) * 10_000_000
    ticks["kind"], ticks["side"] = kind, rng.choice([-1, 1], ROWS)
    ticks["price"] = np.round(30_000 + np.cumsum(rng.normal(0, 0.5, ROWS)), 2)
    ticks["size"] = np.round(rng.exponential(0.05, ROWS) + 1e-5, 5)
    if kind == BAR:
        ticks["span_ns"] = 10_000_000
        ticks["open"], ticks["high"], ticks["low"] = ticks["price"], ticks["price"] + 1, ticks["price"] - 1
    elif kind == QUOTE:
        ticks["bid"], ticks["ask"] = ticks["price"] - 0.01, ticks["price"] + 0.01
        ticks["bid_size"] = ticks["ask_size"] = 1.0
    return ticks


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def best(work: Callable[[], object]) -> float:
    return min(seconds(work) for _ in range(5))


def main() -> None:
    trades = market(TRADE)
    venue = PaperExchange(INSTRUMENT, PaperConfig(), 1, 1e6)
    print(f"compile or load advance: {seconds(lambda: venue.advance(trades, 0, 10)):.2f} s")
    far = OrderRequest(1, 1, 10_000, OrderType.LIMIT, 2_000_000)
    print(f"compile or load submit: {seconds(lambda: venue.submit(far, 10**8)):.2f} s")
    print(f"compile or load cancel: {seconds(lambda: venue.cancel(2, 10**8)):.2f} s")
    for name, kind in (("trade", TRADE), ("quote", QUOTE), ("bar", BAR)):
        ticks = market(kind)
        for resting in (0, 1):
            venue = PaperExchange(INSTRUMENT, PaperConfig(), 1, 1e6)
            row = venue.advance(ticks, 0, 10)
            if resting:
                venue.submit(far, int(ticks["ts_ns"][9]))
                row = venue.advance(ticks, 10, ROWS)
            spent = best(partial(venue.advance, ticks, row, ROWS))
            print(f"{name} rows, {resting} resting: {spent / ROWS * 1e9:.1f} ns a row")


if __name__ == "__main__":
    main()
