"""Generations of a state that survive anything: see FORMAT.md for the bytes, manager.py for the use."""

from ztb.utils.checkpoint.errors import (
    CheckpointError,
    Damaged,
    FolderInUse,
    NewerVersion,
    NoGeneration,
    SaveFailed,
)
from ztb.utils.checkpoint.generation import Generation, Retention
from ztb.utils.checkpoint.loader import Restored
from ztb.utils.checkpoint.manager import CheckpointManager

__all__ = [
    "CheckpointError",
    "CheckpointManager",
    "Damaged",
    "FolderInUse",
    "Generation",
    "NewerVersion",
    "NoGeneration",
    "Restored",
    "Retention",
    "SaveFailed",
]
