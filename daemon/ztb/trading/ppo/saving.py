"""Checkpoints while training goes on: each is written by a thread of its own, at most one at a time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

from ztb.errors import ConfigError

_VARIABLE = "ZTB_CHECKPOINT_INTERVAL"


class Checkpoints(Protocol):
    """What is asked of a CheckpointManager."""

    async def save_async(self, model_state: dict[str, Any], name: str) -> object:
        """Durable on return."""
        ...


def checkpoint_interval(environment: Mapping[str, str] = os.environ) -> int:
    """Updates between checkpoints: ZTB_CHECKPOINT_INTERVAL, else 10. ConfigError: no whole number of 1 or more."""
    text = environment.get(_VARIABLE, "10")
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"{_VARIABLE}: {text!r} is no number of updates; give a whole number of 1 or more")
    return int(text)


class BackgroundSaver:
    """Saves states under one name; an error of a save is raised by the next one, or at the end."""

    def __init__(
        self, checkpoints: Checkpoints, name: str, runner: asyncio.Runner, thread: ThreadPoolExecutor
    ) -> None:
        self._checkpoints, self._name = checkpoints, name
        self._runner, self._thread = runner, thread
        self._saving: Future[object] | None = None

    def save(self, state: dict[str, Any]) -> None:
        """Begin to save `state`, which must not change any more; waits for the save before."""
        self.wait()
        self._saving = self._thread.submit(self._run, state)

    def wait(self) -> None:
        """Until what was begun is durable."""
        if self._saving:
            saving, self._saving = self._saving, None
            saving.result()

    def _run(self, state: dict[str, Any]) -> object:
        return self._runner.run(self._checkpoints.save_async(state, self._name))


@contextmanager
def background_saver(checkpoints: Checkpoints, name: str) -> Generator[BackgroundSaver]:
    """A saver with its thread and event loop; leaving waits until everything is durable."""
    runner = asyncio.Runner()
    with ThreadPoolExecutor(1, thread_name_prefix="checkpoint") as thread:
        saver = BackgroundSaver(checkpoints, name, runner, thread)
        try:
            yield saver
            saver.wait()
        finally:
            thread.submit(runner.close).result()
