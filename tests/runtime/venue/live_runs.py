"""Live runs against the local exchange, in this process or in their own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt

from runtime.daemons import environment
from ztb.config import Config, config_hash, load_config
from ztb.ledger.accounts import Account
from ztb.ledger.run_directory import RunDirectory
from ztb.market.instrument import Instrument
from ztb.market.live.instrument import instrument_of
from ztb.runtime.clock import SystemClock
from ztb.runtime.daemon.daemon import Daemon, DaemonOptions
from ztb.runtime.modes.arming import Arming, account_of, write_arming
from ztb.runtime.modes.live import live_daemon
from ztb.runtime.modes.paper import TradingRequest
from ztb.runtime.recovery.past import Past, read_past
from ztb.runtime.recovery.resuming import rebook
from ztb.utils.installation import code_version

FAR_NS = 2**62


def secrets(options: dict[str, Any]) -> dict[str, str]:
    return {
        "ZTB_SECRET_EXCHANGE_API_KEY": options["apiKey"],
        "ZTB_SECRET_EXCHANGE_SECRET": options["secret"],
    }


def settings(options: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What a file says to trade on the local exchange: often, at random, reconciled every two seconds."""
    client = {key: value for key, value in options.items() if key not in ("apiKey", "secret")}
    return {
        "market": {
            "symbol": "BTC/USDT", "venue": "binance", "client": client, "allowed_hosts": ["127.0.0.1"],
            "warm_up_s": 600,
        },
        "decision": {"interval_ms": 200},
        "strategy": {"name": "random_walk"},
        "features": {"names": ["return_1"]},
        "risk": {"max_orders_per_minute": 10_000, "max_orders_per_day": 100_000, "max_repeated_side": 10_000},
        "execution": {"reconcile_every_s": 2.0, "unknown_order_s": 6.0},
        **more,
    }  # fmt: skip


def arm(folder: Path, config: Config, key: str) -> None:
    write_arming(folder, Arming(account_of(key), 1e6, config_hash(config), code_version(), None, FAR_NS))


def write_config(folder: Path, options: dict[str, Any], **more: Any) -> Config:
    path = folder / "live.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings(options, **more)))
    return load_config(path, {}, {}).config


async def make_live(
    folder: Path, options: dict[str, Any], from_generation: str | None = None, **more: Any
) -> Daemon:
    """An armed daemon on the local exchange that `options` lead to."""
    config = write_config(folder, options, **more)
    arm(folder, config, options["apiKey"])
    request = TradingRequest(config, RunDirectory(folder), 0, from_generation)
    asked = DaemonOptions("test", lambda: config)
    return await live_daemon(request, asked, SystemClock(), secrets(options))


@asynccontextmanager
async def trading(daemon: Daemon) -> AsyncIterator[Daemon]:
    """The daemon trades while the context lasts; it is stopped at the end, and its books are closed."""
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        task = group.create_task(daemon.run())
        try:
            yield daemon
        finally:
            daemon.stop()
            await task


def venue_holds(options: dict[str, Any]) -> tuple[Decimal, Decimal]:
    """(quote, base) as an unmodified ccxt client sees the account."""
    total = ccxt.binance(options).fetch_balance()["total"]
    return Decimal(str(total["USDT"])), Decimal(str(total["BTC"]))


def instrument_at(options: dict[str, Any]) -> Instrument:
    """BTC/USDT as that venue lists it."""
    client = ccxt.binance(options)
    client.load_markets()
    return instrument_of(client, "BTC/USDT")


def ledger_of(folder: Path, account: Account) -> tuple[Past, tuple[Decimal, Decimal]]:
    """(past, (quote, base)) that the journal in `folder` alone comes to."""
    past = read_past(folder / "journal.sqlite")
    assert past is not None and past.opening is not None
    books = Account(account.instrument, past.opening.cash)
    books.hold(past.opening.position)
    rebook(books, past)
    return past, (books.exact_cash, books.exact_position)


def assert_nowhere(folder: Path, said: str, secret: str) -> None:
    """`secret` is in no file of a run, and nothing that was said holds it."""
    assert secret not in said
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 4
    for path in files:
        assert secret.encode() not in path.read_bytes(), path


class ExchangeProcess:
    """`ztb exchange` in a process of its own."""

    def __init__(self, seed: int = 1) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ztb", "exchange", "--port", "0", "--seed", str(seed), "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment(),
        )  # fmt: skip
        assert self.process.stdout is not None
        self.options: dict[str, Any] = json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.terminate()
        self.process.communicate()
