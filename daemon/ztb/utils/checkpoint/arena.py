"""Memory that snapshots are copied into, kept from save to save so that its pages are already mapped."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

ALIGNMENT = 64
_GRAIN = 1 << 21


def view(array: Bytes) -> memoryview:
    """The bytes of a contiguous array, for what takes buffers."""
    return memoryview(cast("Any", array))


def aligned(nbytes: int) -> int:
    """`nbytes` rounded up to whole cache lines."""
    return nbytes + (-nbytes & (ALIGNMENT - 1))


class Arena:
    """One growing buffer that begins at `address`, on a cache line; `reserve` invalidates what it held."""

    def __init__(self) -> None:
        self._memory: Bytes = np.empty(0, np.uint8)
        self.address = 0

    def reserve(self, nbytes: int) -> Bytes:
        """`nbytes` bytes from `address` on; (n,) uint8."""
        if self._memory.nbytes < nbytes:
            room = -(-nbytes // _GRAIN) * _GRAIN
            memory = np.empty(room + ALIGNMENT, np.uint8)
            start = -memory.ctypes.data % ALIGNMENT
            self._memory = memory[start : start + room]
            self.address = self._memory.ctypes.data
        return self._memory[:nbytes]
