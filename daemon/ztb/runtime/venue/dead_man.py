"""Cancels our orders when we are gone: the venue's own switch where it has one, else a process that outlives us."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys

from ztb.config import MarketSection
from ztb.errors import VenueError
from ztb.runtime.venue.broker import VenueBroker

_BEATS = 3  # a switch's time is divided into


class VenueSwitch:
    """Tells the venue again and again to cancel everything `after_s` from now."""

    def __init__(self, broker: VenueBroker, after_s: float) -> None:
        self._broker = broker
        self._after_s = after_s

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.set(self._after_s)
            await asyncio.sleep(self._after_s / _BEATS)

    async def set(self, after_s: float) -> None:
        """Cancel everything in `after_s`; 0: never mind. A venue that does not answer will do it, then."""
        client = self._broker.client
        try:
            await self._broker.rest.call(lambda _client: client.cancel_all_orders_after(int(after_s * 1000)))
        except VenueError:
            return

    async def release(self) -> None:
        """We leave on purpose."""
        await self.set(0.0)


class Watchdog:
    """A process that waits for ours to end, however it ends, and then cancels our orders."""

    def __init__(self, market: MarketSection, symbol: str, prefix: str) -> None:
        self._orders = json.dumps(
            {"market": market.model_dump(mode="json"), "symbol": symbol, "prefix": prefix}
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._released = False

    async def run(self) -> None:
        """Start it, and look that it lives, until cancelled; one that dies is started again."""
        while not self._released:
            if self._process is None or self._process.poll() is not None:
                self._bury()
                self._process = self._start()
            await asyncio.sleep(1.0)

    async def release(self) -> None:
        """We leave on purpose: nothing is to be cancelled any more."""
        self._released = True
        process = self._process
        if process is not None and process.stdin is not None:
            await asyncio.to_thread(process.communicate, b"released\n")

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "ztb.runtime.venue.watchdog"],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # dead already: the next look finds out
                process.stdin.write(self._orders.encode() + b"\n")
                process.stdin.flush()
        return process

    def _bury(self) -> None:
        """Close what is left of a process that died."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
