"""The distance of the venue's clock from ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ztb.errors import VenueError
from ztb.market.live.rest import Rest

_PROBES = 3


class VenueClock:
    """`skew_ms`: the venue's clock less ours, None until it was asked."""

    def __init__(self, rest: Rest, now_ns: Callable[[], int], every_s: float) -> None:
        self.skew_ms: float | None = None
        self._rest = rest
        self._now_ns = now_ns
        self._every_s = every_s

    async def run(self) -> None:
        """Ask now and then, until cancelled. Venues that do not tell their time are not asked."""
        if not self._rest.client.has.get("fetchTime"):
            return
        while True:
            await self.measure()
            await asyncio.sleep(self._every_s)

    async def measure(self) -> None:
        """Ask a few times; the quickest answer counts. Nothing changes if the venue does not answer."""
        try:
            answers = [await self._probe() for _ in range(_PROBES)]
        except VenueError:
            return
        _, self.skew_ms = min(answers)

    async def _probe(self) -> tuple[float, float]:
        before = self._now_ns()
        venue_ms = await self._rest.call(lambda client: client.fetch_time())
        after = self._now_ns()
        return (after - before) / 1e6, float(venue_ms) - (before + after) / 2e6
