"""No edge, no loss: what the account ends with, and its deepest drawdown, where nothing is to be earned, default settings.

    python tests/benchmarks/bench_capital.py [--walks 20] [--seed 0] [--data FOLDER]

Random walks of hourly bars (deviation 0.6 %, costs of a spot venue), generation 0 trained on the first fifth; and every
series of bars and day of executions in FOLDER (`klines/`, `ticks/`), trained on its first eighth. Exit code 1 where a goal is
missed: no end below -3 %, no drawdown beyond 8 %, half of the ends at -1 % or better.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ztb.config import load_config
from ztb.ledger.run_directory import create_run_directory
from ztb.market.history import open_history
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data, run_to_end

_HOUR_MS, _START_MS = 3_600_000, 1_500_001_200_000
_BARS = 10_000


def random_walk(path: Path, seed: int) -> Path:
    """Hourly bars without an edge, as a CSV file."""
    rng = np.random.default_rng([seed, 77])
    closes = np.round(5_000.0 * np.exp(np.cumsum(rng.normal(-0.5 * 0.006**2, 0.006, _BARS + 1))), 2)
    lines = ["timestamp,open,high,low,close,volume"]
    for i in range(_BARS):
        first, last = closes[i], closes[i + 1]
        high, low = max(first, last) + 0.5, min(first, last) - 0.5
        lines.append(f"{_START_MS + i * _HOUR_MS},{first:.2f},{high:.2f},{low:.2f},{last:.2f},500")
    path.write_text("\n".join(lines) + "\n")
    return path


def series(folder: Path, walks: int, data: Path | None) -> Iterator[tuple[str, Path, int]]:
    """(name, file, one in how many parts is trained on)."""
    for seed in range(walks):
        yield f"random walk {seed}", random_walk(folder / f"walk-{seed}.csv", seed), 5
    if data is not None:
        for path in sorted([*data.glob("klines/*.parquet"), *data.glob("ticks/trades_*.parquet")]):
            yield path.stem, path, 8


def replayed(path: Path, parts: int, out: Path, seed: int) -> dict[str, Any]:
    """The summary of a replay with default settings, generation 0 trained on the first of `parts`."""
    moments = [block["ts_ns"][[0, -1]] for block in open_history((path,)).blocks(65_536)]
    first, last = int(moments[0][0]), int(moments[-1][1])
    request = ReplayRequest(
        load_config(None, {}, {}).config, (path,), seed, pretrain_ns=(last - first) // parts
    )
    return asyncio.run(
        run_to_end(Replay.over(request, open_data(request), create_run_directory(out, "replay")))
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--walks", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path)
    asked = parser.parse_args()
    ends, falls = [], []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, path, parts in series(folder, asked.walks, asked.data):
            made = replayed(path, parts, folder / name, asked.seed)
            ends.append(made["return"])
            falls.append(made["max_drawdown"])
            whole = made["frozen_return"]
            print(
                f"{name:44} account {ends[-1]:+7.2%}, deepest {falls[-1]:6.2%}; generation 0 at full size {whole:+8.2%}",
                flush=True,
            )
    print(f"worst end {min(ends):+.2%} (goal -3 %), median {statistics.median(ends):+.2%} (-1 %), "
          f"deepest drawdown {max(falls):.2%} (8 %)")  # fmt: skip
    return int(min(ends) < -0.03 or statistics.median(ends) < -0.01 or max(falls) > 0.08)


if __name__ == "__main__":
    sys.exit(main())
