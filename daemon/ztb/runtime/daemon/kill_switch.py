"""The kill switch: latched on disk before anything else happens, so that a restart finds it as it was left."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from ztb.errors import DataError
from ztb.utils import files

Stop: TypeAlias = Literal["halted", "flattening"]


class Latch(msgspec.Struct, frozen=True):
    """A latch: its state, since when (nanoseconds since 1970), who asked for it and why."""

    stop: Stop
    since_ns: int
    origin: str
    reason: str


class KillSwitch:
    """Two files in a run's folder: `latch.json`, ours, and `halt`, which anybody may touch to stop the trading."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "halt"
        self._latch_file = folder / "latch.json"
        self.latch: Latch | None = self._read()

    def touched(self) -> bool:
        """True if the file `halt` is there; cheap enough to ask before every order."""
        return os.path.lexists(self.file)

    def set(self, latch: Latch) -> None:
        """Latch; durable on return."""
        self.latch = latch
        files.write_durably(self._latch_file, msgspec.json.encode(latch))

    def clear(self) -> None:
        """Unlatch and take the file `halt` away; durable on return."""
        files.remove_durably(self._latch_file, self.file)
        self.latch = None

    def _read(self) -> Latch | None:
        try:
            return msgspec.json.decode(self._latch_file.read_bytes(), type=Latch)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, json.JSONDecodeError) as error:
            raise DataError(
                f"{self._latch_file}: the latch of the kill switch cannot be read ({error}); trading stays halted: "
                "remove the file once you know why it was set"
            ) from None
