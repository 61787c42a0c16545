"""The highest sequence that was obeyed, on disk: a command is obeyed once, restart or not."""

from __future__ import annotations

import os
from pathlib import Path

from ztb.errors import ConfigError


class SequenceFile:
    """A file that holds one number. ConfigError if it holds anything else: then no command can be trusted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.highest = self._read()

    def _read(self) -> int:
        try:
            return int(self._path.read_text(encoding="ascii"))
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{self._path}: the highest command sequence cannot be read ({error}); write into it a number "
                "above any sequence ever sent (the time in milliseconds, if you number commands by it)"
            ) from None

    def advance(self, sequence: int) -> None:
        """Remember `sequence`; durable on return."""
        partial = self._path.with_suffix(".partial")
        with partial.open("w", encoding="ascii") as file:
            file.write(f"{sequence}\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.highest = sequence
