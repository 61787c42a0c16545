"""A leaf of a state: something whose bytes become a frame."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

from ztb.utils.checkpoint.arena import Bytes
from ztb.utils.checkpoint.layout import Frame

Copy = Callable[[Bytes], None]


@dataclass(frozen=True, slots=True)
class Leaf:
    """What is copied and how: from `address` if the source lies in one piece, else by `copy`.

    `copy` also keeps the source alive. `frame` describes the bytes; how they are stored is not known yet.
    """

    frame: Frame
    copy: Copy
    address: int | None = None


def copy_leaf(leaf: Leaf, destination: Bytes, address: int) -> None:
    """Copy `leaf` to `destination`, which begins at `address`."""
    if leaf.frame.raw == 0:
        return
    if leaf.address is None:
        leaf.copy(destination)
    else:
        ctypes.memmove(address, leaf.address, leaf.frame.raw)
