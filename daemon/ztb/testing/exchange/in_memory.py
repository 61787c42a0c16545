"""The exchange below ccxt without sockets: requests and messages travel through memory, for as long as is drawn."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import urlsplit

from aiohttp import ClientOSError, ServerDisconnectedError

from ztb.ports import Clock
from ztb.testing.exchange.connections import Close, Output
from ztb.testing.exchange.gateway import CallOutcome, Gateway
from ztb.testing.memory_transport import MemoryReply, MemorySocket

_CUT = 1006
_LONGEST_S = 1.0  # between two looks whether anybody listens now
_MORE = 200  # things that happen at the market between two turns of the loop


class MemoryExchange:
    """A `MemoryVenue` in front of `gateway`. Run `run` as a task: it lets the market happen.

    `latency_s` draws how long one way takes, for each request, each answer and each message; messages of one
    socket keep their order. `down`: nobody connects and nobody is answered. `strays`: each POST breaks for the
    client at once while one is left, and arrives at the venue that many seconds later.
    """

    def __init__(self, gateway: Gateway, clock: Clock, latency_s: Callable[[], float]) -> None:
        self.gateway = gateway
        self.down = False
        self.strays: list[float] = []
        self._clock = clock
        self._latency_s = latency_s

    async def run(self) -> None:
        """Until cancelled."""
        exchange = self.gateway.exchange
        while True:
            behind = exchange.advance(_MORE)
            left_s = (exchange.next_due_ns - self._clock.now_ns()) / 1e9
            await asyncio.sleep(0.0 if behind else min(max(left_s, 1e-6), _LONGEST_S))

    async def request(self, method: str, url: str, body: str, headers: Mapping[str, str]) -> MemoryReply:
        """See `MemoryVenue`."""
        parts = urlsplit(url)
        params = "&".join(part for part in (parts.query, body) if part)
        arrive = partial(self.gateway.handle_request, method, parts.path, params, headers)
        late_s = self._latency_s()
        try:
            await asyncio.sleep(late_s)
        except asyncio.CancelledError:
            # Whoever sent it is gone; what was sent arrives.
            asyncio.get_running_loop().call_later(late_s, arrive)
            raise
        if self.down:
            raise ClientOSError(f"{url}: the venue is down")
        if method == "POST" and self.strays:
            asyncio.get_running_loop().call_later(self.strays.pop(0), arrive)
            raise ServerDisconnectedError
        reply = arrive()
        if reply.outcome is CallOutcome.RESET:
            raise ServerDisconnectedError
        never = reply.outcome is CallOutcome.NO_ANSWER
        delay_s = math.inf if never else self._latency_s() + reply.delay_s
        response = reply.response
        return MemoryReply(response.body.decode(), response.status, dict(response.headers), delay_s)

    def connect(self, url: str, socket: MemorySocket) -> None:
        """See `MemoryVenue`."""
        if self.down:
            raise ClientOSError(f"{url}: the venue is down")
        loop = asyncio.get_running_loop()
        free_s = loop.time()  # the moment from which on the next message may arrive
        # Timers of one moment ring in any order: what arrives at each is what was sent first.
        on_the_way: deque[Output] = deque()

        def deliver(output: Output) -> None:
            nonlocal free_s
            late_s = 0.0 if isinstance(output, Close) else output.delay_s
            free_s = max(free_s, loop.time() + self._latency_s()) + late_s
            on_the_way.append(output)
            loop.call_at(free_s, lambda: _arrive(socket, on_the_way.popleft()))

        connection = self.gateway.connect(urlsplit(url).path, deliver)
        socket.answers_pings = self.gateway.answers_pings
        socket.left = lambda: self.gateway.disconnect(connection)
        socket.heard = lambda text: self.gateway.receive(connection, text)


def _arrive(socket: MemorySocket, output: Output) -> None:
    if isinstance(output, Close):
        socket.hang_up(_CUT if output.code is None else output.code)
    else:
        socket.say(output.text)
