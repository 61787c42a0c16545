"""Paper sessions on the local exchange, recorded, to be repeated; and what a kill would have left of them."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from runtime.daemons import until
from ztb.config import Config, load_config
from ztb.control import Command, Halt, Promote, Resume
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import NoteRow, Record
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.clock import SystemClock
from ztb.runtime.daemon.daemon import Daemon, DaemonOptions
from ztb.runtime.modes.paper import TradingRequest, paper_daemon
from ztb.testing.exchange.local import LocalExchange

FLAGS: dict[str, Any] = {
    "market.venue": "binance", "market.symbol": "BTC/USDT", "market.allowed_hosts": ["127.0.0.1"],
    "market.streams": ["trades", "quotes", "depth"], "market.warm_up_s": 60.0, "features.names": ["rsi_14"],
    "decision.every": "time", "decision.interval_ms": 150, "online.learner": "inline",
    "online.update_every_decisions": 8, "checkpoint.interval_updates": 1, "online.rollout_lanes": 8,
    "online.rollout_horizon_decisions": 8, "ppo.minibatch_size": 64,
    # What is random trades the whole account here, and draws: there is much to repeat within seconds.
    "allocation.by": "none", "strategy.sample": True,
}  # fmt: skip

Steer = Callable[[Daemon], Awaitable[None]]


def configured(exchange: LocalExchange, **changes: Any) -> Config:
    options = exchange.ccxt_options()
    client = {key: options[key] for key in ("urls", "options")}
    flags = {**FLAGS, "market.client": client, **{key.replace("__", "."): v for key, v in changes.items()}}
    return load_config(None, flags, {}).config


async def start(folder: Path, config: Config, steer: Steer, from_generation: str | None = None) -> None:
    """One start in `folder`, which ends in order once `steer` returns."""
    request = TradingRequest(config, RunDirectory(folder), 0, from_generation)
    daemon = await paper_daemon(request, DaemonOptions("test", lambda: config), SystemClock())
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(daemon.run())
        async with asyncio.timeout(300):
            await steer(daemon)
        daemon.stop()
        await running


async def decide(daemon: Daemon, more: int) -> None:
    """Let `more` decisions be made."""
    wanted = daemon.session.engine.progress.decisions + more
    await until(lambda: daemon.session.engine.progress.decisions >= wanted)


async def ask(daemon: Daemon, command: Command) -> None:
    assert (await daemon.controls.execute(command, "test")).ok


async def swapped(daemon: Daemon) -> None:
    """A generation made on the way is promoted by hand, then the first again; in between the trading is halted."""
    await until(lambda: daemon.session.lineage.made >= 2)
    await ask(daemon, Promote(1))
    await decide(daemon, 8)
    await ask(daemon, Halt("for a while"))
    await decide(daemon, 4)
    await ask(daemon, Resume())
    await ask(daemon, Promote(0))
    await decide(daemon, 8)


async def left_by_a_kill(daemon: Daemon, to: Path) -> None:
    """Copy what a kill at this moment would leave: everything that has reached the disk, an order still open."""
    await until(lambda: bool(daemon.session.engine.live.working))
    daemon.session.journal.flush()
    _copy(daemon.session.directory.path, to)


def _copy(folder: Path, to: Path) -> None:
    to.mkdir()
    with sqlite3.connect(folder / "journal.sqlite") as source, sqlite3.connect(to / "journal.sqlite") as copy:
        source.backup(copy)
    for name in ("ticks", "checkpoints"):
        shutil.copytree(folder / name, to / name)
    shutil.copy(folder / "run.json", to / "run.json")


def rows(folder: Path, record: type[Record]) -> list[Any]:
    reader = JournalReader(folder / "journal.sqlite")
    found = list(reader.rows(record))
    reader.close()
    return found


def kinds(folder: Path) -> set[str]:
    """Of the notes in the journal."""
    return {row.kind for row in rows(folder, NoteRow)}


def alter(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / "journal.sqlite") as journal:
        assert journal.execute(statement).rowcount > 0
