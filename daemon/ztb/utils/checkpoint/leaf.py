"""A leaf of a state: something whose bytes become a frame."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ztb.utils.checkpoint.arena import Bytes
from ztb.utils.checkpoint.layout import Frame

Copy = Callable[[Bytes], None]


class Leaf(msgspec.Struct, frozen=True):
    """What is copied and how: from `address` if the source lies in one piece, else by `copy`.

    `copy` also keeps the source alive. `frame` describes the bytes; how they are stored is not known yet.
    """

    frame: Frame
    copy: Copy
    address: int | None = None
