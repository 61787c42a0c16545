"""The real daemon against the local exchange's core, in memory and on virtual time, for as long as a test wants."""

from __future__ import annotations

import asyncio
import io
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import msgspec
import numpy as np

from chaos.repeated import TracedExchange, repeatable, written
from ztb.config import Config, config_hash, load_config
from ztb.ledger.journal import Journal
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.daemon.daemon import Daemon, DaemonOptions
from ztb.runtime.modes.arming import Arming, account_of, write_arming
from ztb.runtime.modes.live import live_daemon
from ztb.runtime.modes.paper import TradingRequest, paper_daemon
from ztb.runtime.venue.left_behind import LeftBehind, last_floor
from ztb.runtime.venue.watchdog import act, client_for
from ztb.testing.exchange.faults import Fault, FaultKind
from ztb.testing.exchange.flow import Flow
from ztb.testing.exchange.gateway import Gateway
from ztb.testing.exchange.listing import BTCUSDT, Listing
from ztb.testing.exchange.local import client_options
from ztb.testing.exchange.setup import Setup, open_exchange
from ztb.testing.exchange.venue import Credentials
from ztb.testing.memory_transport import below_ccxt
from ztb.testing.virtual_time import VirtualTimeLoop
from ztb.utils.installation import code_version

CREDENTIALS = Credentials()
SECRETS = {
    "ZTB_SECRET_EXCHANGE_API_KEY": CREDENTIALS.key,
    "ZTB_SECRET_EXCHANGE_SECRET": CREDENTIALS.secret,
}
_FASTEST_S, _SLOWEST_S = 0.002, 0.12
_DISK_S = 0.01
_LETS_GO_S = 0.1  # after the end of the watchdog's input, the kernel lets go of a dead one's lock
_SLOWEST_WATCHDOG_S = 3.0  # until a machine that has other things to do lets it go on
_CLIENT = {
    "verify": False,
    "tokenBucket": {"delay": 0.02},
}  # ccxt looks for room to ask each millisecond, else
DECISION_MS = 500
WARM_S = 5.0  # until the one feature is, at a decision each DECISION_MS


def configuration(port: int = 80, **settings: Any) -> Config:
    """Random orders on the local exchange, a decision each half second, nothing learned."""
    options = client_options("127.0.0.1", port, CREDENTIALS)
    flags = {
        "strategy.name": "random_walk", "online.learner": "off", "decision.every": "time",
        "decision.interval_ms": DECISION_MS, "market.venue": "binance", "market.symbol": "BTC/USDT",
        "market.client": {key: options[key] for key in ("urls", "options")} | _CLIENT,
        "market.allowed_hosts": ["127.0.0.1"], "market.warm_up_s": 0.0, "market.record": False,
        "features.names": ["return_1"], "risk.max_orders_per_minute": 1000, "risk.max_orders_per_day": 100_000,
    }  # fmt: skip
    return load_config(None, flags | settings, {}).config


def arm(folder: Path, config: Config, now_ns: int) -> None:
    """What `ztb arm` writes, for an hour."""
    account = account_of(CREDENTIALS.key)
    given = Arming(account, 1e9, config_hash(config), code_version(), None, now_ns + 3_600_000_000_000)
    write_arming(folder, given)


def _disk(rng: np.random.Generator) -> Callable[[Journal], Awaitable[None]]:
    """A disk that takes a drawn virtual time: rows are on it somewhere in between."""

    async def durable(journal: Journal) -> None:
        before_s, after_s = rng.uniform(0.0, _DISK_S, 2).tolist()
        await asyncio.sleep(before_s)
        journal.flush()
        await asyncio.sleep(after_s)

    return durable


def _as_on_disk(folder: Path) -> Path:
    """A copy of what a process that dies now leaves in `folder`."""
    left = folder.with_name(f"{folder.name}+")
    shutil.copytree(folder, left, ignore=shutil.ignore_patterns("journal.sqlite*", "control.sock"))
    with (
        closing(sqlite3.connect(folder / "journal.sqlite")) as journal,
        closing(sqlite3.connect(left / "journal.sqlite")) as copy,
    ):
        journal.backup(copy)
    return left


class _Listening:
    """In place of a watchdog's process: keeps what it is told."""

    def __init__(self) -> None:
        self.stdin = io.BytesIO()

    def poll(self) -> None:
        """It lives."""

    def communicate(self, _farewell: bytes) -> None:
        """It is released."""

    def told(self, folder: Path) -> tuple[LeftBehind, float]:
        """What it is to do, the run's folder being that, and the last floor; by now nobody tells it anything more."""
        first, *lines = self.stdin.getvalue().decode().splitlines()
        floor = last_floor(lines)
        assert floor is not None
        return msgspec.structs.replace(msgspec.json.decode(first, type=LeftBehind), folder=str(folder)), floor


class Stage:
    """`exchange` is what really happens; daemons run on `folder`, one after the other. See `stage`.

    A stage is the daemon's clock, `skew_s` ahead of the venue's.
    """

    def __init__(self, seed: int, folder: Path, config: Config, loop: VirtualTimeLoop, setup: Setup) -> None:
        self.folder = folder
        self.config = config
        self.loop = loop
        self.skew_s = 0.0
        self.floor = 0.0  # the equity that the watchdog of the last one killed was to keep
        self.network = np.random.default_rng([seed, 1])
        self.gateway = Gateway(open_exchange(setup, loop))
        self.exchange = self.gateway.exchange
        self.venue = TracedExchange(self.gateway, loop, self._latency_s)

    def now_ns(self) -> int:
        """See `ztb.ports.Clock`."""
        return self.loop.now_ns() + round(self.skew_s * 1e9)

    def _latency_s(self) -> float:
        return float(self.network.uniform(_FASTEST_S, _SLOWEST_S))

    def inject(self, kind: str, **details: Any) -> None:
        self.gateway.inject(Fault(FaultKind(kind), **details))

    @asynccontextmanager
    async def running(
        self,
        mode: str,
        seed: int = 0,
        from_generation: str | None = None,
        watch: Callable[[Daemon], None] = lambda _daemon: None,
    ) -> AsyncIterator[Daemon]:
        """A daemon, from its start to its clean end; what ends it ends the context. `watch` is called before it runs."""
        daemon = await self._made(mode, seed, from_generation)
        watch(daemon)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(daemon.run(), name="daemon")
            yield daemon
            daemon.stop()

    async def killed_after(
        self, seconds: float, seed: int = 0, at_death: Callable[[], None] = lambda: None
    ) -> None:
        """A live daemon that is `killed` after so long."""
        async with self.dying(seed, at_death=at_death):
            await asyncio.sleep(seconds)

    @asynccontextmanager
    async def dying(
        self,
        seed: int = 0,
        from_generation: str | None = None,
        at_death: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[Daemon]:
        """A live daemon that dies with the context, as by SIGKILL: what was not on disk is lost, what was sent arrives.

        What it leaves is in `folder`, another one from then on; its watchdog has done its work after the context.
        `at_death` is called in between, before that begins.
        """
        daemon = await self._made("live", seed, from_generation)
        running = asyncio.create_task(daemon.run(), name="daemon")
        try:
            yield daemon
            assert not running.done(), running.exception()
            written(daemon.session.journal)
            self.folder = _as_on_disk(self.folder)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
        at_death()
        left, self.floor = self._listening.told(self.folder)
        client = client_for(left, SECRETS)
        held = ExitStack()
        held.enter_context(RunDirectory(self.folder).held())
        self.loop.call_later(self.network.uniform(0.0, _LETS_GO_S), held.close)
        await asyncio.sleep(self.watchdog_s())
        await act(left, self.floor, client)

    @property
    def floor_told(self) -> float:
        """The equity that the watchdog of the daemon that lives has been told to keep."""
        return self._listening.told(self.folder)[1]

    def watchdog_s(self) -> float:
        """How long a watchdog takes this time until it sends its first request."""
        return max(0.0, float(self.network.uniform(-1.0, _SLOWEST_WATCHDOG_S)))

    async def _made(self, mode: str, seed: int, from_generation: str | None = None) -> Daemon:
        self.folder.mkdir(exist_ok=True)
        request = TradingRequest(self.config, RunDirectory(self.folder), seed, from_generation)
        options = DaemonOptions("chaos", lambda: self.config)
        if mode == "live":
            daemon = await live_daemon(request, options, self, SECRETS)
            self._listening = _Listening()
            cast(Any, daemon.account)._dead_man._start = lambda: self._listening
        else:
            daemon = await paper_daemon(request, options, self)
        return daemon

    def fall(self, fraction: float, seconds: float) -> None:
        """From now on the market falls by `fraction`, evenly over `seconds`, and stays there."""
        self.inject("fall", fraction=fraction, seconds=seconds)


@asynccontextmanager
async def stage(
    seed: int, folder: Path, listing: Listing = BTCUSDT, flow: Flow | None = None, **settings: Any
) -> AsyncIterator[Stage]:
    """A venue with its market, armed for live mode; `flow` is the rest of the world, else the usual one."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.set_exception_handler(
        lambda _loop, _context: None
    )  # ccxt's receive loop dies with a line in the log
    config = configuration(**settings)
    arm(folder, config, loop.now_ns())
    flows = {} if flow is None else {listing.symbol: flow}
    it = Stage(seed, folder, config, loop, Setup(seed=seed, listings=(listing,), flows=flows))
    with (
        below_ccxt(it.venue, it.now_ns),
        patch.object(Journal, "durable", _disk(np.random.default_rng([seed, 3]))),
        repeatable(),
    ):
        async with asyncio.TaskGroup() as tasks:
            market = tasks.create_task(it.venue.run(), name="market")
            yield it
            market.cancel()
