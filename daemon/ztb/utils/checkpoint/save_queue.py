"""Saves in the background: one in flight, one waiting, and backpressure for the rest.

Two arenas are all the memory there is. A state is copied when it gets an arena: at once if one is free; over
the waiting one if its caller allowed that; otherwise the caller waits until one is free.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ztb.errors import UsageError
from ztb.utils.checkpoint.arena import Arena
from ztb.utils.checkpoint.generation import Generation
from ztb.utils.checkpoint.snapshot import SnapshotFacts, StateSnapshot, plan_snapshot, take_snapshot
from ztb.utils.checkpoint.worker import WriterThread

_log = logging.getLogger(__name__)

ARENAS = 2

Write = Callable[[StateSnapshot, SnapshotFacts], Generation]
Finish = Callable[[Generation, Callable[[], None]], None]


class Request(msgspec.Struct, frozen=True):
    """A state to be saved, not copied yet."""

    state: object
    facts: SnapshotFacts
    replaceable: bool


@dataclass(slots=True)
class _Job:
    snapshot: StateSnapshot
    facts: SnapshotFacts
    arena: Arena
    replaceable: bool
    spoiled: BaseException | None = None
    done: Future[Generation] = field(default_factory=Future[Generation])


class SaveQueue:
    """Safe to use from any thread; `write` and `finish` run in its one thread, in the order of the saves.

    `finish` gets what was written and the function that acknowledges it.
    """

    def __init__(self, write: Write, finish: Finish, max_bytes: int) -> None:
        self._write = write
        self._finish = finish
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._free = [Arena() for _ in range(ARENAS)]
        self._waiting: _Job | None = None
        self._turns: list[Future[None]] = []
        self._closed = False
        self._process = os.getpid()
        self._thread = WriterThread("checkpoint")

    async def save(self, request: Request) -> Generation:
        """Copy and write; the copy is made before the first await if an arena is free."""
        while (job := self._admit(request)) is None:
            await asyncio.wrap_future(self._turn())
        try:
            return await _awaitable(job.done)
        except asyncio.CancelledError:
            # Once copied it is written, whatever becomes of the caller.
            job.done.add_done_callback(_report)
            raise

    def save_now(self, request: Request) -> Generation:
        """The same for callers without a loop; blocks until durable."""
        while (job := self._admit(request)) is None:
            self._turn().result()
        return job.done.result()

    def close(self) -> None:
        """Wait for what was accepted, then end the thread; nothing is accepted any more."""
        with self._lock:
            self._closed = True
        self._thread.close()

    def _admit(self, request: Request) -> _Job | None:
        """The job that will save the request's state, which was copied; None if there is no place for it."""
        if os.getpid() != self._process:
            raise UsageError("this CheckpointManager was opened before a fork: open another one to save")
        with self._lock:
            if self._closed:
                raise UsageError("this CheckpointManager is closed: open another one")
            if self._free:
                return self._start(request)
            waiting = self._waiting
            if waiting is None or not waiting.replaceable or waiting.facts.name != request.facts.name:
                return None
            return self._replace(waiting, request)

    def _start(self, request: Request) -> _Job:
        plan = plan_snapshot(request.state, self._max_bytes)
        idle = len(self._free) == ARENAS
        snapshot = take_snapshot(plan, self._free[-1], self._thread if idle else None)
        job = _Job(snapshot, request.facts, self._free[-1], request.replaceable)
        self._thread.submit(lambda: self._run(job))
        self._waiting = job
        self._free.pop()
        return job

    def _replace(self, job: _Job, request: Request) -> _Job:
        plan = plan_snapshot(request.state, self._max_bytes)
        try:
            job.snapshot = take_snapshot(plan, job.arena)
        except BaseException as error:
            job.spoiled = error
            raise
        marks = request.facts.marks | job.facts.marks
        job.facts = msgspec.structs.replace(request.facts, marks=marks, replaced=job.facts.replaced + 1)
        job.replaceable = request.replaceable
        return job

    def _run(self, job: _Job) -> None:
        with self._lock:
            if self._waiting is job:
                self._waiting = None
        try:
            if job.spoiled is not None:
                raise job.spoiled
            generation = self._write(job.snapshot, job.facts)
        except BaseException as error:  # noqa: BLE001 (it is the caller's, and raised there)
            self._release(job)
            job.done.set_exception(error)
            return
        self._release(job)
        self._finish(generation, lambda: job.done.set_result(generation))

    def _release(self, job: _Job) -> None:
        with self._lock:
            self._free.append(job.arena)
            turns, self._turns = self._turns, []
        for turn in turns:
            if turn.set_running_or_notify_cancel():
                turn.set_result(None)

    def _turn(self) -> Future[None]:
        """Done when an arena has become free; whoever is first takes it."""
        turn: Future[None] = Future()
        with self._lock:
            if self._free:
                turn.set_result(None)
            else:
                self._turns.append(turn)
        return turn


def _awaitable(done: Future[Generation]) -> asyncio.Future[Generation]:
    """Settled in the running loop when `done` is. Unlike with `asyncio.wrap_future`, cancelling it cancels nothing."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[Generation] = loop.create_future()

    def settle() -> None:
        if waiter.done():
            return
        error = done.exception()
        if error is None:
            waiter.set_result(done.result())
        else:
            waiter.set_exception(error)

    def tell(_: Future[Generation]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle)

    done.add_done_callback(tell)
    return waiter


def _report(done: Future[Any]) -> None:
    """Say what went wrong where nobody is left to be told."""
    error = done.exception()
    if error is not None:
        _log.error("a save in the background failed", exc_info=error)
