"""Tick-to-decision latency with learning off, in a process and inline, alternated in one run; and the swap.

`PYTHONPATH=daemon python tests/benchmarks/bench_learner.py [--rounds N] [--ticks N] [--epochs N]`.

The daemon's own engine on the shipped bars, fed at 1 kHz (`--hz`) with a decision on every tick and the journal on disk.
The ticks come from another process over a socket, and the loop sleeps in between, as a daemon's does. A latency
counts from when a tick was sent until its decision is made, so what a stall keeps waiting counts too.
`--epochs` sets how long an update takes; the learner's share of a core is printed. To reach: p99 with the
process at most 1.5 times that without; a swap in 100 µs or less. Compare ratios, not microseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from ztb.config import load_config
from ztb.learning.generations import ServedPolicy
from ztb.learning.process.settings import Care
from ztb.learning.service.process import ProcessLearning
from ztb.ledger.run_directory import create_run_directory
from ztb.market.ticks import Ticks
from ztb.runtime.build import learning_setup
from ztb.runtime.daemon.gc_tuning import gc_tuning
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data

MICRO = 1e6
MODES = ("off", "process", "inline")


@dataclass
class Figures:
    """Of one mode, over all rounds: latencies and swaps in seconds, the learner's share of a core a round."""

    latencies: list[float] = field(default_factory=list)
    swaps: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    learner_share: list[float] = field(default_factory=list)
    updates: int = 0


_FEED = """
import os, struct, sys, time
descriptor, ticks, period = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
due = time.perf_counter()
for _ in range(ticks):
    due += period
    time.sleep(max(0.0, due - time.perf_counter()))
    os.write(descriptor, struct.pack("d", time.perf_counter()))
"""
_STAMP = struct.Struct("d")


class PacedSource:
    """The first rows of a source, each when another process sends word over a socket, as a venue would.

    `sent`: when the present row was, on the clock of `perf_counter`, which all processes share; `ready` says when
    the learner works, before which nothing counts.
    """

    def __init__(self, inner: Any, options: argparse.Namespace, ready: Callable[[], bool]) -> None:
        self.history, self.instrument = inner.history, inner.instrument
        self.sent = 0.0
        self.counting = False
        self._inner, self._ready = inner, ready
        self._ticks, self._warm_up, self._period_s = options.ticks, options.warm_up, 1.0 / options.hz

    async def blocks(self) -> AsyncIterator[Ticks]:
        rows = self._rows()
        for _ in range(self._warm_up):
            yield await anext(rows)
            await asyncio.sleep(0)
        while not self._ready():  # noqa: ASYNC110 (a poll of another process)
            await asyncio.sleep(self._period_s)
        self.counting = True
        async for stamp in self._stamps():
            self.sent = stamp
            yield await anext(rows)

    async def _stamps(self) -> AsyncIterator[float]:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            feed = [sys.executable, "-SEc", _FEED, *map(str, (theirs.fileno(), self._ticks, self._period_s))]
            feeder = await asyncio.create_subprocess_exec(*feed, pass_fds=(theirs.fileno(),))
            reader, writer = await asyncio.open_connection(sock=ours)
            for _ in range(self._ticks):
                yield _STAMP.unpack(await reader.readexactly(_STAMP.size))[0]
            writer.close()
            await feeder.wait()

    async def _rows(self) -> AsyncIterator[Ticks]:
        async for block in self._inner.blocks():
            for i in range(len(block)):
                yield block[i : i + 1]


def measure(mode: str, folder: Path, options: argparse.Namespace, figures: Figures) -> None:
    """One round of one mode."""
    flags: dict[str, Any] = {"online.learner": mode, "ppo.epochs": options.epochs, "ppo.target_kl": None}
    request = ReplayRequest(load_config(None, flags, {}).config, (), 0)
    learning_setup.Care = lambda: Care(nice=options.nice)  # type: ignore[attr-defined, assignment, misc]
    run = Replay.over(request, open_data(request), create_run_directory(folder, "replay"))
    run.engine._unasked = lambda _rows: 0  # type: ignore[assignment, method-assign]  # a daemon goes by steps
    learning = run.engine.learning
    if isinstance(learning, ProcessLearning):
        learning._pace = None  # as a live run has none
    source = PacedSource(run.source, options, lambda: mode == "off" or learning.updates > 0)
    latencies: list[float] = []
    _time_decisions(run, source, latencies)
    shares = _time_learner(source, learning)
    _time_swaps(run.policy, figures.swaps)
    with gc_tuning():
        asyncio.run(run.run(source))
    run.finish("complete")
    figures.updates += learning.updates
    figures.learner_share += shares()
    figures.latencies += latencies
    figures.p99.append(float(np.percentile(latencies, 99)))


def _time_decisions(run: Replay, source: PacedSource, latencies: list[float]) -> None:
    decided_by = run.engine.live.decided

    def timed(*arguments: Any) -> Any:
        decided = decided_by(*arguments)
        if source.counting:
            latencies.append(time.perf_counter() - source.sent)
        return decided

    run.engine.live.decided = timed  # type: ignore[assignment, method-assign]


def _time_swaps(policy: ServedPolicy | None, swaps: list[float]) -> None:
    assert policy is not None
    swap = policy.swap

    def timed(info: Any) -> None:
        start = time.perf_counter()
        swap(info)
        swaps.append(time.perf_counter() - start)

    policy.swap = timed  # type: ignore[method-assign]


def _time_learner(source: PacedSource, learning: Any) -> Callable[[], list[float]]:
    """The processor time of the learner process over the wall time that counted, taken at the last look."""
    if not isinstance(learning, ProcessLearning):
        return list
    looks: list[tuple[float, float]] = []
    settle = learning.settle

    async def looking() -> None:
        if source.counting and learning.process.pid:
            times = psutil.Process(learning.process.pid).cpu_times()
            looks.append((time.perf_counter(), times.user + times.system))
        await settle()

    learning.settle = looking  # type: ignore[method-assign]
    return lambda: [(looks[-1][1] - looks[0][1]) / (looks[-1][0] - looks[0][0])]


def report(figures: dict[str, Figures]) -> None:
    """A line a mode, with three ratios of p99 to `off`: of all latencies, median of the rounds', of the best rounds.

    The last is the least disturbed by whatever else the machine does.
    """
    base = figures["off"]
    print(
        f"{'learner':8} {'p50 µs':>9} {'p99 µs':>10} {'all':>7} {'rounds':>7} {'best':>7} {'updates':>8} {'core':>5}"
    )
    for mode, of in figures.items():
        p50, p99 = np.percentile(of.latencies, [50, 99])
        ratio = p99 / np.percentile(base.latencies, 99)
        paired, best = np.median(np.array(of.p99) / np.array(base.p99)), min(of.p99) / min(base.p99)
        share = f"{np.mean(of.learner_share):.2f}" if of.learner_share else "-"
        print(
            f"{mode:8} {p50 * MICRO:9.0f} {p99 * MICRO:10.0f} {ratio:7.2f} {paired:7.2f} {best:7.2f} "
            f"{of.updates:8} {share:>5}"
        )
    swaps = [swap for of in figures.values() for swap in of.swaps]
    if swaps:
        print(
            f"swap: median {np.median(swaps) * MICRO:.0f} µs, largest {max(swaps) * MICRO:.0f} µs of {len(swaps)}"
        )


def main() -> None:
    """Measure in turn, then print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ticks", type=int, default=8000, help="that count, in each round")
    parser.add_argument("--hz", type=float, default=1000.0, help="ticks a second")
    parser.add_argument("--warm-up", type=int, default=1500, help="ticks before")
    parser.add_argument("--epochs", type=int, default=40, help="of an update over 256 transitions")
    parser.add_argument("--nice", type=int, default=Care().nice, help="of the learner process")
    options = parser.parse_args()
    figures = {mode: Figures() for mode in MODES}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            for mode in MODES:
                measure(mode, Path(folder) / f"{mode}-{number}", options, figures[mode])
    report(figures)


if __name__ == "__main__":
    main()
