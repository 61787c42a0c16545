"""A daemon in a test: on made-up bars that the test lets through one by one, or in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from ztb.config import Config, load_config
from ztb.control import Answer, Command
from ztb.execution.risk_gate import RiskGate
from ztb.ledger.records import Record
from ztb.ledger.run_directory import RunDirectory
from ztb.market.ticks import Ticks
from ztb.ports import Source
from ztb.runtime.clock import SystemClock
from ztb.runtime.daemon.component import Component
from ztb.runtime.daemon.daemon import Daemon, DaemonOptions
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data
from ztb.telemetry.snapshot import Observer

ROOT = Path(__file__).resolve().parents[2]


class Gated:
    """A source that gives `step` rows whenever `let` rows more are allowed; `all()` lets the rest through."""

    def __init__(self, source: Source) -> None:
        self.instrument = source.instrument
        self._source = source
        self._allowed = asyncio.Semaphore(0)
        self._open = False
        self.given = 0

    def let(self, rows: int) -> None:
        for _ in range(rows):
            self._allowed.release()

    def all(self) -> None:
        self._open = True
        self.let(1)

    async def blocks(self) -> AsyncIterator[Ticks]:
        async for block in self._source.blocks():
            for i in range(len(block)):
                if not self._open:
                    await self._allowed.acquire()
                self.given += 1
                yield block[i : i + 1]


class Hearing:
    """Calls `hear` with each row that a run journals."""

    def __init__(self, hear: Callable[[Record], None]) -> None:
        self.record = hear

    def alert(self, *_: str) -> None:
        """See `broadcast.Watcher`."""

    def before_order(self, gate: RiskGate) -> None:
        """See `broadcast.Watcher`."""

    def collecting(self) -> None:
        """See `broadcast.Watcher`."""


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until `condition` holds."""
    while not condition():  # noqa: ASYNC110 (what is waited for has no event)
        await asyncio.sleep(0.001)


class Running:
    """A daemon that runs in this loop, as `task`. `step(n)` lets n bars happen and returns when they have."""

    def __init__(self, daemon: Daemon, source: Gated, task: asyncio.Task[Any]) -> None:
        self.daemon = daemon
        self.source = source
        self._task = task

    async def step(self, rows: int) -> None:
        progress = self.daemon.session.engine.progress
        wanted = progress.ticks + rows
        self.source.let(rows)
        await until(lambda: progress.ticks >= wanted or self._task.done())
        assert progress.ticks >= wanted, "the daemon ended, by itself or by a signal to this process"
        await asyncio.sleep(0.001)

    async def ask(self, command: Command) -> Answer:
        return await self.daemon.controls.execute(command, "test")


def make_daemon(
    data: Path,
    out: Path,
    strategy: str = "hold",
    observers: Sequence[Observer] = (),
    load: Callable[[], Config] | None = None,
    redact: Callable[[str], str] = str,
    components: Sequence[Component] = (),
    **settings: Any,
) -> tuple[Daemon, Gated]:
    flags = {key.replace("__", "."): value for key, value in settings.items()} | {"strategy.name": strategy}
    config = load_config(None, flags, {}).config
    request = ReplayRequest(config, (data,), seed=0)
    out.mkdir(parents=True, exist_ok=True)
    session = Replay.over(request, open_data(request), RunDirectory(out), watched=True)
    source = Gated(session.source)
    options = DaemonOptions("test", load or (lambda: config), redact=redact)
    return Daemon(session, source, SystemClock(), options, observers, components), source


@contextlib.asynccontextmanager
async def running(daemon: Daemon, source: Gated) -> AsyncIterator[Running]:
    """The daemon runs while the context lasts, and is stopped at its end."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(daemon.run(), name="daemon")
        try:
            yield Running(daemon, source, task)
        finally:
            daemon.stop()
            await task


def environment(**extra: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{ROOT / 'daemon'}:{ROOT / 'tests'}"} | extra


def start(*arguments: object, cwd: Path, **extra: str) -> subprocess.Popen[str]:
    """`ztb ARGUMENTS` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "ztb", *map(str, arguments)], cwd=cwd, env=environment(**extra),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            process.send_signal(signal.SIGKILL)
            raise AssertionError(f"the daemon ended or hangs: {process.communicate()}")
        time.sleep(0.02)
