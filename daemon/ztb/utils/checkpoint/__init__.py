"""Generations of a state that survive anything: see FORMAT.md for the bytes, manager.py for the use."""

from ztb.utils.checkpoint.errors import (
    CheckpointError,
    Damaged,
    FolderInUse,
    NewerVersion,
    NoGeneration,
    SaveFailed,
)
from ztb.utils.checkpoint.generation import Generation
from ztb.utils.checkpoint.loader import Restored
from ztb.utils.checkpoint.manager import CheckpointManager
from ztb.utils.checkpoint.retention import Retention

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
