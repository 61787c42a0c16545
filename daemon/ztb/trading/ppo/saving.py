"""Checkpoints while training goes on: each is written by a thread of its own, at most one at a time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

from ztb.errors import ConfigError

_VARIABLE = "ZTB_CHECKPOINT_INTERVAL"


class Checkpoints(Protocol):
    """The part of CheckpointManager that training uses."""

    def save_async(self, state: dict[str, Any], name: str) -> Coroutine[Any, Any, object]:
        """Durable when awaited."""
        ...


def checkpoint_interval(environment: Mapping[str, str] = os.environ) -> int:
    """Updates between checkpoints: ZTB_CHECKPOINT_INTERVAL, else 10. ConfigError: no whole number of 1 or more."""
    text = environment.get(_VARIABLE, "10")
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"{_VARIABLE}: {text!r} is no number of updates; give a whole number of 1 or more")
    return int(text)


class BackgroundSaver:
    """Runs one save at a time; an error of it is raised by the next one, or at the end."""

    def __init__(self, runner: asyncio.Runner, thread: ThreadPoolExecutor) -> None:
        self._runner, self._thread = runner, thread
        self._saving: Future[object] | None = None

    def save(self, save: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Begin to run what `save` gives, on a state that must not change any more; waits for the save before."""
        self.wait()
        self._saving = self._thread.submit(lambda: self._runner.run(save()))

    def wait(self) -> None:
        """Until what was begun is durable."""
        if self._saving:
            saving, self._saving = self._saving, None
            saving.result()


@contextmanager
def background_saver() -> Generator[BackgroundSaver]:
    """A saver with its thread and event loop; leaving waits until everything is durable."""
    runner = asyncio.Runner()
    with ThreadPoolExecutor(1, thread_name_prefix="checkpoint") as thread:
        saver = BackgroundSaver(runner, thread)
        try:
            yield saver
            saver.wait()
        finally:
            thread.submit(runner.close).result()
