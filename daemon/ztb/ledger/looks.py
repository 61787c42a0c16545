"""Looks: how often a span of data has been tried something on, over all replays, trainings and studies.

Who tries often enough finds something that was good by luck; what a result is worth depends on how often one looked
(Bailey and López de Prado 2014, "The Deflated Sharpe Ratio"). One line each is kept in one small file beside the runs,
`looks.jsonl`. The same run again is the same look.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from ztb.errors import DataError, ResourceError
from ztb.utils.full_disk import says_full_disk

LookKind = Literal["replay", "train", "study"]


@dataclass(frozen=True, slots=True)
class Look:
    """Something tried on data with digest `data`, whose results from `first_ns` to `last_ns` were seen.

    `key` names what was tried: the same key is the same look. `run`: the folder, as it was called.
    """

    data: str
    first_ns: int
    last_ns: int
    kind: LookKind
    key: str
    run: str


def _temporary() -> Path | None:
    """The folder for temporary files; None where none can be written to, as in a unit under restrictions."""
    try:
        return Path(tempfile.gettempdir()).resolve()
    except FileNotFoundError:
        return None


class Looks:
    """The looks in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def beside(cls, folder: Path) -> Looks:
        """Those of the runs among which `folder` lies: in the working folder, if it lies below that or is a temporary
        one, else beside it.
        """
        place, here = folder.resolve(), Path.cwd()
        near = place.is_relative_to(here) or place.parent == _temporary()
        return cls((here if near else place.parent) / "looks.jsonl")

    def add(self, looks: Iterable[Look]) -> None:
        """Keep those whose keys are new, durable on return.

        DataError: the file cannot be written. ResourceError: the disk is full.
        """
        try:
            self._add(list(looks))
        except OSError as error:
            if says_full_disk(error):
                raise ResourceError(f"{self.path}: the disk is full: make room and run it again") from None
            raise DataError(
                f"{self.path}: looks cannot be counted ({error.strerror}): make it, and its disk, writable"
            ) from None

    def _add(self, looks: list[Look]) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "rb+", closefd=True) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            known = {look.key for look in self.all()}
            fresh = {look.key: look for look in looks if look.key not in known}
            if fresh:
                torn = file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"
                lines = [json.dumps(asdict(look)) + "\n" for look in fresh.values()]
                file.write((("\n" if torn else "") + "".join(lines)).encode())
                file.flush()
                os.fsync(file.fileno())

    def all(self) -> list[Look]:
        """Every look; lines that are none (a machine died while one was written) are left out."""
        if not self.path.exists():
            return []
        found: dict[str, Look] = {}
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                look = Look(**json.loads(line))
            except (ValueError, TypeError):
                continue
            found.setdefault(look.key, look)
        return list(found.values())

    def at(self, data: str, first_ns: int, last_ns: int) -> list[Look]:
        """Those that saw anything of a span of some data."""
        return [
            look
            for look in self.all()
            if look.data == data and look.first_ns < last_ns and look.last_ns > first_ns
        ]


def said(looks: Collection[Look]) -> str:
    """How many, and by what."""
    if not looks:
        return "none counted"
    by = ", ".join(f"{times:,} by {kind}" for kind, times in sorted(by_kind(looks).items()))
    return f"{len(looks):,} look{'' if len(looks) == 1 else 's'} ({by})"


def by_kind(looks: Iterable[Look]) -> dict[str, int]:
    """How many of each kind."""
    return dict(Counter(look.kind for look in looks))
