"""Old runs taken away, by size and age: never one that goes on, that is real money's, or that another one needs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ztb.errors import NotFoundError
from ztb.ledger.run_directory import RunDirectory

_NAMED_IN: Final = ("from_generation", "repeats", "data")


@dataclass(frozen=True, slots=True)
class OldRun:
    """A run's folder. `last_ns`: when its journal was last written; `kept_for`: why it stays, "" if it may go."""

    directory: RunDirectory
    bytes: int
    last_ns: int
    kept_for: str

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.directory.path


def runs_in(folder: Path) -> list[OldRun]:
    """The runs in `folder`, the oldest first. NotFoundError if there are none."""
    found = [RunDirectory(path) for path in sorted(folder.glob("*")) if (path / "journal.sqlite").is_file()]
    if not found:
        raise NotFoundError(f"{folder}: holds no runs: name the folder that they lie in, such as runs")
    manifests = {directory: _manifest(directory) for directory in found}
    runs = [
        OldRun(
            directory=directory,
            bytes=sum(path.stat().st_size for path in directory.path.rglob("*") if path.is_file()),
            last_ns=directory.journal.stat().st_mtime_ns,
            kept_for=_reason(directory, manifests),
        )
        for directory in found
    ]
    return sorted(runs, key=lambda run: (run.last_ns, run.path.name))


def spent(runs: Sequence[OldRun], keep_bytes: int, keep_ns: int, now_ns: int) -> list[OldRun]:
    """Those of `runs`, the oldest first, that go: last written `keep_ns` ago, or the oldest while all take more than
    `keep_bytes`; 0: no limit."""
    gone: list[OldRun] = []
    left = sum(run.bytes for run in runs)
    for run in runs:
        too_old = 0 < keep_ns < now_ns - run.last_ns
        if not run.kept_for and (too_old or 0 < keep_bytes < left):
            gone.append(run)
            left -= run.bytes
    return gone


def remove(run: OldRun) -> None:
    """Take a run away whole, unless somebody has begun to use it. UsageError if so."""
    with run.directory.held("is used by another process: it stays"):
        shutil.rmtree(run.path)


def _manifest(directory: RunDirectory) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(directory.manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content


def _reason(directory: RunDirectory, manifests: dict[RunDirectory, dict[str, Any]]) -> str:
    mode = manifests[directory].get("mode")
    if directory.is_held:
        return "a daemon runs there"
    if mode is None:
        return "what it is cannot be read"
    if mode == "live":
        return "the books of real money"
    if not directory.summary.is_file():
        return "it has not ended"
    users = [
        other.path.name for other in manifests if other != directory and _names(manifests[other], directory)
    ]
    return f"{users[0]} needs it" if users else ""


def _names(manifest: dict[str, Any], directory: RunDirectory) -> bool:
    return any(Path(text).resolve().is_relative_to(directory.path.resolve()) for text in _texts(manifest))


def _texts(manifest: dict[str, Any]) -> Iterator[str]:
    for key in _NAMED_IN:
        value = manifest.get(key)
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                yield text
                yield text.rpartition(":")[0] or text  # RUN:N is a generation of a run
