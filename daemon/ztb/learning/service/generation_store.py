"""Generations go to disk in the background; trading waits only when too many are waiting."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from ztb.errors import InvariantError, UsageError
from ztb.learning.generations import GenerationInfo
from ztb.trading.ppo.finite import unsound
from ztb.utils import CheckpointManager

_WAITING = 4
TESTING, PROMOTED = "testing", "promoted"


@dataclass(frozen=True, slots=True)
class _Saving:
    info: GenerationInfo
    state: dict[str, Any]
    marks: tuple[str, ...]
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Marking:
    generation: int
    promoted: bool


class GenerationStore:
    """Saves generations of one run in order. At most `_WAITING` wait; `settle` is where the engine waits for them.

    A generation that is saved while it is being tested bears the mark `testing`, until `concluded` says otherwise.
    """

    def __init__(self, manager: CheckpointManager, name: str, lineage: dict[str, Any]) -> None:
        self.saved: list[int] = []
        self.last_save_ms: float | None = None
        self._manager = manager
        self._name = name
        self._lineage = lineage
        self._queue: deque[_Saving | _Marking] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._closing = False

    def put(
        self, info: GenerationInfo, state: dict[str, Any], marks: tuple[str, ...], metrics: dict[str, float]
    ) -> None:
        """Queue a generation; never blocks, never drops. InvariantError: a number in it is not finite."""
        place = unsound(state)
        if place:
            raise InvariantError(
                f"generation {info.number} cannot be kept: {place} of its state is not finite"
            )
        self._queue.append(_Saving(info, state, marks, metrics))
        self._changed.set()

    def concluded(self, generation: int, promoted: bool) -> None:
        """A generation's test is over: those that were promoted are kept, the others as retention has it."""
        self._queue.append(_Marking(generation, promoted))
        self._changed.set()

    def load(self, generation: int) -> dict[str, Any]:
        """The state of a generation, from the disk if it is there already. UsageError: it was not kept."""
        for waiting in self._queue:
            if isinstance(waiting, _Saving) and waiting.info.number == generation:
                return waiting.state
        number = self._file(generation)
        if number is None:
            raise UsageError(
                f"generation {generation} was not kept: checkpoint.max_generations says how many are"
            )
        state: dict[str, Any] = self._manager.load(self._name, number, as_numpy=True)
        return state

    def _file(self, generation: int) -> int | None:
        """The number of a generation's file, which need not be its own; None if it was not kept."""
        saved = self._manager.list(self._name)
        return next((each.number for each in saved if each.lineage.get("generation") == generation), None)

    async def settle(self) -> None:
        """Return when at most `_WAITING` generations wait."""
        while len(self._queue) > _WAITING:
            self._room.clear()
            await self._room.wait()

    def close(self) -> None:
        """Let `run` end when everything queued is saved."""
        self._closing = True
        self._changed.set()

    async def run(self) -> None:
        """The saving task. Errors of the disk end it, and with it the run. Nothing is held after it."""
        try:
            await self._save_until_closed()
        finally:
            self._manager.close()

    async def _save_until_closed(self) -> None:
        while True:
            while self._queue:
                waiting = self._queue[0]
                if isinstance(waiting, _Saving):
                    await self._save(waiting)
                else:
                    await asyncio.to_thread(self._mark, waiting)
                self._queue.popleft()
                self._room.set()
            if self._closing:
                return
            self._changed.clear()
            await self._changed.wait()

    async def _save(self, waiting: _Saving) -> None:
        info = waiting.info
        lineage = {
            **self._lineage,
            "generation": info.number,
            "parent": info.parent,
            "weights_sha256": info.sha256,
        }
        began = time.monotonic()
        await self._manager.save_async(
            waiting.state, self._name, metrics=waiting.metrics, lineage=lineage, marks=waiting.marks
        )
        self.last_save_ms = (time.monotonic() - began) * 1e3
        self.saved.append(info.number)

    def _mark(self, waiting: _Marking) -> None:
        number = self._file(waiting.generation)
        if number is None:
            return
        if waiting.promoted:
            self._manager.mark(self._name, number, PROMOTED)
        self._manager.unmark(self._name, number, TESTING)
