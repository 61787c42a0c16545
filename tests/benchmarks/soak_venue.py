"""A soak against a venue: `ztb run` in paper and in live mode at once on a `ztb exchange`, learning, over real sockets.

`PYTHONPATH=daemon:tests python tests/benchmarks/soak_venue.py [--minutes 60]`, run by `.ci/soak-venue`. Every process
is `ztb` as users start it, and time is the machine's. The memory of both daemons is recorded each minute, with what
their children hold for themselves. Exit code 1 where a daemon does not end cleanly, does not trade, learn or save,
where the venue's account is not our ledger's to the last unit, or where memory grows in the second half by 2 % or more.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil

from benchmarks.soak import LIMIT, growth
from runtime.daemons import environment
from runtime.made_policy import made_policy
from runtime.venue.live_runs import ExchangeProcess, arm, instrument_at, ledger_of, secrets, venue_holds
from ztb.config import load_config
from ztb.ledger.accounts import Account

_ENDING_S = 60.0
_FIGURES = ("status", "ticks", "decisions", "orders", "fills", "updates", "generations", "gaps", "dropped")


@dataclass
class Soaked:
    """A daemon in its folder; MB held at each minute."""

    mode: str
    folder: Path
    process: subprocess.Popen[str]
    memory_mb: list[float] = field(default_factory=list)

    def sample(self) -> None:
        """Record what it and its children hold now."""
        daemon = psutil.Process(self.process.pid)
        held = daemon.memory_info().rss
        for child in daemon.children(recursive=True):
            info = child.memory_info()
            held += info.rss - info.shared
        self.memory_mb.append(round(held / 1e6, 1))

    def end(self) -> dict[str, Any]:
        """Stop it cleanly; what came of it."""
        self.process.terminate()
        self.process.communicate(timeout=_ENDING_S)
        summary = json.loads((self.folder / "summary.json").read_text())
        figures = {name: summary[name] for name in _FIGURES}
        kept = list((self.folder / "checkpoints").rglob("gen-*.ckpt"))
        later = [file for file in kept if file.name != "gen-00000000.ckpt"]
        memory = {"memory_mb": self.memory_mb, "growth": round(growth(self.memory_mb), 4)}
        return figures | memory | {"checkpoints": len(later)}


def begin(mode: str, folder: Path, options: Mapping[str, Any]) -> Soaked:
    """Start a daemon in `folder`: a decision four times a second, the learner in a process of its own."""
    client = {key: value for key, value in options.items() if key not in ("apiKey", "secret")}
    market = {"symbol": "BTC/USDT", "venue": "binance", "client": client, "allowed_hosts": ["127.0.0.1"]}
    asked = {
        "market": market, "decision": {"interval_ms": 250}, "online": {"learner": "process"},
        "strategy": {"sample": True},  # many orders, not good ones
    }  # fmt: skip
    folder.mkdir()
    file = folder / "trade-config.json"
    file.write_text(json.dumps(asked))
    config = load_config(file, {}, {}).config
    arm(folder, config, options["apiKey"])
    policy = made_policy(folder / "policy", config, instrument_at(dict(options)))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ztb", "run", "--mode", mode, "--config", str(file), "--out", str(folder),
             "--from-generation", policy],
            env=environment(**secrets(dict(options))), stdout=log, stderr=log, text=True,
        )  # fmt: skip
    return Soaked(mode, folder, process)


def faults_of(figures: Mapping[str, Any]) -> list[str]:
    """What one daemon did not do as it should."""
    faults = [f"no {name}" for name in ("fills", "updates", "checkpoints") if not figures[name]]
    if figures["status"] != "stopped":
        faults.append(f"ended as {figures['status']}")
    if figures["growth"] >= LIMIT:
        faults.append(f"memory grew by {figures['growth']:.1%}")
    return faults


def soak(folder: Path, minutes: int) -> dict[str, Any]:
    """Both daemons for so long; figures, and under `faults` what is wrong with them."""
    exchange = ExchangeProcess(0)
    soaked: list[Soaked] = []
    try:
        options = exchange.options
        soaked += [begin(mode, folder / mode, options) for mode in ("paper", "live")]
        for _ in range(minutes):
            time.sleep(60.0)
            for each in soaked:
                each.sample()
        figures: dict[str, Any] = {each.mode: each.end() for each in soaked}
        _, ledger = ledger_of(folder / "live", Account(instrument_at(options), Decimal(0)))
        books = {"venue": venue_holds(options), "ledger": ledger}
    finally:
        for each in soaked:
            each.process.kill()
        exchange.close()
    faults = {mode: faults_of(figures[mode]) for mode in figures}
    faults["books"] = [] if books["venue"] == books["ledger"] else ["venue and ledger differ"]
    told = {name: [str(amount) for amount in held] for name, held in books.items()}
    return {"minutes": minutes, **figures, **told, "faults": faults}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=int, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = soak(Path(folder), given.minutes)
    print(json.dumps(figures))
    return int(any(figures["faults"].values()))


if __name__ == "__main__":
    sys.exit(main())
