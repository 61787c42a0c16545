"""Generations go to disk in the background; trading waits only when too many are waiting."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

from ztb.learning.generations import GenerationInfo
from ztb.utils import CheckpointManager

_WAITING = 4


@dataclass(frozen=True, slots=True)
class _Waiting:
    info: GenerationInfo
    state: dict[str, Any]
    promoted: bool
    metrics: dict[str, float]


class GenerationStore:
    """Saves generations of one run in order. At most `_WAITING` wait; `settle` is where the engine waits for them."""

    def __init__(self, manager: CheckpointManager, name: str, lineage: dict[str, Any]) -> None:
        self.saved: list[int] = []
        self._manager = manager
        self._name = name
        self._lineage = lineage
        self._queue: deque[_Waiting] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._closing = False

    def put(
        self, info: GenerationInfo, state: dict[str, Any], promoted: bool, metrics: dict[str, float]
    ) -> None:
        """Queue a generation; never blocks, never drops."""
        self._queue.append(_Waiting(info, state, promoted, metrics))
        self._changed.set()

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
                await self._save(self._queue[0])
                self._queue.popleft()
                self._room.set()
            if self._closing:
                return
            self._changed.clear()
            await self._changed.wait()

    async def _save(self, waiting: _Waiting) -> None:
        info = waiting.info
        lineage = {
            **self._lineage,
            "generation": info.number,
            "parent": info.parent,
            "weights_sha256": info.sha256,
        }
        await self._manager.save_async(
            waiting.state, self._name, metrics=waiting.metrics, lineage=lineage,
            marks=("promoted",) if waiting.promoted else (),
        )  # fmt: skip
        self.saved.append(info.number)
