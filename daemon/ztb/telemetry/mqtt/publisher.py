"""Publishes the daemon over MQTT and takes its commands, whatever the broker does.

Also here: what waits to be published: bounded, whatever the broker does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Generic, NoReturn, TypeVar

import structlog

from ztb.control import Controls
from ztb.ledger.records import DecisionRow, FillRow, GenerationRow, Record
from ztb.telemetry.mqtt.commands import Commands
from ztb.telemetry.mqtt.connection import Connect, Link, LinkLost
from ztb.telemetry.mqtt.payloads import (
    Acknowledgement,
    Content,
    MetricsPayload,
    PayloadEncoder,
    StatusPayload,
)
from ztb.telemetry.mqtt.topics import Topic, Topics, discovery
from ztb.telemetry.snapshot import AlertFact, DaemonSnapshot

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, eq=False)
class Waiting(Generic[_T]):
    """Something to publish. `missed`: of its topic, since the start, never published for want of room."""

    topic: Topic
    content: _T
    missed: int = 0


class Outbox(Generic[_T]):
    """Events in the order of their topics' importance, then the newest of each state.

    Overflow: of each event topic the newest `capacity` are kept, those before are dropped and counted; of a state
    only the newest is kept. `put_event` and `put_state` never wait.
    """

    def __init__(self, events: tuple[Topic, ...], capacity: int) -> None:
        self._events: dict[Topic, deque[_T]] = {topic: deque(maxlen=capacity) for topic in events}
        self._missed: dict[Topic, int] = dict.fromkeys(events, 0)
        self._states: dict[Topic, _T] = {}
        self._filled = asyncio.Event()

    def put_event(self, topic: Topic, content: _T) -> None:
        """Publish `content` after what `topic` already waits for."""
        waiting = self._events[topic]
        self._missed[topic] += len(waiting) == waiting.maxlen
        waiting.append(content)
        self._filled.set()

    def put_state(self, topic: Topic, content: _T) -> None:
        """Publish `content` in place of what waits for `topic`."""
        self._states[topic] = content
        self._filled.set()

    async def next(self) -> Waiting[_T]:
        """The message to publish next; stays until `published` says that it went out."""
        while (found := self._first()) is None:
            self._filled.clear()
            await self._filled.wait()
        return found

    def published(self, item: Waiting[_T]) -> None:
        """`item` went out: forget it, unless something newer has taken its place."""
        waiting = self._events.get(item.topic)
        if waiting is None:
            if self._states.get(item.topic) is item.content:
                del self._states[item.topic]
        elif waiting and waiting[0] is item.content:
            waiting.popleft()

    @property
    def waiting(self) -> int:
        """Messages that wait."""
        return len(self._states) + sum(map(len, self._events.values()))

    @property
    def missed(self) -> int:
        """Events dropped since the start."""
        return sum(self._missed.values())

    def _first(self) -> Waiting[_T] | None:
        for topic, waiting in self._events.items():
            if waiting:
                return Waiting(topic, waiting[0], self._missed[topic])
        for topic, content in self._states.items():
            return Waiting(topic, content)
        return None


CAPACITY = 1_000
"""Events of a topic that wait for a broker; of more, the oldest go and are counted."""

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_FAREWELL_S = 2.0
_BRIEF_S = 10.0
_BRIEF_MOST = 3

_logger = structlog.get_logger("ztb.mqtt")


@asynccontextmanager
async def no_broker() -> AsyncGenerator[None]:
    """The broker runs elsewhere."""
    yield


class MqttObserver:
    """An `Observer`. Connects again for ever: after 1 s, then twice as long each time, up to 30 s.

    `commands` None: none are taken. `broker` is entered for as long as the observer runs. `taken_over` is called where
    the broker ends several connections soon after it took them: it has another client of the same name.
    """

    name = "mqtt"

    def __init__(
        self,
        connect: Connect,
        topics: Topics,
        encode: PayloadEncoder,
        interval_s: float,
        commands: Commands | None = None,
        home_assistant: bool = False,
        broker: Callable[[], AbstractAsyncContextManager[None]] = no_broker,
        taken_over: Callable[[], object] = lambda: None,
    ) -> None:
        self._connect = connect
        self._topics = topics
        self._encode = encode
        self._interval_s = interval_s
        self._commands = commands
        self._home_assistant = home_assistant
        self._broker = broker
        self._taken_over = taken_over
        events = (topics.acknowledgements, topics.alerts, topics.fills, topics.generations, topics.decisions)
        self._outbox: Outbox[Content] = Outbox(events, CAPACITY)
        self._connected = False
        self._connections = 0
        self._brief = 0

    def record(self, record: Record) -> None:
        """Publish decisions, fills and generations."""
        match record:
            case DecisionRow():
                self._outbox.put_event(self._topics.decisions, record)
            case FillRow():
                self._outbox.put_event(self._topics.fills, record)
            case GenerationRow():
                self._outbox.put_event(self._topics.generations, record)
            case _:
                pass

    def alert(self, alert: AlertFact) -> None:
        """Publish it."""
        self._outbox.put_event(self._topics.alerts, alert)

    def gauges(self) -> dict[str, float]:
        """Gauges of the telemetry itself."""
        return {
            "mqtt_connected": float(self._connected),
            "mqtt_connections": float(self._connections),
            "mqtt_waiting": float(self._outbox.waiting),
            "mqtt_missed": float(self._outbox.missed),
        }

    async def run(self, snapshot: Callable[[], DaemonSnapshot], controls: Controls) -> None:
        """Publish until cancelled. A command that is being executed outlives its connection."""
        async with self._broker(), asyncio.TaskGroup() as tasks:
            pause_s = _FIRST_PAUSE_S
            while True:
                before, begun_s = self._connections, asyncio.get_running_loop().time()
                # A task of its own: a task group of Python 3.11 forgets that it was cancelled if one of its tasks
                # fails at the same moment, and then this loop would never end.
                session = tasks.create_task(self._until_lost(snapshot, controls, tasks), name="mqtt-session")
                await asyncio.wait((session,))
                if self._connections > before:
                    pause_s = _FIRST_PAUSE_S
                    self._see_end(asyncio.get_running_loop().time() - begun_s)
                _logger.warning("mqtt_link_lost", reason=session.result(), retry_s=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(2.0 * pause_s, _LONGEST_PAUSE_S)

    def _see_end(self, lived_s: float) -> None:
        """A connection ended after `lived_s` seconds; of brief ones in a row the third is told.

        A broker that throws out the older of two clients with one name does not say so in MQTT 3.1.1.
        """
        self._brief = self._brief + 1 if lived_s < _BRIEF_S else 0
        if self._brief == _BRIEF_MOST:
            self._taken_over()

    async def _until_lost(
        self, snapshot: Callable[[], DaemonSnapshot], controls: Controls, executing: asyncio.TaskGroup
    ) -> str:
        """One connection; returns why it was lost."""
        reason = ""
        try:
            await self._session(snapshot, controls, executing)
        except* LinkLost as lost:
            reason = str(lost.exceptions[0])
        return reason

    async def _session(
        self, snapshot: Callable[[], DaemonSnapshot], controls: Controls, executing: asyncio.TaskGroup
    ) -> NoReturn:
        """One connection, until it is lost: ends in an exception group with LinkLost."""
        will = self._encode(StatusPayload(False, "unknown", "connection lost"))
        async with self._connect(self._topics.status, will) as link:
            await self._greet(link, snapshot())
            self._connected, self._connections = True, self._connections + 1
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._sample(snapshot), name="mqtt-sample")
                    tasks.create_task(self._publish(link), name="mqtt-publish")
                    tasks.create_task(self._listen(link, controls, executing), name="mqtt-listen")
            except asyncio.CancelledError:
                await self._take_leave(link)
                raise
            finally:
                self._connected = False
        raise LinkLost("the connection ended")

    async def _greet(self, link: Link, now: DaemonSnapshot) -> None:
        _logger.info("mqtt_connected", connections=self._connections + 1)
        await link.publish(self._topics.status, self._encode(StatusPayload(True, now.state, now.because)))
        if self._home_assistant:
            for topic, payload in discovery(self._topics, now):
                await link.publish(topic, payload)
        if self._commands is not None and not await link.subscribe(self._topics.commands):
            _logger.error("mqtt_commands_denied", topic=self._topics.commands)

    async def _take_leave(self, link: Link) -> None:
        with contextlib.suppress(LinkLost, TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await link.publish(
                    self._topics.status, self._encode(StatusPayload(False, "stopping", "stopped"))
                )

    async def _sample(self, snapshot: Callable[[], DaemonSnapshot]) -> None:
        said: tuple[str, str] | None = None
        while True:
            now = snapshot()
            self._outbox.put_state(self._topics.state, now)
            self._outbox.put_state(self._topics.metrics, MetricsPayload(now))
            if said != (now.state, now.because):
                said = (now.state, now.because)
                self._outbox.put_state(self._topics.status, StatusPayload(True, *said))
            await asyncio.sleep(self._interval_s)

    async def _publish(self, link: Link) -> None:
        while True:
            item = await self._outbox.next()
            await link.publish(item.topic, self._encode(item.content, item.missed))
            self._outbox.published(item)

    async def _listen(self, link: Link, controls: Controls, executing: asyncio.TaskGroup) -> None:
        async for message in link.messages():
            if self._commands is not None:
                await self._commands.receive(message, controls, executing, self._acknowledge)

    def _acknowledge(self, acknowledgement: Acknowledgement) -> None:
        self._outbox.put_event(self._topics.acknowledgements, acknowledgement)
