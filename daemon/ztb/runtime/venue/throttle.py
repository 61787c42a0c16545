"""The rate limit of the account's client: orders and cancels have a budget of their own, and wait for nothing else.

ccxt's own throttle is one queue: an order waits behind the trades that reconciliation asks for, and what was not asked
while nobody had a question is not made up for. Here both halves of the venue's rate fill while nothing is sent.

Also here: connections kept open, so that an order pays for no handshake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ztb.runtime.venue.client import PrivateClient

_ORDERS_SHARE = 0.5  # of the venue's rate
_ORDERS_AT_ONCE = 5.0  # in ccxt's unit of cost, one of which takes `rateLimit` milliseconds
_QUESTIONS_AT_ONCE = 1.0  # as ccxt has it

_is_order: ContextVar[bool] = ContextVar("is_order", default=False)


@contextmanager
def as_order() -> Generator[None]:
    """Count requests to the venue in this context as an order or a cancel."""
    token = _is_order.set(True)
    try:
        yield
    finally:
        _is_order.reset(token)


class Budget:
    """A leaky bucket: `rate` units of cost come back a second, at most `at_once` are saved up."""

    def __init__(self, rate: float, at_once: float) -> None:
        self._rate = rate
        self._at_once = at_once
        self._left = at_once
        self._counted_s = 0.0

    def take(self, cost: float, now_s: float) -> float:
        """Spend `cost`; seconds to wait before it may be sent. Who comes later waits longer."""
        self._left = min(self._at_once, self._left + (now_s - self._counted_s) * self._rate)
        self._counted_s = now_s
        wait_s = max(0.0, -self._left / self._rate)
        self._left -= cost
        return wait_s


class OrdersFirst:
    """In the place of ccxt's `Throttler`: two budgets out of the venue's rate, one of them for orders alone.

    `bucket` is ccxt's `tokenBucket`: units a millisecond (`refillRate`), the cost of a call that tells none (`cost`).
    """

    def __init__(self, bucket: dict[str, Any]) -> None:
        rate = float(bucket["refillRate"]) * 1000.0
        self.loop: Any = None  # ccxt writes its own there
        self._cost = float(bucket["cost"])
        self._orders = Budget(rate * _ORDERS_SHARE, _ORDERS_AT_ONCE)
        self._questions = Budget(rate * (1.0 - _ORDERS_SHARE), _QUESTIONS_AT_ONCE)

    async def __call__(self, cost: float | None = None) -> None:
        """Return when a call of that cost may be sent."""
        budget = self._orders if _is_order.get() else self._questions
        wait_s = budget.take(self._cost if cost is None else cost, asyncio.get_running_loop().time())
        if wait_s > 0.0:
            await asyncio.sleep(wait_s)


_KEPT_OPEN = 2  # one may be busy with a question when an order leaves
_BEAT_S = 10.0  # aiohttp closes what was idle for 15 s, venues after some more


async def keep_warm(client: PrivateClient) -> None:
    """Ask the venue's time now and then, on two connections at once, until cancelled: so they stay open.

    Venues that do not tell their time are not asked: there, an order after a pause opens its connection anew.
    """
    while client.has.get("fetchTime"):
        await warm(client)
        await asyncio.sleep(_BEAT_S)
    await asyncio.Event().wait()


async def warm(client: PrivateClient) -> None:
    """Open the connections, or use them once.

    What a venue answers, or an answer makes of ccxt, is not ours to judge here: nobody needs the time that it tells.
    """
    with as_order():  # whose budget lets them go at once: one after the other would share a connection
        asked = [asyncio.ensure_future(client.fetch_time()) for _ in range(_KEPT_OPEN)]
    for answer in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(answer, BaseException) and not isinstance(answer, Exception):
            raise answer
