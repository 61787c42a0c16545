"""Copies memory in the loop's thread, with the help of another one where there is much of it."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress

Move = tuple[int, int, int]  # to, from, number of bytes

_CHUNK = 1 << 20
_WORTH_HELP = 1 << 25


def copy(moves: list[Move], helper: Executor | None) -> None:
    """Make all `moves`, which do not overlap; done on return. From 32 MiB on, `helper` takes a part.

    One core does not use all of the memory's bandwidth. A helper that has not begun in time is not waited for.
    """
    if helper is None or sum([nbytes for *_, nbytes in moves]) < _WORTH_HELP:
        for target, source, nbytes in moves:
            ctypes.memmove(target, source, nbytes)
        return
    chunks = deque(chunk for move in moves for chunk in _chunks(move))
    helped = helper.submit(_drain, chunks.pop)
    _drain(chunks.popleft)
    if not helped.cancel():
        helped.result()


def _chunks(move: Move) -> list[Move]:
    target, source, nbytes = move
    starts = range(0, nbytes, _CHUNK)
    return [(target + start, source + start, min(_CHUNK, nbytes - start)) for start in starts]


def _drain(take: Callable[[], Move]) -> None:
    """Make moves until there are none; both ends of a deque may be taken from at once."""
    with suppress(IndexError):
        while True:
            ctypes.memmove(*take())
