"""A run's folder: what lies where, and how a new one is chosen."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ztb.errors import DataError, UsageError


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Names of the files of a run."""

    path: Path

    @property
    def journal(self) -> Path:
        return self.path / "journal.sqlite"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def decisions(self) -> Path:
        return self.path / "decisions.parquet"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def manifest(self) -> Path:
        return self.path / "run.json"

    def write_json(self, path: Path, content: Mapping[str, Any]) -> None:
        """Write `content` in one step: complete or not at all, durable on return."""
        partial = path.with_suffix(".partial")
        with partial.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=2, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def read_json(self, path: Path) -> dict[str, Any]:
        """The content of one of the run's JSON files. DataError if it is missing or damaged."""
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error}); is {self.path} a finished run?") from None
        return content


def create_run_directory(out: Path | None, mode: str) -> RunDirectory:
    """`out`, or the next free `runs/<mode>-NNN`. UsageError if a run is there already."""
    if out is None:
        number = 1
        while (Path("runs") / f"{mode}-{number:03}").exists():
            number += 1
        out = Path("runs") / f"{mode}-{number:03}"
    directory = RunDirectory(out)
    if directory.journal.exists() or directory.manifest.exists():
        raise UsageError(f"{out}: holds a run already; choose another --out, or remove it")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out}: cannot be created ({error.strerror}); choose another --out") from None
    return directory
