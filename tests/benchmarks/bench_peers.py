"""Speed beside others': `PYTHONPATH=daemon python tests/benchmarks/bench_peers.py [--rounds 5] [--folder DIR]`.

The same trades of a day, made by a seed, and the same rule (two exponential means of the price, long while the faster
is above, a decision a second) on ztb, on hftbacktest and on nautilus_trader, each of these in an environment of its own
that is made here with pip, and as a plain Python loop: the machine's yardstick. Every round runs each of them once in a
fresh process, on one core, one after the other; what is timed is the trading, to the last row of the journal on disk,
not imports, compiling and the loading of data. Figures are medians of processor time and of the wall clock; ratios are
ztb's speed over the other's, of the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "daemon"))

import numpy as np
from numpy.typing import NDArray

from ztb.config import load_config
from ztb.features import SHIPPED
from ztb.learning.generations import GenerationInfo, ServedPolicy
from ztb.learning.service.base import Learning
from ztb.ledger.accounts import Account
from ztb.ledger.bookkeeper import Bookkeeper
from ztb.ledger.journal import Journal
from ztb.market.instrument import Instrument
from ztb.market.ticks import TRADE, Ticks, empty_ticks
from ztb.runtime.build.assembly import assemble, hold_strategy
from ztb.runtime.engine import Engine
from ztb.trading.kernel_rule import KernelRule, choice
from ztb.trading.policy.weights import initial_weights, weights_sha256
from ztb.trading.sizing import TIMING_AGGRESSIVE
from ztb.trading.strategy import Action, Moment, TickView

PEERS = {"hftbacktest": "hftbacktest==2.4.4", "nautilus": "nautilus_trader==1.221.0"}
_HERE = Path(__file__).resolve().parent
_ROWS, _DAY_NS, _SECOND_NS = 1_500_000, 86_400 * 10**9, 10**9
_FAST, _SLOW, _CASH = 0.1, 0.01, 10_000
_BLOCK_ROWS = 4096

INSTRUMENT = Instrument(
    symbol="BTC/USDT",
    base="BTC",
    quote="USDT",
    venue="bench",
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.00001"),
    min_notional=Decimal("5"),
    maker_fee=Decimal("0.0002"),
    taker_fee=Decimal("0.0005"),
    spread_bps=0.01,
)
_SETTINGS: dict[str, object] = {
    "features.names": list(SHIPPED[:32]),
    "decision.every": "time",
    "decision.interval_ms": 1000,
    "risk.max_orders_per_minute": 1_000,
    "risk.max_orders_per_day": 10**9,
    "risk.max_repeated_side": 10**9,
    "risk.max_daily_loss_fraction": 1.0,
    "risk.max_drawdown_fraction": 1.0,
    "allocation.by": "none",
}
TRADES = np.dtype([("ts_ns", "<i8"), ("price", "<f8"), ("size", "<f8"), ("side", "<i8")])


def trades(rows: int) -> NDArray[np.void]:
    """Trades of a day at random, the same each time."""
    rng = np.random.default_rng(0)
    made = np.zeros(rows, TRADES)
    made["ts_ns"] = 1_600_000_000 * _SECOND_NS // _DAY_NS * _DAY_NS + np.sort(rng.integers(0, _DAY_NS, rows))
    made["price"] = np.round(30_000.0 * np.exp(np.cumsum(rng.normal(0, 2e-5, rows))), 2)
    made["size"] = np.round(rng.exponential(0.05, rows) + 1e-5, 5)
    made["side"] = rng.choice([-1, 1], rows)
    return made


def plain_loop(made: NDArray[np.void]) -> dict[str, float]:
    """The rule in a loop over lists: no exchange, no account."""
    times, prices = made["ts_ns"].tolist(), made["price"].tolist()
    cpu, wall = time.process_time(), time.perf_counter()
    due = decisions = orders = 0
    fast = slow = 0.0
    held = False
    for ts_ns, price in zip(times, prices, strict=True):
        if ts_ns < due:
            continue
        due = (ts_ns // _SECOND_NS + 1) * _SECOND_NS
        decisions += 1
        fast = price if fast == 0.0 else fast + _FAST * (price - fast)
        slow = price if slow == 0.0 else slow + _SLOW * (price - slow)
        orders += (fast > slow) is not held
        held = fast > slow
    return _told(cpu, wall, decisions, orders)


def _told(cpu: float, wall: float, decisions: int, orders: int) -> dict[str, float]:
    return {
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "decisions": decisions,
        "orders": orders,
    }


def _decide(state: Any, moment: Any, features: Any, ladder: Any) -> int:
    price = moment[0]["mid"]
    state[0] = price if state[0] == 0.0 else state[0] + _FAST * (price - state[0])
    state[1] = price if state[1] == 0.0 else state[1] + _SLOW * (price - state[1])
    return choice(len(ladder) - 1 if state[0] > state[1] else 0, TIMING_AGGRESSIVE)


class KernelStrategy:
    """The rule as a kernel."""

    def __init__(self) -> None:
        self.follows = KernelRule(_decide, np.zeros(2))


class PythonStrategy:
    """The rule in Python."""

    def __init__(self) -> None:
        self.fast = self.slow = 0.0

    def decide(self, moment: Moment) -> Action:
        price = moment.mid
        self.fast = price if self.fast == 0.0 else self.fast + _FAST * (price - self.fast)
        self.slow = price if self.slow == 0.0 else self.slow + _SLOW * (price - self.slow)
        return Action(len(moment.ladder) - 1 if self.fast > self.slow else 0, TIMING_AGGRESSIVE)


class EveryTick(PythonStrategy):
    """The same, and looks at every tick."""

    def on_tick(self, tick: TickView) -> bool:
        return tick.price < 0.0 or tick.features[0] > 1e9


CONTESTANTS = ("kernel", "policy", "python", "on_tick", "lanes", "plain")


class Blocks:
    """A source of what is in memory."""

    instrument = INSTRUMENT

    def __init__(self, made: NDArray[np.void]) -> None:
        ticks = empty_ticks(len(made))
        ticks["kind"] = TRADE
        for name in ("ts_ns", "price", "size", "side"):
            ticks[name] = made[name]
        self._ticks: Ticks = ticks

    async def blocks(self) -> AsyncIterator[Ticks]:
        for start in range(0, len(self._ticks), _BLOCK_ROWS):
            yield self._ticks[start : start + _BLOCK_ROWS]


def engine_of(contestant: str, folder: Path) -> Engine:
    """An engine as a replay has it, with the account and `hold`, and for `lanes` seven more."""
    config = load_config(None, _SETTINGS, {}).config
    assembly = assemble(config, INSTRUMENT, None, 0)
    features, normaliser = assembly.features(), assembly.normaliser(32)
    learns = contestant == "policy"
    normaliser = assembly.normaliser(features.size) if learns else type(normaliser)(features.size)
    floor = assembly.floor(normaliser.width)
    books = Bookkeeper(
        Journal(folder / "journal.sqlite", packs=True), Account(INSTRUMENT, Decimal(_CASH)), "0" * 32
    )
    live = assembly.lane(floor, assembly.strategy, _policy(assembly, normaliser.width), assembly.exchange(_CASH), books)
    return Engine(
        features=features, normaliser=normaliser, clock=assembly.clock(), live=live,
        shadows={}, books=books, learning=Learning(), symbol=INSTRUMENT.symbol, trade_from_ns=0,
    )  # fmt: skip
