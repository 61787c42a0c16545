"""The handover of a run's folder from a daemon to its watchdog and on to the next daemon: one at a time acts on it.

A stop of the watchdog's is written down before it is sent, for whoever starts next. It does nothing while a daemon
holds the run's folder; one that starts waits for `watchdog.lock`, which is held while the watchdog looks and acts.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from collections.abc import Generator
from pathlib import Path

import msgspec

from ztb.ledger.run_directory import RunDirectory
from ztb.utils import files

PUT_BACK, LOCK = "put_back.json", "watchdog.lock"
_BETWEEN_S = 0.1


class StopPutBack(msgspec.Struct, frozen=True):
    """A stop that was sent, or was about to be: whole lots and ticks. One that the price had come to sold at market."""

    order_id: int
    client_id: str
    lots: int
    trigger_ticks: int


def write_down(stops: list[StopPutBack], folder: Path) -> None:
    """Write all that the watchdog has sent, or is about to send: one a line."""
    files.write_durably(folder / PUT_BACK, b"".join(msgspec.json.encode(stop) + b"\n" for stop in stops))


def read_down(path: Path) -> list[StopPutBack]:
    """All stops that were written down. msgspec.DecodeError: they cannot be read."""
    return [msgspec.json.decode(line, type=StopPutBack) for line in path.read_bytes().splitlines()]


@contextlib.contextmanager
def working(folder: Path) -> Generator[bool]:
    """True if it is ours to act while the context lasts: no daemon, and no other watchdog, is at work on `folder`."""
    with (folder / LOCK).open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield not RunDirectory(folder).is_held


async def at_rest(folder: Path, patience_s: float) -> None:
    """Wait until no watchdog is at work on `folder`, or for so long."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + patience_s
    with contextlib.suppress(FileNotFoundError), (folder / LOCK).open("rb") as lock:
        while loop.time() < deadline_s:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(_BETWEEN_S)
            else:
                return
