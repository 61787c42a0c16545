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
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


class Arena:
    """One growing buffer; `reserve` invalidates what it held."""

    def __init__(self) -> None:
        self._memory: Bytes = np.empty(0, np.uint8)

    def reserve(self, nbytes: int) -> Bytes:
        """At least `nbytes` bytes beginning on a cache line; (n,) uint8."""
        if self._memory.nbytes < nbytes + ALIGNMENT:
            self._memory = np.empty(-(-(nbytes + ALIGNMENT) // _GRAIN) * _GRAIN, np.uint8)
        start = -self._memory.ctypes.data % ALIGNMENT
        return self._memory[start : start + nbytes]
