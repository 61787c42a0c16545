"""One connection to a broker, as the observer needs it; aiomqtt stands behind it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import aiomqtt

from ztb.errors import ConfigError
from ztb.telemetry.mqtt.topics import Topic

_TIMEOUT_S = 10.0
_FAREWELL_S = 1.0
_WAITING_COMMANDS = 64


class LinkLost(Exception):
    """The broker is not there, does not answer, or sent us away."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that was received."""

    payload: bytes
    retained: bool


class Link(Protocol):
    """A live connection; each call raises LinkLost when it is no more."""

    async def publish(self, topic: Topic, payload: bytes) -> None:
        """Return when the broker has it (QoS 1) or the socket took it (QoS 0)."""
        ...

    async def subscribe(self, topic: str) -> bool:
        """Subscribe; True if the broker lets us."""
        ...

    def messages(self) -> AsyncIterator[Incoming]: ...


Connect = Callable[[Topic, bytes], AbstractAsyncContextManager[Link]]
"""Makes a connection whose last will is the given message."""


@dataclass(frozen=True, slots=True)
class Address:
    """The address of the broker, and how it knows us."""

    host: str
    port: int
    identifier: str
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    keepalive_s: int = 15


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """TLS that verifies the broker's name and certificate, by `ca_file` or by the system's authorities."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"mqtt.ca_file: {ca_file}: no certificates can be read from it: {error}") from None


@contextmanager
def _translated() -> Generator[None]:
    """aiomqtt's errors as LinkLost.

    The `asyncio.wait_for` of Python 3.11, which aiomqtt waits with, forgets a cancellation that comes together with
    the result; without this, a task that publishes all the time might never end.
    """
    task = asyncio.current_task()
    cancelled_before = 0 if task is None else task.cancelling()
    try:
        yield
    except aiomqtt.MqttError as error:
        raise LinkLost(str(error)) from error
    if task is not None and task.cancelling() > cancelled_before:
        raise asyncio.CancelledError


class _AiomqttLink:
    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client

    async def publish(self, topic: Topic, payload: bytes) -> None:
        with _translated():
            await self._client.publish(topic.name, payload, topic.qos, topic.retain)

    async def subscribe(self, topic: str) -> bool:
        with _translated():
            granted = await self._client.subscribe(topic, qos=1)
        return not any(getattr(code, "is_failure", code == 0x80) for code in granted)

    async def messages(self) -> AsyncIterator[Incoming]:
        with _translated():
            async for message in self._client.messages:
                yield Incoming(message.payload, message.retain)


def connecting(address: Address) -> Connect:
    """Connections to `address`."""

    @asynccontextmanager
    async def connect(will: Topic, payload: bytes) -> AsyncGenerator[Link]:
        client = aiomqtt.Client(
            address.host,
            address.port,
            username=address.username,
            password=address.password,
            identifier=address.identifier,
            will=aiomqtt.Will(will.name, payload, will.qos, will.retain),
            tls_context=address.tls,
            keepalive=address.keepalive_s,
            timeout=_TIMEOUT_S,
            max_queued_incoming_messages=_WAITING_COMMANDS,
        )
        with _translated():
            async with client:
                try:
                    yield _AiomqttLink(client)
                finally:
                    client.timeout = _FAREWELL_S  # a broker that has gone answers no farewell

    return connect
