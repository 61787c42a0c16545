"""Rows received and not yet handed on: in arrival order, on event time, with their receive times."""

from __future__ import annotations

import asyncio

import numpy as np
from numpy.typing import NDArray

from ztb.market.live.rows import UNTIMED
from ztb.market.ticks import Flag, Ticks, join_ticks

_NO_TIME = int(Flag.NO_TIME)
_SUSPECT = int(Flag.NO_TIME | Flag.TAINTED)
_AHEAD_NS = 60 * 10**9


class Intake:
    """Between the streams and the engine. At most `capacity` rows wait.

    When it is full, streams wait in `room` before they read on: books and quotes are then seen at their latest,
    trades wait in ccxt's own cache. Nothing that was put here is ever dropped.
    """

    def __init__(self, capacity: int) -> None:
        self.waiting = 0
        self.rows = 0
        self.crowded = 0
        self.ahead = 0
        self.last_ns = 0
        self._capacity = capacity
        self._ticks: list[Ticks] = []
        self._recv_ns: list[NDArray[np.int64]] = []
        self._filled = asyncio.Event()
        self._taken = asyncio.Event()
        self._closed = False

    def put(self, ticks: Ticks, recv_ns: int) -> None:
        """Take (n,) rows received at `recv_ns`; they are put on event time in place.

        A time more than a minute ahead of our clock is the venue's fault: such a row goes without one, tainted.
        """
        if len(ticks) == 0:
            return
        self._on_event_time(ticks, recv_ns)
        self._ticks.append(ticks)
        self._recv_ns.append(np.full(len(ticks), recv_ns, np.int64))
        self.waiting += len(ticks)
        self.rows += len(ticks)
        self._filled.set()

    def _on_event_time(self, ticks: Ticks, recv_ns: int) -> None:
        times = ticks["ts_ns"]
        ahead = times > recv_ns + _AHEAD_NS
        if ahead.any():
            self.ahead += int(ahead.sum())
            ticks["flags"][ahead] |= _SUSPECT
            times[ahead] = UNTIMED
        untimed = times < 0
        if untimed.any():
            ticks["flags"][untimed] |= _NO_TIME
        # Before the first time is known, our own clock stands in for the venue's.
        floor = self.last_ns or (recv_ns if untimed[0] else 0)
        np.maximum.accumulate(np.maximum(times, floor), out=times)
        self.last_ns = int(times[-1])

    async def room(self) -> None:
        """Return when fewer rows than the capacity wait."""
        if self.waiting >= self._capacity:
            self.crowded += 1
        while self.waiting >= self._capacity:
            self._taken.clear()
            await self._taken.wait()

    async def filled(self) -> bool:
        """Return True when a row waits, False when none will come any more."""
        while not self._ticks:
            if self._closed:
                return False
            self._filled.clear()
            await self._filled.wait()
        return True

    def take(self, most: int) -> tuple[Ticks, NDArray[np.int64]]:
        """The rows that wait, at most `most`, and when each was received."""
        ticks, recv_ns = join_ticks(self._ticks), np.concatenate(self._recv_ns)
        self._ticks, self._recv_ns = ([], []) if len(ticks) <= most else ([ticks[most:]], [recv_ns[most:]])
        self.waiting = max(0, len(ticks) - most)
        self._taken.set()
        return ticks[:most], recv_ns[:most]

    def close(self) -> None:
        """No more rows come; those that wait can still be taken."""
        self._closed = True
        self._filled.set()
