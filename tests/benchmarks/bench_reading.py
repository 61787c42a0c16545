"""How quickly files are read, against another version of ztb: alternated rounds, a process each, CPU time.

`PYTHONPATH=daemon:tests python tests/benchmarks/bench_reading.py TREE [--rounds N] [--rows N]`, where TREE is a checkout of
the version to compare with. Each file is opened and read to its end; what counts is the ratio of the medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

_READ = """
import sys, time
from pathlib import Path
from ztb.market.history import open_history
for _ in range(2):  # the first warms up
    begun = time.process_time()
    rows = sum(map(len, open_history([Path(sys.argv[1])]).blocks()))
    spent = time.process_time() - begun
print(rows, spent)
"""
_START_MS = 1_704_067_200_000
Write = Callable[[Path, int], None]


def _bars(rows: int) -> dict[str, list[Any]]:
    rng = np.random.default_rng(0)
    close = np.round(40_000 + np.cumsum(rng.normal(0, 5, rows)), 2)
    first = np.round(np.concatenate(([40_000.0], close[:-1])), 2)
    high, low = np.round(np.maximum(first, close) + 1, 2), np.round(np.minimum(first, close) - 1, 2)
    volume = np.round(rng.uniform(0.01, 9, rows), 4)
    times = _START_MS + 60_000 * np.arange(rows)
    columns = {"open": first, "high": high, "low": low, "close": close, "volume": volume}
    return {"time": times.tolist()} | {name: values.tolist() for name, values in columns.items()}


def _csv(path: Path, rows: int, *, iso: bool) -> None:
    bars = _bars(rows)
    if iso:
        bars["time"] = [f"{np.datetime64(ms, 's')}Z" for ms in (np.array(bars["time"]) // 1000).tolist()]
    lines = (",".join(map(str, row)) for row in zip(*bars.values(), strict=True))
    path.write_text(",".join(bars) + "\n" + "\n".join(lines) + "\n")


def _klines(path: Path, rows: int) -> None:
    bars = _bars(rows)
    with path.open("w") as file:
        for ms, first, high, low, close, volume in zip(*bars.values(), strict=True):
            file.write(
                f"{ms},{first},{high},{low},{close},{volume},{ms + 59_999},{close * volume},9,1,{close},0\n"
            )


def _trades(path: Path, rows: int) -> None:
    bars = _bars(rows)
    with path.open("w") as file:
        file.write("id,price,qty,quote_qty,time,is_buyer_maker\n")
        for i, (close, volume) in enumerate(zip(bars["close"], bars["volume"], strict=True)):
            file.write(
                f"{i},{close},{volume},{close * volume},{_START_MS + 137 * i},{str(i % 3 == 0).lower()}\n"
            )


def _table(rows: int) -> pa.Table:
    bars = _bars(rows)
    stamps = pa.array(bars.pop("time"), pa.timestamp("ms", tz="UTC"))
    return pa.table({"date": stamps} | bars)


FILES: dict[str, tuple[str, Write]] = {
    "bars, milliseconds (CSV)": ("BTCUSDT-a.csv", lambda path, rows: _csv(path, rows, iso=False)),
    "bars, ISO 8601 (CSV)": ("BTCUSDT-b.csv", lambda path, rows: _csv(path, rows, iso=True)),
    "Binance klines (CSV)": ("BTCUSDT-1m-2024-01.csv", _klines),
    "Binance trades (CSV)": ("BTCUSDT-trades-2024-01.csv", _trades),
    "bars (parquet)": ("BTCUSDT.parquet", lambda path, rows: pyarrow.parquet.write_table(_table(rows), path)),
    "bars (feather)": (
        "BTCUSDT.feather",
        lambda path, rows: pyarrow.feather.write_feather(_table(rows), path),
    ),
}


def spent(tree: Path, path: Path, rows: int) -> float:
    """Seconds of CPU that the version in `tree` takes for a file, which it must read whole."""
    environment = os.environ | {"PYTHONPATH": str(tree / "daemon")}
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(path)], env=environment, capture_output=True, text=True, check=True
    )
    read, seconds = done.stdout.split()
    assert int(read) == rows, f"{tree}: {read} of {rows} rows"
    return float(seconds)


def main() -> None:
    """Print a table: a file a row, this version and the other."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("tree", type=Path)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--rows", type=int, default=300_000)
    given = arguments.parse_args()
    ours = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory() as folder:
        for title, (name, write) in FILES.items():
            path = Path(folder) / name
            write(path, given.rows)
            pairs = [
                (spent(ours, path, given.rows), spent(given.tree, path, given.rows))
                for _ in range(given.rounds)
            ]
            mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(a / b for a, b in pairs)
            print(f"{title:28} {mine * 1e3:7.0f} ms, theirs {theirs * 1e3:7.0f} ms: {ratio:.3f}")
            path.unlink()


if __name__ == "__main__":
    main()
