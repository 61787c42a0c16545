"""Holds new risk back while the market cannot be seen well: a stream is stale, or the venue's clock is not ours."""

from __future__ import annotations

from collections.abc import Callable

from ztb.execution.risk import RiskMemory
from ztb.runtime.live_market import LiveMarket

Warn = Callable[[str, str], None]
"""Hears of a change: its key and what happened, in words."""

STALE, SKEWED = "stale market data", "clock skew"


class MarketGuard:
    """Called a few times a second; `memory` is the gate's, `warn` hears when a hold begins and ends."""

    def __init__(self, market: LiveMarket, memory: RiskMemory, max_skew_ms: float, warn: Warn) -> None:
        self._market = market
        self._memory = memory
        self._max_skew_ms = max_skew_ms
        self._warn = warn

    def __call__(self) -> None:
        stale = [health.name for health in self._market.source.health if health.stale]
        self._hold(STALE, bool(stale), f"no new risk: {', '.join(stale)} stale")
        skew_ms = self._market.source.clock.skew_ms or 0.0
        text = f"no new risk: the venue's clock is {skew_ms:+.0f} ms from ours; mend ours with NTP"
        self._hold(SKEWED, abs(skew_ms) > self._max_skew_ms, text)

    def _hold(self, name: str, wanted: bool, text: str) -> None:
        holds = self._memory.holds
        if wanted and name not in holds:
            holds.add(name)
            self._warn(name.replace(" ", "_"), text)
        elif not wanted and name in holds:
            holds.discard(name)
            self._warn(name.replace(" ", "_"), f"over: {name}")
