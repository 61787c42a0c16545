"""A transport in memory below ccxt: an unmodified client, no socket, any clock.

`MemorySession(venue)` is what ccxt takes as `session`. The venue answers requests and talks through sockets; see
`MemoryVenue`.

Also here: ccxt on a network and a clock of ours: its clients are as they are, only what is below them is not the
machine's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol
from unittest.mock import patch

import aiohttp
from aiohttp import WSMessage, WSMsgType

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


_NORMAL = 1000


@dataclass(frozen=True, slots=True)
class MemoryReply:
    """A venue's answer to a request: `body` is JSON text, on its way for `delay_s`."""

    body: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])
    delay_s: float = 0.0


class MemoryVenue(Protocol):
    """The far end. Either method may raise what aiohttp raises when a network fails."""

    async def request(self, method: str, url: str, body: str, headers: Mapping[str, str]) -> MemoryReply:
        """Answer a request."""
        ...

    def connect(self, url: str, socket: MemorySocket) -> None:
        """A client has connected: `socket.heard` gets what it says, `socket.say` tells it something."""
        ...


class MemorySocket:
    """One websocket, both ends: the client's as aiohttp has it; the venue's `say`, `hang_up`, `heard`, `left`.

    `answers_pings` says whether the network is there at all.
    """

    def __init__(self) -> None:
        self.closed = False
        self.heard: Callable[[str], None] = lambda _text: None
        self.left: Callable[[], None] = lambda: None
        self.answers_pings: Callable[[], bool] = lambda: True
        self._conn = None  # where ccxt looks for aiohttp's buffer
        self._queue: asyncio.Queue[WSMessage] = asyncio.Queue()

    def say(self, text: str) -> None:
        """The venue sends `text`."""
        if not self.closed:
            self._queue.put_nowait(WSMessage(WSMsgType.TEXT, text, None))

    @property
    def unread(self) -> int:
        """The number of messages that the client has not read yet."""
        return self._queue.qsize()

    def hang_up(self, code: int = _NORMAL) -> None:
        """The venue closes the connection."""
        self._queue.put_nowait(WSMessage(WSMsgType.CLOSE, code, None))

    async def receive(self) -> WSMessage:
        """The client waits for the next message."""
        return await self._queue.get()

    async def send_str(self, text: str) -> None:
        """The client says `text`."""
        self.heard(text)

    async def ping(self, message: bytes = b"") -> None:
        """The client asks whether anybody is there; a network that is there answers at once."""
        if self.answers_pings():
            self._queue.put_nowait(WSMessage(WSMsgType.PONG, message, None))

    async def pong(self, message: bytes = b"") -> None:
        """The client answers a ping."""

    async def close(self) -> None:
        """The client leaves; whoever waits for a message is told so."""
        if not self.closed:
            self._queue.put_nowait(WSMessage(WSMsgType.CLOSING, None, None))
        self.closed = True
        self.left()


class _Response:
    """An answer as ccxt reads it."""

    def __init__(self, reply: MemoryReply) -> None:
        self.status = reply.status
        self.reason = ""
        self.headers = {"Content-Type": "application/json", **reply.headers}
        self.content = reply.body.encode()

    async def text(self, errors: str = "strict") -> str:
        """The body."""
        return self.content.decode(errors=errors)


class MemorySession:
    """In the place of aiohttp's session."""

    def __init__(self, venue: MemoryVenue) -> None:
        self.headers: dict[str, str] = {}
        self._venue = venue

    def __getattr__(self, name: str) -> Any:
        if name not in ("get", "post", "put", "delete", "patch"):
            raise AttributeError(name)

        @asynccontextmanager
        async def request(
            url: Any, data: Any = None, headers: Any = None, **options: Any
        ) -> AsyncGenerator[_Response]:
            body = data.decode() if isinstance(data, bytes) else str(data or "")
            patience: Any = options.get("timeout")
            async with asyncio.timeout(None if patience is None else patience.total):
                reply = await self._venue.request(name.upper(), str(url), body, headers or {})
                await asyncio.sleep(reply.delay_s)
            yield _Response(reply)

        return request

    @asynccontextmanager
    async def ws_connect(self, url: str, **_options: Any) -> AsyncGenerator[MemorySocket]:
        """Connect a websocket."""
        socket = MemorySocket()
        self._venue.connect(url, socket)
        yield socket

    async def close(self) -> None:
        """Nothing to close."""


@contextmanager
def below_ccxt(venue: MemoryVenue, now_ns: Callable[[], int]) -> Generator[None]:
    """While it lasts, every async client of ccxt reaches `venue` alone and reads `now_ns` as the time."""

    def seconds() -> float:
        return now_ns() / 1e9

    def session(**_options: Any) -> MemorySession:
        return MemorySession(venue)

    network = SimpleNamespace(**{**vars(aiohttp), "ClientSession": session, "TCPConnector": session})
    with (
        patch("ccxt.base.exchange.time", SimpleNamespace(time=seconds, time_ns=now_ns)),
        patch("ccxt.async_support.base.throttler.time", seconds),
        patch("ccxt.async_support.base.exchange.aiohttp", network),
    ):
        yield
