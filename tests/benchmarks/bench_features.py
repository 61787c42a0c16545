"""What features cost: `PYTHONPATH=daemon:tests python tests/benchmarks/bench_features.py [rows]`.

Prints nanoseconds of CPU time a row, the best of several rounds, and the seconds that the kernels take to compile
in a process that finds nothing on disk (cold), and in one that finds them there (warm).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np

from features.feature_ticks import INSTRUMENT, PERIOD, bars, quotes, trades
from ztb.features import FeatureSet
from ztb.features.featureset import advance_at
from ztb.features.state import new_state
from ztb.market.ticks import Ticks

ROUNDS = 5
LIVE_ROWS = 100_000
COMPILE = """
import time
from features.feature_ticks import INSTRUMENT, PERIOD, trades
from ztb.features import FeatureSet
begin = time.process_time()
FeatureSet(INSTRUMENT, PERIOD).batch(trades(2))
print(time.process_time() - begin)
"""


def best(work: Callable[[], object], rows: int) -> float:
    """CPU nanoseconds a row of the fastest round."""
    costs = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        work()
        costs.append(time.process_time() - begin)
    return min(costs) / rows * 1e9


def live(ticks: Ticks) -> None:
    """One call of `advance` for each row."""
    advance = FeatureSet(INSTRUMENT, PERIOD).advance
    for i in range(min(LIVE_ROWS, len(ticks))):
        advance(ticks, i, i + 1)


def batch(ticks: Ticks, history: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> None:
    """All values after each row, into memory that the system has handed out already."""
    features = FeatureSet(INSTRUMENT, PERIOD)
    advance_at(new_state(INSTRUMENT, PERIOD, features.names), ticks, np.arange(len(ticks)), history)


def report(kind: str, ticks: Ticks) -> None:
    size = FeatureSet(INSTRUMENT, PERIOD).size
    history = np.zeros((len(ticks), size))
    every_tenth = np.arange(0, len(ticks), 10)
    print(
        f"{kind:7} live, one call a row      {best(lambda: live(ticks), min(LIVE_ROWS, len(ticks))):7.0f} ns a tick"
    )
    print(
        f"{kind:7} batch, {size} values a row   {best(lambda: batch(ticks, history), len(ticks)):7.0f} ns a tick"
    )
    fresh = best(lambda: FeatureSet(INSTRUMENT, PERIOD).batch(ticks), len(ticks))
    print(f"{kind:7} batch into fresh memory   {fresh:7.0f} ns a tick")
    chosen = best(lambda: FeatureSet(INSTRUMENT, PERIOD).batch_at(ticks, every_tenth), len(ticks))
    print(f"{kind:7} batch_at every tenth row  {chosen:7.0f} ns a tick")


def compile_seconds(cache: str) -> float:
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, check=True)
    return float(done.stdout)


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    for kind, make in (("trades", trades), ("quotes", quotes), ("bars", bars)):
        report(kind, make(rows))
    with tempfile.TemporaryDirectory() as cache:
        for found in ("cold", "warm"):
            print(f"compile, {found}  {compile_seconds(cache):6.2f} s of CPU time")


if __name__ == "__main__":
    main()
