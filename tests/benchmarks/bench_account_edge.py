"""An edge is used: what the account earns of the optimum's growth on a market with a weak edge, ramp included.

    python tests/benchmarks/bench_account_edge.py [--rho R ...] [--seeds N ...]

`tests/learning/weak_edge.py`'s market through `ztb replay` itself with default settings: generation 0 trained on 10,000 bars
with all features, its walk-forward, the rules; then 10,000 bars traded. Printed for each ρ: shares of the optimum's log
growth on the same path, of the account and of generation 0 at full size. To reach, medians of five: 0.85 at 0.3, 0.50 at
0.1, no loss at 0.05.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

from learning.weak_edge import BARS, FUTURES, Trial, weak_market
from trading.markets import HOUR_NS
from ztb.config import load_config
from ztb.ledger.run_directory import create_run_directory
from ztb.market.recording import RecordingWriter
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data, run_to_end

_WIDE = {"risk.max_orders_per_day": 100_000, "risk.max_repeated_side": 100_000}


def shares(rho: float, seed: int, folder: Path) -> tuple[float, float]:
    """(account, generation 0 at full size) of the optimum's log growth on the same path."""
    ticks, _ = weak_market(rho, seed)
    path = folder / f"{rho}-{seed}.ticks"
    with RecordingWriter(path, FUTURES) as writer:
        writer.append(ticks, ticks["ts_ns"])
    config = load_config(None, _WIDE, {}).config
    request = ReplayRequest(config, (path,), seed, pretrain_ns=(len(ticks) - BARS) * HOUR_NS)
    run = Replay.over(
        request, open_data(request), create_run_directory(folder / f"run-{rho}-{seed}", "replay")
    )
    summary = asyncio.run(run_to_end(run))
    best = Trial(rho, seed).best().with_luck * (BARS - 1)
    return float(np.log1p(summary["return"]) / best), float(np.log1p(summary["frozen_return"]) / best)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rho", type=float, nargs="+", default=[0.3, 0.1, 0.05])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        for rho in asked.rho:
            found = np.array([shares(rho, seed, Path(place)) for seed in asked.seeds])
            account, whole = found.T
            print(f"rho {rho}: account {median(account):.2f} of {np.round(account, 2).tolist()}; generation 0 at full size "
                  f"{median(whole):.2f} of {np.round(whole, 2).tolist()}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
