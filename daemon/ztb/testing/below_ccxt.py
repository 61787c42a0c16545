"""ccxt on a network and a clock of ours: its clients are as they are, only what is below them is not the machine's."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import aiohttp

from ztb.testing.memory_transport import MemorySession, MemoryVenue


@contextmanager
def below_ccxt(venue: MemoryVenue, now_ns: Callable[[], int]) -> Generator[None]:
    """While it lasts, every async client of ccxt reaches `venue` alone and reads `now_ns` as the time."""

    def seconds() -> float:
        return now_ns() / 1e9

    def session(**_options: Any) -> MemorySession:
        return MemorySession(venue)

    network = SimpleNamespace(**{**vars(aiohttp), "ClientSession": session, "TCPConnector": session})
    with (
        patch("ccxt.base.exchange.time", SimpleNamespace(time=seconds, time_ns=now_ns)),
        patch("ccxt.async_support.base.throttler.time", seconds),
        patch("ccxt.async_support.base.exchange.aiohttp", network),
    ):
        yield
