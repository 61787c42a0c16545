"""Shared memory without a name: nothing can be left behind, whoever dies and however."""

from __future__ import annotations

import mmap
import os
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
LINE = 64
"""Bytes of a cache line: what two processes write stays on lines of its own."""


def create(nbytes: int) -> int:
    """Descriptor of `nbytes` zero bytes, not inherited unless passed on. They live as long as someone holds it.

    All of them are taken now: a ring that took its pages one by one would look like a leak for days, and where there
    are none left, end the process at one of them.
    """
    descriptor = os.memfd_create("ztb-learner", os.MFD_CLOEXEC)
    if nbytes:
        os.posix_fallocate(descriptor, 0, nbytes)
    return descriptor


def attach(descriptor: int) -> Bytes:
    """All of the memory behind `descriptor`, (n,) uint8; unmapped when the last view of it is gone."""
    size = os.fstat(descriptor).st_size
    mapped = mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
    return np.frombuffer(cast("Any", mapped), np.uint8)


def aligned(nbytes: int) -> int:
    """`nbytes` rounded up to whole cache lines."""
    return -(-nbytes // LINE) * LINE


class Carver:
    """Hands out consecutive parts of one memory, each beginning on a cache line."""

    def __init__(self, memory: Bytes, offset: int = 0) -> None:
        self._memory = memory
        self.offset = aligned(offset)

    def part(self, nbytes: int) -> Bytes:
        """The next `nbytes` bytes, (nbytes,) uint8."""
        start = self.offset
        self.offset += aligned(nbytes)
        return self._memory[start : start + nbytes]

    def words(self, count: int) -> NDArray[np.int64]:
        """Integers of which each is read and written whole, (count,) int64, on lines of their own."""
        return self.part(8 * count).view(np.int64)

    def word(self) -> NDArray[np.int64]:
        """One such integer, (1,)."""
        return self.words(1)
