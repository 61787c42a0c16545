"""Errors of generations; every message names the file, what was wrong and what to do."""

from __future__ import annotations

from pathlib import Path

from ztb.errors import DataError, NotFoundError, ZtbError


class CheckpointError(DataError):
    """Base of what a reader may meet."""


class Malformed(CheckpointError):
    """Bytes that contradict the format; the reader adds the file's name and raises `Damaged`."""


class Damaged(CheckpointError):
    """A generation that does not verify: never loaded, in whole or in part."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: damaged: {reason}")
        self.path = path
        self.reason = reason


class NewerVersion(CheckpointError):
    """A generation that a later version of the program wrote."""

    def __init__(self, path: Path, version: int, known: int) -> None:
        super().__init__(
            f"{path}: written in format version {version}, this program reads up to {known}: "
            "update the program, or load an older generation by its number"
        )
        self.path = path
        self.version = version


class NoGeneration(CheckpointError, NotFoundError):
    """There is nothing to load: no generation, not the one asked for, or none that verifies."""


class SaveFailed(ZtbError):
    """The generation was not saved (full disk, no permission); the older ones are intact. Try again later."""

    exit_code = 75


class FolderInUse(ZtbError):
    """Another process writes to this experiment's folder."""

    exit_code = 75
