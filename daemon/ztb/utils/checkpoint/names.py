"""File names inside an experiment's folder, and nothing but names: what is in a folder is read off them.

`gen-00000007.ckpt` is generation 7, `gen-00000007.pinned` a mark on it (any word of small letters),
`gen-00000007.gone` keeps the number of a deleted newest generation from being used again,
`gen-00000008.tmp` is a save in progress, `lock` the writer's lock.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ztb.errors import UsageError

LOCK = "lock"
DATA, TEMPORARY, GONE = "ckpt", "tmp", "gone"
PINNED, PROMOTED = "pinned", "promoted"

_EXPERIMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_FILE = re.compile(r"gen-([0-9]{8,18})\.([a-z]{1,32})")
_MARK = re.compile(r"[a-z]{1,32}")


@dataclass(frozen=True, slots=True)
class Contents:
    """Names in a folder, read; numbers ascending."""

    numbers: tuple[int, ...]
    marks: dict[int, frozenset[str]]
    temporary: tuple[str, ...]
    gone: frozenset[int]

    @property
    def next_number(self) -> int:
        """One more than every number ever seen here; the first generation is 0."""
        return max((*self.numbers, *self.marks, *self.gone, -1)) + 1


def check_experiment(name: str) -> str:
    """`name`, if it can be a folder's name everywhere; else UsageError."""
    if not _EXPERIMENT.fullmatch(name):
        raise UsageError(
            f"experiment name {name!r}: use 1 to 100 letters, digits, '.', '_' or '-', "
            "beginning with a letter or digit"
        )
    return name


def check_mark(label: str) -> str:
    """`label`, if it can be a mark; else UsageError."""
    if not _MARK.fullmatch(label) or label in (DATA, TEMPORARY, GONE):
        raise UsageError(f"mark {label!r}: use 1 to 32 small letters, and none of ckpt, tmp, gone")
    return label


def file_name(number: int, suffix: str) -> str:
    return f"gen-{number:08d}.{suffix}"


def _parse(name: str) -> tuple[int, str] | None:
    match = _FILE.fullmatch(name)
    if match is None or file_name(int(match[1]), match[2]) != name:
        return None
    return int(match[1]), match[2]


def contents(names: Iterable[str]) -> Contents:
    """Sort the names of a folder into kinds; foreign names are left alone."""
    by_suffix: dict[str, set[int]] = {}
    for name in names:
        if parsed := _parse(name):
            by_suffix.setdefault(parsed[1], set()).add(parsed[0])
    numbers = by_suffix.pop(DATA, set())
    temporary = by_suffix.pop(TEMPORARY, set())
    gone = by_suffix.pop(GONE, set())
    marks: dict[int, set[str]] = {}
    for label, marked in by_suffix.items():
        for number in marked:
            marks.setdefault(number, set()).add(label)
    return Contents(
        tuple(sorted(numbers)),
        {number: frozenset(labels) for number, labels in marks.items()},
        tuple(file_name(number, TEMPORARY) for number in sorted(temporary)),
        frozenset(gone),
    )


def read_folder(folder: Path) -> Contents:
    """Contents of `folder`; an absent folder is an empty one."""
    try:
        return contents(os.listdir(folder))  # noqa: PTH208 (names are wanted, not paths)
    except FileNotFoundError:
        return contents(())
