"""A leaf of a state: something whose bytes become a frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ztb.utils.checkpoint.arena import Bytes
from ztb.utils.checkpoint.layout import Frame

Copy = Callable[[Any, Bytes], None]


class Leaf(msgspec.Struct, frozen=True):
    """What is copied: from `address` if `source` lies in one piece, else by `copy(source, destination)`.

    `frame` describes the bytes; how they are stored is not known yet.
    """

    frame: Frame
    source: object
    copy: Copy
    address: int | None = None
