"""REST calls to one venue: throttled by ccxt, patient with refusals, and never a word more while one holds.

Also here: how long to wait before trying again: longer each time, never in step with others.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ztb.errors import ConfigError, InvariantError, VenueError
from ztb.market.live.client import VenueClient, close_client
from ztb.market.live.exchanges import ccxt_errors


class Backoff:
    """Waits that double from `first_s` up to `most_s`, each scaled by a factor between a half and one.

    `uniform` draws from [0, 1). Libraries that retry (tenacity, stamina) draw from Python's global generator and keep
    the loop to themselves; here randomness is given, and between two tries the health of the stream is told.
    """

    def __init__(self, first_s: float, most_s: float, uniform: Callable[[], float]) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._uniform = uniform
        self._failures = 0

    def next_s(self) -> float:
        """Seconds to wait after one more failure."""
        whole = min(self._most_s, self._first_s * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return whole * (0.5 + 0.5 * self._uniform())

    def reset(self) -> None:
        """It works again."""
        self._failures = 0


_T = TypeVar("_T")
_TRIES = 5
_REFUSED: tuple[type[Exception], ...] = (ccxt_errors.RateLimitExceeded, ccxt_errors.DDoSProtection)
_OURS: tuple[type[Exception], ...] = (
    ccxt_errors.AuthenticationError, ccxt_errors.BadSymbol, ccxt_errors.NotSupported,
    ccxt_errors.ArgumentsRequired,
)  # fmt: skip


def _without_query(error: Exception) -> str:
    """An error's text up to the question mark of an address: after it stands the signature of a request."""
    return re.sub(r"(https?://[^\s?]+)\?\S+", r"\1?…", str(error))


class Rest:
    """Calls `client`, which stays open. After a refusal (429, 418) all calls wait until it is over."""

    def __init__(self, client: VenueClient, backoff: Callable[[], Backoff]) -> None:
        self.client = client
        self.refusals = 0
        self.failures = 0
        self._backoff = backoff
        self._not_before = 0.0

    async def call(self, request: Callable[[VenueClient], Awaitable[_T]]) -> _T:
        """The answer to `request`, tried again where that may help.

        VenueError if the venue refuses or fails five times; ConfigError if it says that we asked wrongly.
        """
        backoff = self._backoff()
        for left in range(_TRIES - 1, -1, -1):
            await self._wait()
            try:
                return await request(self.client)
            except _OURS as error:
                raise ConfigError(f"{self.client.id}: {error}") from error
            except (ccxt_errors.BaseError, OSError) as error:
                if left == 0:
                    raise VenueError(
                        f"{self.client.id}: {type(error).__name__}: {_without_query(error)}"
                    ) from error
                await self._pause(error, backoff.next_s())
        raise InvariantError("the last try returns or raises")

    async def _pause(self, error: Exception, seconds: float) -> None:
        """Wait before the next try; after a refusal everybody does, as long as the venue says."""
        if isinstance(error, _REFUSED):
            self.refusals += 1
            self._hold(self._retry_after_s() or seconds)
        else:
            self.failures += 1
            await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Close the client."""
        await close_client(self.client)

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        # While we wait, another call may be refused and put it off further.
        while (left := self._not_before - loop.time()) > 0.0:  # noqa: ASYNC110
            await asyncio.sleep(left)

    def _hold(self, seconds: float) -> None:
        self._not_before = max(self._not_before, asyncio.get_running_loop().time() + seconds)

    def _retry_after_s(self) -> float:
        headers: Any = getattr(self.client, "last_response_headers", None) or {}
        told = next((value for name, value in headers.items() if name.lower() == "retry-after"), "0")
        return float(told) if str(told).replace(".", "", 1).isdigit() else 0.0
