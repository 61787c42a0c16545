"""A run's folder: what lies where, and how a new one is chosen."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ztb.errors import DataError, UsageError
from ztb.utils import files

_LOOKS, _LOOK_S = 20, 0.005
"""For so long who holds a folder may be somebody who only looks whether it is held, as a watchdog does all the time."""


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Names of the files of a run. `made`: whether the folder was not there before `make`."""

    path: Path
    made: bool = field(default=False, compare=False)

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
        files.write_durably(path, f"{json.dumps(content, indent=2, allow_nan=False)}\n".encode())

    def read_json(self, path: Path) -> dict[str, Any]:
        """The content of one of the run's JSON files. DataError if it is missing or damaged."""
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error}); is {self.path} a finished run?") from None
        return content

    @property
    def holds_run(self) -> bool:
        """True if a run has begun there."""
        return self.journal.exists() or self.manifest.exists()

    def make(self) -> RunDirectory:
        """Itself, the folder made where it is missing. UsageError if it cannot be."""
        made = not self.path.exists()
        try:
            files.make_folder(self.path)
        except OSError as error:
            raise UsageError(
                f"{self.path}: cannot be created ({error.strerror}); choose another --out"
            ) from None
        return replace(self, made=made)

    @contextlib.contextmanager
    def kept_if_begun(self) -> Generator[None]:
        """Remove a folder that we made again where the context fails before a run has begun in it."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError):
                self._remove_if_empty()
            raise

    def _remove_if_empty(self) -> None:
        if not self.made or {path.name for path in self.path.iterdir()} - {"lock"}:
            return
        (self.path / "lock").unlink(missing_ok=True)
        self.path.rmdir()
        if self.path.parent == Path("runs") and not any(self.path.parent.iterdir()):
            self.path.parent.rmdir()

    def remove_begun(self) -> None:
        """Take away what a run that could not be made has begun with: its manifest and its journal."""
        for path in (self.manifest, *self.path.glob(f"{self.journal.name}*")):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def held(
        self, busy: str = "a daemon runs there already; `ztb status --run {}` asks it"
    ) -> Generator[None]:
        """While the context lasts no other process may hold it; the kernel lets go of it, however ours ends.

        UsageError if another one holds it, which `busy` says, or if it is not ours to write.
        """
        lock = self._lock(busy.format(self.path))
        try:
            yield
        finally:
            os.close(lock)

    @property
    def is_held(self) -> bool:
        """True if a process holds it."""
        try:
            with (self.path / "lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _lock(self, busy: str) -> int:
        try:
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UsageError(
                f"{self.path}: cannot be written ({error.strerror}); choose another --out"
            ) from None
        for _ in range(_LOOKS):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_LOOK_S)
            else:
                return lock
        os.close(lock)
        raise UsageError(f"{self.path}: {busy}")


def next_free(folder: Path, name: str) -> Path:
    """The next free `folder/<name>-NNN`, from 001 on."""
    return _free(folder, f"{name}-", 1)


def create_run_directory(out: Path | None, mode: str) -> RunDirectory:
    """`out`, or the next free `runs/<mode>-NNN`. UsageError if a run is there already."""
    directory = RunDirectory(out or next_free(Path("runs"), mode))
    if directory.holds_run:
        raise UsageError(f"{out}: holds a run already; choose another --out, or remove it")
    return directory.make()


def next_run_directory(out: Path) -> RunDirectory:
    """`out`, or where that holds a run already, the next free `out/run-NNN`, from 002 on."""
    first = RunDirectory(out)
    return (RunDirectory(_free(out, "run-", 2)) if first.holds_run else first).make()


def _free(folder: Path, prefix: str, number: int) -> Path:
    while (folder / f"{prefix}{number:03}").exists():
        number += 1
    return folder / f"{prefix}{number:03}"
