"""Buffers by the size of a minibatch, made once and kept: as many sizes as an update has, not as a life of updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

_T = TypeVar("_T")
_MOST = 8  # an update's minibatches have two sizes, and others where memory runs short


class Kept(Generic[_T]):
    """What `make` made for a size; of the sizes those that were asked for last stay."""

    def __init__(self, make: Callable[[int], _T]) -> None:
        self._make = make
        self._made: dict[int, _T] = {}

    def of(self, size: int) -> _T:
        """The same thing for the same size, as long as it is kept."""
        made = self._made.pop(size, None)
        if made is None:
            made = self._make(size)
            if len(self._made) >= _MOST:
                del self._made[next(iter(self._made))]
        self._made[size] = made
        return made
