"""Cancels our orders when we are gone, and covers what they leave: the venue's own switch where it has one, else a
process that outlives us.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from ztb.config import Config, MarketSection
from ztb.errors import VenueError
from ztb.execution.orders import PROTECTIVE_FROM
from ztb.market.instrument import Instrument
from ztb.runtime.sources.live import traded_symbol
from ztb.runtime.venue.gateway import OrderGateway
from ztb.runtime.venue.protection import Protection
from ztb.runtime.venue.watchdog import FLOOR, Cover, LeftBehind

_FROM = 2 * PROTECTIVE_FROM
"""Numbers of a watchdog's stops. A start has one at most, and the next start counts it with the others."""
_BEATS = 3  # a switch's time is divided into


class VenueSwitch:
    """Tells the venue again and again to cancel everything `after_s` from now."""

    def __init__(self, gateway: OrderGateway, after_s: float) -> None:
        self._gateway = gateway
        self._after_s = after_s

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.set(self._after_s)
            await asyncio.sleep(self._after_s / _BEATS)

    async def set(self, after_s: float) -> None:
        """Cancel everything in `after_s`; 0: never mind. A venue that does not answer will do it, then."""
        client = self._gateway.client
        try:
            await self._gateway.rest.call(lambda _client: client.cancel_all_orders_after(int(after_s * 1000)))
        except VenueError:
            return

    async def release(self) -> None:
        """We leave on purpose."""
        await self.set(0.0)


def dead_man_of(
    config: Config,
    gateway: OrderGateway,
    protection: Protection | None = None,
    folder: Path = Path(),
    stops: int = 0,
) -> VenueSwitch | Watchdog:
    """The switch of that venue, for the run in `folder`, `stops` having been placed before this start.

    A venue's own switch would cancel the protective stop with all else: where there are stops, it is the watchdog.
    """
    protected = protection is not None and protection.supported
    if gateway.client.has.get("cancelAllOrdersAfter") and not protected:
        return VenueSwitch(gateway, config.execution.dead_man_s)
    symbol, prefix = traded_symbol(config.market), gateway.table.prefix
    if protection is None or not protected:
        return Watchdog(config.market, symbol, prefix)
    cover = _cover(gateway.broker.instrument, folder, prefix, _FROM + stops + 1)
    return Watchdog(
        market=config.market, symbol=symbol, prefix=prefix, cover=cover, floor=lambda: protection.floor
    )


def _cover(instrument: Instrument, folder: Path, prefix: str, number: int) -> Cover:
    return Cover(
        folder=str(folder.resolve()),
        order_id=number,
        client_id=f"{prefix}{number}",
        base=instrument.base,
        quote=instrument.quote,
        lot_size=str(instrument.lot_size),
        tick_size=str(instrument.tick_size),
        min_notional=str(instrument.min_notional),
        min_quantity=str(instrument.min_quantity),
    )


class Watchdog:
    """A process that waits for ours to end, however it ends, then cancels our orders, and puts the stop back."""

    def __init__(
        self,
        market: MarketSection,
        symbol: str,
        prefix: str,
        cover: Cover | None = None,
        floor: Callable[[], float] = float,
    ) -> None:
        """`floor`: the equity (quote currency) that stops keep, 0 while there is none."""
        self.left = LeftBehind(market.model_dump(mode="json"), symbol, prefix, cover)
        self.floor = floor
        self._told = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._released = False

    async def run(self) -> None:
        """Start it, and look that it lives, until cancelled; one that dies is started again."""
        while not self._released:
            if self._process is None or self._process.poll() is not None:
                self._bury()
                self._process = self._start()
            self._tell()
            await asyncio.sleep(1.0)

    async def release(self) -> None:
        """We leave on purpose: nothing is to be cancelled any more."""
        self._released = True
        process = self._process
        if process is not None and process.stdin is not None:
            await asyncio.to_thread(process.communicate, b"released\n")

    def _tell(self) -> None:
        """Of a floor that has changed."""
        floor, process = self.floor(), self._process
        if floor == self._told or process is None or process.stdin is None:
            return
        self._told = floor
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(f"{FLOOR}{floor!r}\n".encode())
            process.stdin.flush()

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "ztb.runtime.venue.watchdog"],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # dead already: the next look finds out
                process.stdin.write(msgspec.json.encode(self.left) + b"\n")
                process.stdin.flush()
        self._told = 0.0
        return process

    def _bury(self) -> None:
        """Close what is left of a process that died."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
