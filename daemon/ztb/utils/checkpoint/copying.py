"""Copies memory in the loop's thread, with the help of another one where there is much of it."""

from __future__ import annotations

import ctypes
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from ztb.utils.checkpoint.worker import Worker

Move = tuple[int, int, int]  # to, from, number of bytes

_CHUNK = 1 << 20
_WORTH_HELP = 1 << 25


def copy(moves: list[Move], nbytes: int, helper: Worker | None) -> None:
    """Make all `moves`, `nbytes` in all, which do not overlap; done on return. From 32 MiB on, `helper` takes a part.

    One core does not use all of the memory's bandwidth. A helper that has not begun in time is not waited for.
    """
    if helper is None or nbytes < _WORTH_HELP:
        for move in moves:
            ctypes.memmove(*move)
        return
    chunks = deque(chunk for move in moves for chunk in _chunks(move))
    helping = threading.Lock()

    def help_() -> None:
        with helping:
            _drain(chunks.pop)

    helper.submit(help_)
    _drain(chunks.popleft)
    with helping:
        pass  # nothing was left but what the helper was at


def _chunks(move: Move) -> list[Move]:
    target, source, nbytes = move
    starts = range(0, nbytes, _CHUNK)
    return [(target + start, source + start, min(_CHUNK, nbytes - start)) for start in starts]


def _drain(take: Callable[[], Move]) -> None:
    """Make moves until there are none; both ends of a deque may be taken from at once."""
    with suppress(IndexError):
        while True:
            ctypes.memmove(*take())
