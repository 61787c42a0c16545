"""The engine's speed and memory: `taskset -c 0 python tests/benchmarks/bench_engine.py [--rounds N]`.

Synthetic trades and quotes of a dense market, made block by block outside the timed part, go through the engine as
`ztb run` and `ztb replay` drive it: features, paper exchange, policy, risk gate, ledger, journal on disk. Figures
are medians over the rounds, by this process's CPU time (all its threads, the journal's writer too) and by the wall
clock; other load on the machine slows the second. Kernels are warm. The peak of memory is that of fresh processes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "daemon"))

import numpy as np

from ztb.config import Config, load_config
from ztb.features import SHIPPED
from ztb.learning.generations import GenerationInfo, ServedPolicy
from ztb.learning.service.base import Learning
from ztb.ledger.accounts import Account
from ztb.ledger.bookkeeper import Bookkeeper
from ztb.ledger.journal import Journal
from ztb.market.instrument import Instrument
from ztb.market.ticks import QUOTE, TRADE, Ticks, empty_ticks
from ztb.runtime.build.assembly import assemble, hold_strategy
from ztb.runtime.engine import Engine
from ztb.trading.policy.weights import initial_weights, weights_sha256
from ztb.trading.strategy import TickView

# Fees and steps so small that a policy that knows nothing can trade all through a round.
INSTRUMENT = Instrument(
    symbol="BTC/USDT",
    base="BTC",
    quote="USDT",
    venue="bench",
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.00001"),
    min_notional=Decimal("5"),
    maker_fee=Decimal("0.000001"),
    taker_fee=Decimal("0.000001"),
    spread_bps=0.01,
)
FEATURES = 32
CASH = 10_000
CHUNK = 131_072  # rows made at a time
MS = 1_000_000
BUSY: dict[str, object] = {
    "features.names": list(SHIPPED[:FEATURES]),
    "decision.every": "ticks",
    "decision.interval_ms": 1000,
    "risk.max_orders_per_minute": 10_000,
    "risk.max_orders_per_day": 10**9,
    "risk.max_repeated_side": 10**9,
}


@dataclass(frozen=True)
class Case:
    """What is measured: `rows` ticks `step_ns` apart, a decision each `per_decision`; `goal` of ticks or decisions a second."""

    name: str
    unit: str
    goal: float
    rows: int
    step_ns: int
    per_decision: int
    on_tick: bool = False
    shadows: bool = False


DENSE, SPARSE = MS, 1000 * MS
NEVER, SECOND = 10**12, 1000  # rows of the dense market
CASES = {
    "ticks": Case("ticks, a decision a second", "ticks", 3e6, 2_000_000, DENSE, SECOND),
    "ticks-only": Case("ticks, no decision", "ticks", 3e6, 2_000_000, DENSE, NEVER),
    "on-tick": Case("on_tick, a decision a second", "ticks", 4e5, 400_000, DENSE, SECOND, on_tick=True),
    "on-tick-only": Case("on_tick, no decision", "ticks", 4e5, 400_000, DENSE, NEVER, on_tick=True),
    "decisions": Case("decisions, live lane", "decisions", 2e4, 30_000, SPARSE, 1),
    "decisions-3": Case("decisions, hold and frozen too", "decisions", 0, 30_000, SPARSE, 1, shadows=True),
}


def market(rows: int, step_ns: int) -> Iterator[Ticks]:
    """Trades and quotes at random, one every `step_ns`, in chunks; the same each time."""
    rng = np.random.default_rng(0)
    ts_ns, mid = 1_600_000_000_000_000_000, 30_000.0
    for start in range(0, rows, CHUNK):
        n = min(CHUNK, rows - start)
        ticks = empty_ticks(n)
        ticks["ts_ns"] = ts_ns + step_ns * np.arange(1, n + 1)
        path = np.round(mid * np.exp(np.cumsum(rng.normal(0, 1e-6, n))), 2)
        side = rng.choice(np.array([-1, 1], np.int8), n)
        quote = rng.random(n) < 0.5
        bid_size, ask_size = rng.exponential(0.5, n) + 1e-3, rng.exponential(0.5, n) + 1e-3
        ticks["kind"] = np.where(quote, QUOTE, TRADE)
        ticks["price"] = np.where(quote, path, path + 0.01 * side)
        ticks["size"] = np.where(quote, 0.0, np.round(rng.exponential(0.05, n) + 1e-5, 5))
        ticks["side"] = np.where(quote, 0, side)
        ticks["bid"][quote], ticks["ask"][quote] = path[quote] - 0.01, path[quote] + 0.01
        ticks["bid_size"][quote], ticks["ask_size"][quote] = bid_size[quote], ask_size[quote]
        ts_ns, mid = int(ticks["ts_ns"][-1]), float(path[-1])
        yield ticks


class Blocks:
    """A source of one chunk, cut as the configuration says."""

    instrument = INSTRUMENT

    def __init__(self, ticks: Ticks, block_rows: int) -> None:
        self._ticks, self._rows = ticks, block_rows

    async def blocks(self) -> AsyncIterator[Ticks]:
        for start in range(0, len(self._ticks), self._rows):
            yield self._ticks[start : start + self._rows]


def watch(tick: TickView) -> bool:
    """The smallest callback that looks at its tick and at a feature."""
    return tick.price < 0.0 or tick.features[0] > 1e9


def settings(case: Case) -> Config:
    return load_config(None, {**BUSY, "decision.ticks": case.per_decision}, {}).config


def build(case: Case, folder: Path) -> Engine:
    config = settings(case)
    assembly = assemble(config, INSTRUMENT, None, 0)
    features = assembly.features()
    shape = assembly.shape(features.size)
    weights = initial_weights(shape, 0)
    info = GenerationInfo(0, None, weights, weights_sha256(weights))
    journal = Journal(folder / "journal.sqlite")
    books = Bookkeeper(journal, Account(INSTRUMENT, Decimal(CASH)), "0" * 32)

    def served() -> ServedPolicy:
        return ServedPolicy(shape, info, True)

    floor = assembly.floor(features.size, features.names)
    live = assembly.lane(floor, assembly.strategy, served(), assembly.exchange(CASH), books)
    if case.on_tick:
        live.strategy.on_tick = watch  # type: ignore[attr-defined]
    shadows = {}
    if case.shadows:
        shadows["hold"] = assembly.lane(floor, hold_strategy(), None, assembly.exchange(CASH))
        shadows["frozen"] = assembly.lane(floor, assembly.strategy, served(), assembly.exchange(CASH))
    return Engine(
        features, assembly.normaliser(features.size), assembly.clock(), live, shadows, books, Learning(),
        INSTRUMENT.symbol, 0,
    )  # fmt: skip


@dataclass
class Round:
    cpu_s: float = 0.0
    wall_s: float = 0.0
    done: int = 0
    note: str = ""


async def drive(engine: Engine, case: Case, rows: int, spent: Round) -> None:
    block_rows = settings(case).market.block_rows or 32_768
    for chunk in market(rows, case.step_ns):
        source = Blocks(chunk, block_rows)
        cpu, wall = time.process_time(), time.perf_counter()
        await engine.run(source)
        spent.cpu_s += time.process_time() - cpu
        spent.wall_s += time.perf_counter() - wall
    cpu, wall = time.process_time(), time.perf_counter()
    engine.books.journal.close()
    spent.cpu_s += time.process_time() - cpu
    spent.wall_s += time.perf_counter() - wall


def measure(case: Case, rows: int) -> Round:
    """One round: all rows through a new engine, until the journal is on disk."""
    spent = Round()
    with tempfile.TemporaryDirectory() as folder:
        engine = build(case, Path(folder))
        asyncio.run(drive(engine, case, rows, spent))
        progress, books = engine.progress, engine.books
        spent.done = progress.decisions if case.unit == "decisions" else progress.ticks
        each = max(progress.decisions, 1)
        spent.note = (
            f"{progress.decisions} decisions, {books.orders / each:.2f} orders and {books.account.fills / each:.2f} "
            f"fills each, equity x {progress.last_equity / CASH:.2f}"
        )
        assert progress.ticks == rows
    return spent


def report(case: Case, rounds: int) -> None:
    measure(case, min(case.rows, 3000))
    spent = [measure(case, case.rows) for _ in range(rounds)]
    cpu = median(each.done / each.cpu_s for each in spent)
    wall = median(each.done / each.wall_s for each in spent)
    goal = f"goal {case.goal:>9,.0f}, reached {cpu / case.goal:5.2f} of it" if case.goal else ""
    print(
        f"{case.name:32} {cpu:>11,.0f} {case.unit}/s of CPU {wall:>11,.0f} by the wall {goal} ({spent[0].note})"
    )


def own_peak_mb() -> float:
    """Of resident memory, MB, as Linux counts it; what getrusage gives starts with the parent's."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def peak_mb(rows: int) -> float:
    """Peak of resident memory of a fresh process that runs so many ticks, MB."""
    command = [sys.executable, __file__, "--peak-of", str(rows)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def report_memory(few: int, many: int) -> None:
    first, last = peak_mb(few), peak_mb(many)
    print(
        f"memory, {few:,} to {many:,} ticks: {first:.0f} to {last:.0f} MB, {last / first - 1.0:+.1%} (goal below 5 %)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[*CASES, "memory"])
    parser.add_argument("--peak-of", type=int, help="print the peak of this process after so many ticks")
    chosen = parser.parse_args()
    if chosen.peak_of:
        measure(CASES["ticks"], chosen.peak_of)
        print(own_peak_mb())
        return
    print(
        f"{len(os.sched_getaffinity(0))} core(s), load {os.getloadavg()[0]:.1f}, median of {chosen.rounds} rounds"
    )
    for key in chosen.only:
        if key == "memory":
            report_memory(1_000_000, 10_000_000)
        else:
            report(CASES[key], chosen.rounds)


if __name__ == "__main__":
    main()
