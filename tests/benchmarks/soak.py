"""A soak: hours of online trading in accelerated time, with the learner in its process. Run by `.ci/soak`.

A made-up market of trades and quotes, whose volatility and drift change from hour to hour, goes through a session as
the daemon and replay make it: features, three lanes, paper exchange, journal on disk, checkpoints, learner process.
Memory of both processes is recorded every five minutes of market time. Exit code 1 where it grows by 2 % or more in
the second half (from the mean of the half's first twelfth to that of its last), or where a process, thread, file
descriptor or piece of shared memory is left at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import psutil

from learning.process_support import holdings
from trading.markets import PERPETUAL, START_NS
from ztb.config import load_config
from ztb.ledger.run_directory import RunDirectory
from ztb.market.ticks import QUOTE, TRADE, Ticks, empty_ticks
from ztb.runtime.build.assembly import assemble
from ztb.runtime.build.context import RunContext, initial_policy
from ztb.runtime.session import Session

SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS
SAMPLE_NS = 300 * SECOND_NS
BLOCK_ROWS = 1024
LIMIT = 0.02


@dataclass
class Market:
    """A source of made-up trades and quotes, `per_second` of both together, for `hours` of market time."""

    hours: float
    per_second: float
    on_time: Callable[[int], None]
    instrument: Any = PERPETUAL
    _generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    _price: float = 20_000.0

    async def blocks(self) -> AsyncIterator[Ticks]:
        """See `ztb.ports.Source`."""
        now, end = START_NS, START_NS + int(self.hours * HOUR_NS)
        while now < end:
            block = self._block(now)
            now = int(block["ts_ns"][-1])
            yield block
            self.on_time(now - START_NS)

    def _block(self, now: int) -> Ticks:
        generator, n = self._generator, BLOCK_ROWS
        ticks = empty_ticks(n)
        ticks["ts_ns"] = now + np.cumsum(
            generator.exponential(SECOND_NS / self.per_second, n).astype(np.int64) + 1
        )
        hour = (now - START_NS) // HOUR_NS
        volatility, drift = (5e-5, 2e-4, 5e-5)[hour % 3], (0.0, 0.0, 2e-5)[hour % 3]
        steps = np.cumsum(generator.normal(drift, volatility, n)) + 0.01 * (
            np.log(20_000.0) - np.log(self._price)
        )
        price = np.round(self._price * np.exp(steps), 1)
        self._price = float(price[-1])
        quotes = generator.random(n) < 0.5
        ticks["kind"] = np.where(quotes, QUOTE, TRADE)
        ticks["side"] = np.where(quotes, 0, generator.choice([-1, 1], n))
        ticks["price"] = np.where(quotes, np.nan, price)
        ticks["size"] = np.where(quotes, np.nan, np.round(generator.exponential(0.5, n) + 0.001, 3))
        for name, offset in (("bid", -0.1), ("ask", 0.1)):
            ticks[name] = np.where(quotes, price + offset, np.nan)
            ticks[f"{name}_size"] = np.where(
                quotes, np.round(generator.exponential(2.0, n) + 0.001, 3), np.nan
            )
        return ticks


def growth(samples: Sequence[float]) -> float:
    """Of the second half, from the mean of its first twelfth to that of its last; as a fraction."""
    half = samples[len(samples) // 2 :]
    part = max(1, len(half) // 12)
    return fmean(half[-part:]) / fmean(half[:part]) - 1.0


@dataclass
class Memory:
    """What both processes hold, MB, every five minutes of market time."""

    samples: list[float] = field(default_factory=list)
    learner: list[float] = field(default_factory=list)
    pid: Callable[[], int | None] = lambda: None

    def at(self, market_ns: int) -> None:
        """A moment of market time has come."""
        if market_ns // SAMPLE_NS <= len(self.samples):
            return
        child = 0
        if (pid := self.pid()) is not None:
            info = psutil.Process(pid).memory_info()
            child = info.rss - info.shared
        self.learner.append(child / 1e6)
        self.samples.append((psutil.Process().memory_info().rss + child) / 1e6)


def settings(per_decision_s: float) -> dict[str, Any]:
    """Flags of the configuration: decisions by time, the learner in its process."""
    return {
        "decision.every": "time",
        "decision.interval_ms": round(1000 * per_decision_s),
        "online.learner": "process",
    }


async def trade(folder: Path, market: Market, memory: Memory, per_decision_s: float) -> dict[str, Any]:
    """The run; its summary."""
    config = load_config(None, settings(per_decision_s), os.environ).config
    assembly = assemble(config, market.instrument, None, 0)
    context = RunContext(
        mode="soak",
        assembly=assembly,
        directory=RunDirectory(folder),
        run_id="0" * 32,
        facts={},
        initial_policy=initial_policy(assembly, None),
    )
    session = Session.open(context)
    process: Any = session.engine.learning
    memory.pid = lambda: process.process.pid
    try:
        await session.run(market)
    finally:
        memory.pid = lambda: None
    return session.finish("complete")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=12.0, help="of market time")
    parser.add_argument("--ticks-per-second", type=float, default=5.0)
    parser.add_argument(
        "--decision-seconds", type=float, default=1.0, help="between two decisions, market time"
    )
    given = parser.parse_args()
    memory = Memory()
    market = Market(given.hours, given.ticks_per_second, memory.at)
    before, began = holdings(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        summary = asyncio.run(trade(Path(folder), market, memory, given.decision_seconds))
    after = holdings()
    left = {name: [before[name], after[name]] for name in before if before[name] != after[name]}
    figures = {
        "hours": given.hours,
        "wall_s": round(time.monotonic() - began),
        **{name: summary[name] for name in ("ticks", "decisions", "fills", "updates", "generations")},
        "memory_mb": [round(sample, 1) for sample in memory.samples],
        "learner_mb": [round(sample, 1) for sample in memory.learner],
        "growth_second_half": round(growth(memory.samples), 4),
        "left_behind": left,
    }
    print(json.dumps(figures))
    return int(growth(memory.samples) >= LIMIT or bool(left))


if __name__ == "__main__":
    sys.exit(main())
