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

from ztb.config import Config
from ztb.errors import VenueError
from ztb.execution.orders import PROTECTIVE_FROM
from ztb.market.instrument import Instrument
from ztb.runtime.sources.live import traded_symbol
from ztb.runtime.venue.gateway import OrderGateway
from ztb.runtime.venue.left_behind import FLOOR, RELEASED, Cover, LeftBehind
from ztb.runtime.venue.protection import Protection

_FROM = 2 * PROTECTIVE_FROM
"""Numbers of a watchdog's stops. The next start counts those of a start with its own, and begins beyond them."""
_BEATS = 3  # a switch's time is divided into
_LOOK_S = 1.0  # between two looks whether the watchdog lives


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

    def tell(self) -> None:
        """Of a floor: there is none where the venue's switch is set."""

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
    left = LeftBehind(
        market=config.market.model_dump(mode="json"),
        symbol=(symbol := traded_symbol(config.market)),
        prefix=gateway.table.prefix,
        folder=str(folder.resolve()),
        listed=gateway.client.market(symbol),
        patience_s=gateway.patience_s,
    )
    if protection is None or not protected:
        return Watchdog(left)
    cover = _cover(gateway.broker.instrument, _FROM + stops + 1)
    return Watchdog(msgspec.structs.replace(left, cover=cover), lambda: protection.floor)


def _cover(instrument: Instrument, number: int) -> Cover:
    return Cover(
        order_id=number,
        base=instrument.base,
        quote=instrument.quote,
        lot_size=str(instrument.lot_size),
        tick_size=str(instrument.tick_size),
        min_notional=str(instrument.min_notional),
        min_quantity=str(instrument.min_quantity),
    )


class Watchdog:
    """A process that waits for ours to end, however it ends, then cancels our orders, and puts the stop back."""

    def __init__(self, left: LeftBehind, floor: Callable[[], float] = float) -> None:
        """`floor`: the equity (quote currency) that stops keep, 0 while there is none."""
        self.left = left
        self._floor = floor
        self._told = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._released = False

    async def run(self) -> None:
        """Start it, and look that it lives, until cancelled; one that dies is started again."""
        while not self._released:
            if self._process is None or self._process.poll() is not None:
                self._bury()
                self._process = self._start()
                self._told = 0.0
                self._say(msgspec.json.encode(self.left).decode())
            self.tell()
            await asyncio.sleep(_LOOK_S)

    async def release(self) -> None:
        """We leave on purpose: nothing is to be cancelled any more."""
        self._released = True
        process = self._process
        if process is not None and process.stdin is not None:
            await asyncio.to_thread(process.communicate, f"{RELEASED}\n".encode())

    def tell(self) -> None:
        """Tell it of a floor that has changed. What is told is with it, whatever becomes of us in the next moment."""
        floor = self._floor()
        if floor != self._told and self._process is not None:
            self._told = floor
            self._say(f"{FLOOR}{floor!r}")

    def _say(self, line: str) -> None:
        """To a process that may be dead already: the next look finds out."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(f"{line}\n".encode())
                self._process.stdin.flush()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "ztb.runtime.venue.watchdog"],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def _bury(self) -> None:
        """Close what is left of a process that died."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
