"""A source with a valve: the engine reads its blocks until they end or somebody stops them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from ztb.market.instrument import Instrument
from ztb.market.ticks import Ticks
from ztb.ports import Source

_BLOCKS = 8


class StoppableSource:
    """Hands on the blocks of `source`, which `pump` reads in a task of its own.

    At most eight blocks wait; then the pump waits, and what overflows is the source's own affair. A stop takes
    effect after the block that is being consumed: what waits behind it is not traded on.
    """

    def __init__(self, source: Source) -> None:
        self.instrument: Instrument = source.instrument
        self.stopped = False
        self.taken = 0
        """Blocks handed on."""
        self._source = source
        self._queue: asyncio.Queue[Ticks | None] = asyncio.Queue(_BLOCKS)

    @property
    def waiting(self) -> bool:
        """True if there is anything to hand on."""
        return not self._queue.empty()

    async def pump(self) -> None:
        """Read the source to its end."""
        async for block in self._source.blocks():
            await self._queue.put(block)
        await self._queue.put(None)

    def stop(self) -> None:
        """End `blocks`; may be called again."""
        self.stopped = True
        while self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def blocks(self) -> AsyncIterator[Ticks]:
        """See `ports.Source`."""
        while not self.stopped:
            block = await self._queue.get()
            if block is None:
                return
            self.taken += 1
            yield block
