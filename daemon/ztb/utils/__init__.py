"""The ground that every room stands on. `CheckpointManager` is imported when it is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ztb.utils.checkpoint import CheckpointManager

__all__ = ["CheckpointManager"]


def __getattr__(name: str) -> object:
    if name != "CheckpointManager":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ztb.utils.checkpoint import CheckpointManager

    return CheckpointManager
