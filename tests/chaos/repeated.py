"""One seed is one run: what a daemon has of the machine is the seed's instead, and a trace tells two runs apart."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast
from unittest.mock import patch

from ztb.config import Config
from ztb.ledger.journal import Journal
from ztb.ports import Clock
from ztb.runtime.build.context import run_id_of
from ztb.runtime.modes import paper
from ztb.testing.exchange.gateway import Gateway
from ztb.testing.exchange.in_memory import MemoryExchange
from ztb.testing.memory_transport import MemoryReply
from ztb.utils.checkpoint import save_queue

_PATIENCE_S = 60.0


def _run_id(config: Config, seed: int, now: str, _folder: str) -> str:
    """Of a run, wherever its folder is."""
    return run_id_of(config, seed, now)


class _Writer:
    """In place of the thread that saves: its calls are work of the loop's, each in its turn."""

    def __init__(self, _name: str) -> None:
        self._calls: deque[Callable[[], None]] = deque()

    def submit(self, call: Callable[[], None]) -> None:
        self._calls.append(call)
        asyncio.get_running_loop().run_in_executor(None, self._next)

    def close(self) -> None:
        while self._calls:
            self._next()

    def _next(self) -> None:
        if self._calls:
            self._calls.popleft()()


@contextmanager
def repeatable() -> Generator[None]:
    """While it lasts, daemons have no thread that tells the loop of anything, and no folder in their run's id."""
    with patch.object(paper, "run_id_of", _run_id), patch.object(save_queue, "WriterThread", _Writer):
        yield


def written(journal: Journal) -> None:
    """Wait until what `journal` has handed to its writer is on disk: how far that is hangs on the machine, else."""
    done = threading.Event()
    cast(Any, journal)._queue.put(done.set)
    assert done.wait(_PATIENCE_S)


class TracedExchange(MemoryExchange):
    """Keeps a digest of each request, and of its moment."""

    def __init__(self, gateway: Gateway, clock: Clock, latency_s: Callable[[], float]) -> None:
        super().__init__(gateway, clock, latency_s)
        self._moments = clock
        self.trace = hashlib.sha256()

    async def request(self, method: str, url: str, body: str, headers: Mapping[str, str]) -> MemoryReply:
        """See `MemoryVenue`."""
        self.trace.update(f"{self._moments.now_ns()} {method} {url} {body}\n".encode())
        return await super().request(method, url, body, headers)
