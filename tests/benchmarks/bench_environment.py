"""Environment steps a second, by what the accounts do. `python tests/benchmarks/bench_environment.py`"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "daemon"), str(ROOT / "tests")]

from trading.markets import SPOT, bars, trades  # noqa: E402
from ztb.market.ticks import Ticks  # noqa: E402
from ztb.trading.environment import VectorTradingEnvironment  # noqa: E402

ENVS, STEPS, ROUNDS = 256, 400, 5


def actions_of(kind: str) -> np.ndarray:
    """(STEPS, ENVS, 2)"""
    rng = np.random.default_rng(0)
    actions = rng.integers(0, (5, 3), (STEPS, ENVS, 2))
    if kind == "wait":
        actions[..., 1] = 0
    elif kind == "hold":
        actions[...] = (4, 2)
    elif kind == "turn over":
        actions[..., 1] = 2
    elif kind == "passive":
        actions[..., 1] = 1
    return actions


def steps_per_second(ticks: Ticks, kind: str, gymnasium_face: bool, **options: Any) -> float:
    """The best of some rounds."""
    envs = VectorTradingEnvironment(
        ticks, ENVS, SPOT, random_start=True, episode_decisions=STEPS + 1, **options
    )
    actions = actions_of(kind)
    best = float("inf")
    for _ in range(ROUNDS):
        envs.reset(seed=0)
        step = envs.step if gymnasium_face else envs.simulation.step
        started = time.perf_counter()
        for chosen in actions:
            step(chosen)
        best = min(best, time.perf_counter() - started)
    return ENVS * STEPS / best


def main() -> None:
    markets = {
        "bars": (bars(4400), {}),
        "trades, 33 a decision": (trades(100_000), {"interval_ms": 1000}),
    }
    print(f"{ENVS} environments, {STEPS} steps, best of {ROUNDS}; kernel | through Gymnasium's face")
    for name, (ticks, options) in markets.items():
        for kind in ("wait", "hold", "random", "turn over", "passive"):
            kernel, face = (steps_per_second(ticks, kind, which, **options) for which in (False, True))
            print(f"{name:>22}, {kind:<10} {kernel:>12,.0f} | {face:>12,.0f} steps/s")


if __name__ == "__main__":
    main()
