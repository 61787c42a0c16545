"""Copies memory on the loop's thread, with the help of another one where there is much of it."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

Move = tuple[int, int, int]  # to, from, number of bytes

_CHUNK = 1 << 22
_WORTH_HELP = 1 << 25


class Copier:
    """Makes moves one after the other; from 32 MiB on, a second thread works from the other end."""

    def __init__(self) -> None:
        self._helper = ThreadPoolExecutor(1, "checkpoint-copy")

    def copy(self, moves: list[Move]) -> None:
        """All `moves`, which do not overlap; done on return."""
        if sum(nbytes for *_, nbytes in moves) < _WORTH_HELP:
            for move in moves:
                ctypes.memmove(*move)
            return
        chunks = deque(chunk for move in moves for chunk in _chunks(move))
        helped = self._helper.submit(_drain, chunks.pop)
        _drain(chunks.popleft)
        # A helper that has not begun yet, on a busy machine, has nothing left to do.
        if not helped.cancel():
            helped.result()

    def close(self) -> None:
        self._helper.shutdown()


def _chunks(move: Move) -> list[Move]:
    target, source, nbytes = move
    starts = range(0, nbytes, _CHUNK)
    return [(target + start, source + start, min(_CHUNK, nbytes - start)) for start in starts]


def _drain(take: Callable[[], Move]) -> None:
    """Make moves until there are none; both ends of a deque may be taken from at once."""
    with suppress(IndexError):
        while True:
            ctypes.memmove(*take())
