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

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "daemon"))

import numpy as np
from numpy.typing import NDArray

from ztb.config import load_config
from ztb.features import SHIPPED
from ztb.ledger.run_directory import create_run_directory
from ztb.market.instrument import Instrument
from ztb.market.ticks import TRADE, Ticks, empty_ticks
from ztb.runtime.build.assembly import assemble
from ztb.runtime.build.context import RunContext, initial_policy
from ztb.runtime.build.parts import open_parts
from ztb.runtime.session import Session

PEERS = {"hftbacktest": "hftbacktest==2.4.4", "nautilus": "nautilus_trader==1.221.0"}
_HERE = Path(__file__).resolve().parent
_ROWS, _DAY_NS, _SECOND_NS = 1_500_000, 86_400 * 10**9, 10**9
_FAST, _SLOW, _CASH = 0.1, 0.01, 10_000
_BLOCK_ROWS = 32_768

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
    "online.learner": "off",
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


STRATEGIES = {
    "kernel": """
import numpy as np
from ztb.trading.kernel_rule import KernelRule, choice


def decide(state, moment, features, ladder):
    price = moment[0]["mid"]
    state[0] = price if state[0] == 0.0 else state[0] + FAST * (price - state[0])
    state[1] = price if state[1] == 0.0 else state[1] + SLOW * (price - state[1])
    return choice(len(ladder) - 1 if state[0] > state[1] else 0, 2)


class Strategy:
    def __init__(self, context):
        self.follows = KernelRule(decide, np.zeros(2))

    def decide(self, moment):
        return self.follows(moment)
""",
    "python": """
from ztb.trading.strategy import Action


class Strategy:
    def __init__(self, context):
        self.fast = self.slow = 0.0
        self.last = len(context.ladder) - 1

    def decide(self, moment):
        price = moment.mid
        self.fast = price if self.fast == 0.0 else self.fast + FAST * (price - self.fast)
        self.slow = price if self.slow == 0.0 else self.slow + SLOW * (price - self.slow)
        return Action(self.last if self.fast > self.slow else 0)
""",
}
STRATEGIES["on_tick"] = (
    STRATEGIES["python"]
    + """
    def on_tick(self, tick):
        return tick.price < 0.0 or tick.features[0] > 1e9
"""
)
"""By contestant, the strategy's file; `policy` is the shipped one, with experts and allocation, without a learner."""
ROWS = (
    ("rule as a kernel", "kernel", "hftbacktest", 0.7),
    ("shipped policy, learner off", "policy", "hftbacktest", 0.4),
    ("rule in Python", "python", "nautilus", 4.0),
    ("on_tick in Python at every tick", "on_tick", "nautilus", 5.0),
)


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


def session_of(contestant: str, folder: Path) -> Session:
    """A session as a replay has it, with its files in `folder`."""
    name = f"bench_{contestant}" if contestant in STRATEGIES else "ppo_online"
    config = load_config(None, {**_SETTINGS, "strategy.name": name}, {}).config
    assembly = assemble(config, INSTRUMENT, None, 0)
    context = RunContext(
        mode="replay", assembly=assembly, directory=create_run_directory(folder / "run", "replay"), run_id="0" * 32,
        facts={}, initial_policy=initial_policy(assembly, None), packs=True,
    )  # fmt: skip
    return Session(context, open_parts(context))


def traded(contestant: str, made: NDArray[np.void]) -> dict[str, float]:
    """One run of ours over trades, until its journal is on disk."""
    with tempfile.TemporaryDirectory() as folder:
        session, source = session_of(contestant, Path(folder)), Blocks(made)
        cpu, wall = time.process_time(), time.perf_counter()
        asyncio.run(session.run(source))
        session.journal.close()
        told = _told(cpu, wall, session.engine.progress.decisions, session.books.orders)
        assert session.engine.progress.ticks == len(made)
    return told


def write_strategies(folder: Path) -> None:
    """Put our strategies where the processes of this one look for them."""
    folder.mkdir(exist_ok=True)
    for name, text in STRATEGIES.items():
        (folder / f"bench_{name}.py").write_text(
            text.replace("FAST", repr(_FAST)).replace("SLOW", repr(_SLOW))
        )
    os.environ["ZTB_STRATEGY_PATH"] = str(folder)


def compete(contestant: str, ticks: Path) -> None:
    """Run one of ours in this process, after a short one that compiles, and print what it took."""
    made = np.load(ticks)
    if contestant == "plain":
        print(json.dumps(plain_loop(made)))
        return
    traded(contestant, made[:20_000])
    print(json.dumps(traded(contestant, made)))


def environment(folder: Path, peer: str) -> Path:
    """The Python of an environment with that peer alone, made if it is not there."""
    python = folder / peer / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / peer)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", PEERS[peer]], check=True)
    return python


def once(command: list[str]) -> dict[str, float]:
    """What a contestant says of its run, in a fresh process."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
    told: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def compare(folder: Path, rounds: int, rows: int, only: list[str]) -> None:
    ticks = folder / f"trades-{rows}.npy"
    np.save(ticks, trades(_ROWS)[:rows])
    write_strategies(folder / "strategies")
    ours = [name for name in ("kernel", "policy", "python", "on_tick") if name in only]
    theirs = [peer for peer in PEERS if any(row[1] in only and row[2] == peer for row in ROWS)]
    commands = {
        peer: [str(environment(folder, peer)), str(_HERE / "peers" / f"with_{peer}.py"), str(ticks)]
        for peer in theirs
    } | {
        name: [sys.executable, __file__, "--contestant", name, "--ticks", str(ticks)]
        for name in (*ours, "plain")
    }
    told: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            told[name].append(once(command))
        print(".", end="", flush=True)
    print(f" {rows:,} trades, medians of {rounds}, load {os.getloadavg()[0]:.1f}")
    for name, found in told.items():
        cpu, wall = (median(each[key] for each in found) for key in ("cpu_s", "wall_s"))
        loops = median(each["cpu_s"] for each in told["plain"]) / cpu
        print(
            f"{name:12} {rows / cpu:>12,.0f} ticks/s of CPU {rows / wall:>12,.0f} by the wall, {loops:6.3f} of a plain "
            f"loop's speed; {found[0]['decisions']:,} decisions, {found[0]['orders']:,} orders"
        )
    for what, our, peer, goal in ROWS:
        if our in told:
            ratio, wall = (_ratio(told[peer], told[our], key) for key in ("cpu_s", "wall_s"))
            print(f"{what:34} {ratio:6.2f} of {peer} (by the wall {wall:.2f}), goal {goal}")


def _ratio(theirs: list[dict[str, float]], ours: list[dict[str, float]], key: str) -> float:
    return median(each[key] for each in theirs) / median(each[key] for each in ours)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=_ROWS, help="the first so many of the day")
    parser.add_argument(
        "--folder", type=Path, help="of the environments, to be used again; default: a temporary one"
    )
    parser.add_argument("--only", nargs="*", default=[row[1] for row in ROWS])
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    parser.add_argument("--ticks", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if chosen.contestant:
        compete(chosen.contestant, chosen.ticks)
    elif chosen.folder:
        chosen.folder.mkdir(parents=True, exist_ok=True)
        compare(chosen.folder.resolve(), chosen.rounds, chosen.rows, chosen.only)
    else:
        with tempfile.TemporaryDirectory() as folder:
            compare(Path(folder), chosen.rounds, chosen.rows, chosen.only)


if __name__ == "__main__":
    main()
