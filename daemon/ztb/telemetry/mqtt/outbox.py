"""What waits to be published: bounded, whatever the broker does."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from ztb.telemetry.mqtt.topics import Topic

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
        """What to publish next; stays until `published` says that it went out."""
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
