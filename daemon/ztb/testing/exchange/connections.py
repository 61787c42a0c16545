"""Open websockets as the venue sees them: what each is subscribed to, and how it is written to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec


@dataclass(frozen=True, slots=True)
class WebSocketFrame:
    """A message for a client. `stream` is the stream it belongs to, "user", or "answer" to a request.

    `delay_s` is by how much it is late; what follows on the connection waits for it.
    """

    text: str
    stream: str = "answer"
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Close:
    """The connection ends here; without a `code` it is cut."""

    code: int | None = 1001
    reason: str = ""


Output = WebSocketFrame | Close
Deliver = Callable[[Output], None]


@dataclass(slots=True, eq=False)
class Connection:
    """One websocket. `wrapped`: messages name their stream (paths that begin with /stream)."""

    path: str
    deliver: Deliver
    streams: set[str] = field(default_factory=set[str])
    user_subscription: int | None = None

    @property
    def is_api(self) -> bool:
        """A socket of requests and the user stream, not of market data."""
        return self.path.startswith("/ws-api/")

    @property
    def wrapped(self) -> bool:
        """True if messages carry the name of their stream."""
        return self.path.startswith("/stream")


def encode(message: object) -> str:
    """JSON text."""
    return msgspec.json.encode(message).decode()


@dataclass(slots=True)
class Connections:
    """All that are open."""

    open: dict[Connection, None] = field(default_factory=dict[Connection, None])

    def wants(self, stream: str) -> bool:
        """True if anybody listens to `stream`."""
        return any(stream in connection.streams for connection in self.open)

    def wanted(self) -> set[str]:
        """Every stream that anybody listens to."""
        return set[str]().union(*(connection.streams for connection in self.open))

    def publish(self, stream: str, message: object) -> None:
        """One message to all that listen to `stream`."""
        text = encode(message)
        for connection in list(self.open):
            if stream in connection.streams:
                whole = f'{{"stream":"{stream}","data":{text}}}' if connection.wrapped else text
                connection.deliver(WebSocketFrame(whole, stream))

    def publish_user(self, event: object) -> None:
        """One event of the user stream."""
        text = encode(event)
        for connection in self.users():
            whole = f'{{"subscriptionId":{connection.user_subscription},"event":{text}}}'
            connection.deliver(WebSocketFrame(whole, "user"))

    def users(self) -> Iterator[Connection]:
        """Connections that have subscribed to the user stream."""
        return (c for c in list(self.open) if c.user_subscription is not None)
