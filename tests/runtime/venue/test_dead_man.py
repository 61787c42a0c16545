"""The dead man's switch, told again and again while we live, and taken back when we leave on purpose: the venue's own,
or a watchdog, which is kept alive and knows the floor.
"""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from ccxt.base import errors

from ztb.market.live.rest import Backoff, Rest
from ztb.runtime.venue import dead_man
from ztb.runtime.venue.dead_man import VenueSwitch, Watchdog
from ztb.runtime.venue.left_behind import LeftBehind
from ztb.testing.virtual_time import run_virtual


class Client:
    """A venue that notes for how long it is told to wait, and fails while `faults` are left."""

    id = "fake"

    def __init__(self, faults: int = 0) -> None:
        self.faults = faults
        self.told: list[tuple[float, int]] = []

    async def cancel_all_orders_after(self, milliseconds: int) -> None:
        if self.faults:
            self.faults -= 1
            raise errors.NetworkError("down")
        self.told.append((asyncio.get_running_loop().time(), milliseconds))


def switch(client: Client) -> VenueSwitch:
    rest = Rest(client, lambda: Backoff(0.01, 0.02, lambda: 0.5))
    return VenueSwitch(SimpleNamespace(client=client, rest=rest), 30.0)


async def live(client: Client, seconds: float) -> None:
    made = switch(client)
    task = asyncio.ensure_future(made.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await made.release()


def test_it_is_set_anew_well_before_it_would_act_and_taken_back_at_the_end():
    client = Client()
    run_virtual(live(client, 65.0))
    assert client.told == [(10.0 * i, 30_000) for i in range(7)] + [(65.0, 0)]


def test_a_venue_that_does_not_answer_for_a_while_is_told_again():
    client = Client(faults=12)
    run_virtual(live(client, 45.0))
    assert [after_ms for _, after_ms in client.told[:-1]] == [30_000] * 3 and client.told[-1][1] == 0


LEFT = LeftBehind({}, "BTC/USDT", "ztbtest-", "a folder", 7.0)
WORD = msgspec.json.encode(LEFT).decode()


class Process:
    """A watchdog's process: hears what it is told until it `dies`, and whoever speaks to it then is told so."""

    def __init__(self) -> None:
        self.stdin = self
        self.begun_s = asyncio.get_running_loop().time()
        self.heard, self.pending = "", b""
        self.dead = self.closed = False
        self.farewell = b""

    def poll(self) -> int | None:
        return 1 if self.dead else None

    def write(self, data: bytes) -> None:
        self.pending += data

    def flush(self) -> None:
        data, self.pending = self.pending, b""
        if self.dead:
            raise BrokenPipeError
        self.heard += data.decode()

    def close(self) -> None:
        self.closed = True
        if self.dead:
            raise BrokenPipeError

    def communicate(self, farewell: bytes) -> None:
        self.farewell = farewell

    @property
    def lines(self) -> list[str]:
        return self.heard.splitlines()


class Watched(Watchdog):
    """A watchdog without a system's process; `floors`: what is to be kept from which second on."""

    def __init__(self, floors: dict[float, float]) -> None:
        super().__init__(LEFT, lambda: self._kept(floors))
        self.processes: list[Process] = []

    @staticmethod
    def _kept(floors: dict[float, float]) -> float:
        now_s = asyncio.get_running_loop().time()
        return next(floor for since_s, floor in reversed(floors.items()) if since_s <= now_s)

    def _start(self) -> Any:
        self.processes.append(Process())
        return self.processes[-1]


def watched(floors: dict[float, float], *steps: tuple[float, str]) -> Watched:
    """What it did until it was released; at each of so many seconds it `dies`, or is to `tell` the floor."""

    async def run() -> Watched:
        made = Watched(floors)
        task, loop = asyncio.create_task(made.run()), asyncio.get_running_loop()
        for at_s, what in steps:
            await asyncio.sleep(at_s - loop.time())
            if what == "dies":
                made.processes[-1].dead = True
            else:
                made.tell()
        await asyncio.sleep(0.7)
        await made.release()
        await asyncio.wait_for(task, 1.1)  # by itself, at its next look
        return made

    return run_virtual(run())


def test_a_watchdog_hears_its_word_first_then_each_floor_once_and_a_farewell_at_last():
    (process,) = watched({0.0: 0.0, 1.5: 900.0, 4.5: 890.0}, (6.0, "tell")).processes
    assert process.lines == [WORD, "floor 900.0", "floor 890.0"]
    assert process.farewell == b"released\n" and not process.closed


def test_one_that_dies_is_buried_and_the_next_within_a_second_is_told_everything_anew():
    first, second = watched({0.0: 900.0}, (2.5, "dies"), (5.5, "tell")).processes
    assert first.lines == [WORD, "floor 900.0"] == second.lines
    assert first.closed and first.begun_s == 0.0 and second.begun_s == 3.0
    assert not second.closed and not first.farewell and second.farewell


def test_a_floor_told_to_one_that_has_just_died_ends_nothing_and_the_next_is_told_it():
    first, second = watched({0.0: 900.0, 2.6: 880.0}, (2.5, "dies"), (2.7, "tell"), (5.0, "tell")).processes
    assert first.lines == [WORD, "floor 900.0"] and second.lines == [WORD, "floor 880.0"]


def test_who_leaves_before_it_was_ever_started_needs_no_watchdog():
    async def run() -> Watched:
        made = Watched({0.0: 900.0})
        made.tell()
        await made.release()
        await made.run()
        return made

    assert run_virtual(run()).processes == []


def test_its_process_is_the_watchdogs_program_in_a_session_of_its_own(monkeypatch):
    """What ends the daemon's whole group, as ^C in a terminal does, does not end it."""
    begun: list[Any] = []

    def popen(command: list[str], **options: Any) -> Any:
        begun.append((command, options))
        raise RuntimeError("enough")

    monkeypatch.setattr(dead_man.subprocess, "Popen", popen)

    async def run() -> None:
        await Watchdog(LEFT).run()

    with pytest.raises(RuntimeError, match="enough"):
        run_virtual(run())
    ((command, options),) = begun
    assert command == [sys.executable, "-m", "ztb.runtime.venue.watchdog"]
    assert options == {"stdin": dead_man.subprocess.PIPE, "start_new_session": True}


def test_nobody_starts_another_while_it_takes_its_leave():
    async def run() -> None:
        made = Watched({0.0: 900.0})
        task = asyncio.create_task(made.run())
        await asyncio.sleep(0.5)

        def ends(_farewell: bytes) -> None:
            made.processes[-1].dead = True
            with pytest.raises(StopIteration):
                made.run().send(None)  # who looks now has nothing to do

        made.processes[-1].communicate = ends  # type: ignore[method-assign]
        await made.release()
        await task
        assert len(made.processes) == 1

    run_virtual(run())
