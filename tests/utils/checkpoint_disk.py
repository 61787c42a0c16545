"""A disk that loses power: it may keep any part of what was not synced, in any order, and forget the rest.

Operations really happen, so that the program under test sees a working disk; they are also written down.
From that log every state can be made in which a power cut at any moment may leave the disk: file data since
the last fsync of the file is kept, lost or torn write by write; names since the last fsync of their folder
are kept or lost one by one (of a rename, either half).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ztb.utils import files
from ztb.utils.checkpoint.store import Store


@dataclass(frozen=True)
class Write:
    """`data` at `offset` of file `inode`; without data, a new size."""

    inode: int
    offset: int
    data: bytes | None = None


@dataclass(frozen=True)
class Name:
    """In `folder`, `name` now shows `inode`, or nothing."""

    folder: Path
    name: str
    inode: int | None


@dataclass(frozen=True)
class Sync:
    """What was written to a file, or named in a folder, is safe."""

    target: int | Path


@dataclass(frozen=True)
class Fact:
    """Something the program promised; not an operation."""

    what: str
    number: int


Files = dict[Path, bytes]

MOST_PENDING = 8  # every state of so many is still made; more mean that an fsync is missing


class Disk:
    """Stands in for the operations of `files`. `blind` names operations whose effect is not written down."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, blind: frozenset[str] = frozenset()) -> None:
        self.log: list[Write | Name | Sync | Fact] = []
        self.blind = blind
        self._inodes = itertools.count(1)
        self._open: dict[int, int] = {}
        self._named: dict[Path, int] = {}
        self._patch = monkeypatch
        for name in ("create", "preallocate", "write_at", "truncate", "sync", "rename", "remove", "touch"):
            self._wrap(files, name)
        self._wrap(files, "sync_folder")
        self._wrap(files, "close")
        self._wrap(Store, "save")

    def _wrap(self, owner: Any, name: str) -> None:
        real = getattr(owner, name)
        note = getattr(self, f"_{owner.__name__.rpartition('.')[2].lower()}_{name}")

        def wrapped(*arguments: Any) -> Any:
            result = real(*arguments)
            note(result, *arguments)
            return result

        self._patch.setattr(owner, name, wrapped)

    def _name(self, path: Path, inode: int | None) -> None:
        self.log.append(Name(path.parent, path.name, inode))
        if inode is None:
            self._named.pop(path, None)
        else:
            self._named[path] = inode

    def _files_create(self, descriptor: int, path: Path, _mode: int = 0o644) -> None:
        self._open[descriptor] = next(self._inodes)
        self._name(path, self._open[descriptor])

    def _files_preallocate(self, _: None, descriptor: int, nbytes: int) -> None:
        self.log.append(Write(self._open[descriptor], nbytes))

    def _files_write_at(self, _: None, descriptor: int, pieces: Any, offset: int) -> None:
        self.log.append(Write(self._open[descriptor], offset, b"".join(pieces)))

    def _files_truncate(self, _: None, descriptor: int, nbytes: int) -> None:
        self.log.append(Write(self._open[descriptor], nbytes))

    def _files_sync(self, _: None, descriptor: int) -> None:
        if descriptor in self._open and "sync" not in self.blind:
            self.log.append(Sync(self._open[descriptor]))

    def _files_close(self, _: None, descriptor: int) -> None:
        self._open.pop(descriptor, None)

    def _files_rename(self, _: None, source: Path, target: Path) -> None:
        self._name(target, self._named[source])
        self._name(source, None)

    def _files_remove(self, _: None, path: Path) -> None:
        if path in self._named:
            self._name(path, None)

    def _files_touch(self, _: None, path: Path) -> None:
        # The sync inside was noted before the name: note the name, then the sync, as it happened.
        last = self.log.pop() if "sync_folder" not in self.blind else None
        self._name(path, next(self._inodes))
        if last is not None:
            self.log.append(last)

    def _files_sync_folder(self, _: None, folder: Path) -> None:
        if "sync_folder" not in self.blind:
            self.log.append(Sync(folder))

    def _store_save(self, generation: Any, *_: Any) -> None:
        self.log.append(Fact("saved", generation.number))


def power_cuts(log: list[Any], moment: int, relevant: str) -> Iterator[Files]:
    """Every state of the disk after a power cut at `moment` of the log, as names with `relevant` show it."""
    names: list[Name] = []
    writes: dict[int, list[Write]] = {}
    safe_names: list[Name] = []
    safe_writes: dict[int, list[Write]] = {}
    for entry in log[:moment]:
        if isinstance(entry, Write):
            writes.setdefault(entry.inode, []).append(entry)
        elif isinstance(entry, Name):
            names.append(entry)
        elif isinstance(entry, Sync) and isinstance(entry.target, Path):
            safe_names += [name for name in names if name.folder == entry.target]
            names = [name for name in names if name.folder != entry.target]
        elif isinstance(entry, Sync):
            safe_writes.setdefault(entry.target, []).extend(writes.pop(entry.target, []))
    for kept in subsets(names):
        shown = show([*safe_names, *kept])
        seen = [path for path in shown if path.suffix != ".tmp" and relevant in path.name]
        visible = {path: shown[path] for path in seen}
        pending = [write for inode in visible.values() for write in writes.get(inode, [])]
        assert len(pending) <= MOST_PENDING, f"{len(pending)} unsynced writes under final names"
        for chosen in itertools.product((0.0, 0.5, 1.0), repeat=len(pending)):
            parts = [torn(write, part) for write, part in zip(pending, chosen, strict=True) if part]
            yield {
                path: content([*safe_writes.get(inode, []), *(w for w in parts if w.inode == inode)])
                for path, inode in visible.items()
            }


def subsets(names: list[Name]) -> Iterator[list[Name]]:
    for chosen in itertools.product((False, True), repeat=len(names)):
        yield [name for name, kept in zip(names, chosen, strict=True) if kept]


def show(names: list[Name]) -> dict[Path, int]:
    """What the folders show after these changes of names."""
    shown: dict[Path, int] = {}
    for name in names:
        path = name.folder / name.name
        if name.inode is None:
            shown.pop(path, None)
        else:
            shown[path] = name.inode
    return shown


def torn(write: Write, part: float) -> Write:
    if write.data is None:
        return write
    return Write(write.inode, write.offset, write.data[: round(part * len(write.data))])


def content(writes: list[Write]) -> bytes:
    """A file's bytes after these writes."""
    held = bytearray()
    for write in writes:
        end = write.offset if write.data is None else write.offset + len(write.data)
        if write.data is None:
            del held[end:]
        held.extend(bytes(max(0, end - len(held))))
        if write.data is not None:
            held[write.offset : end] = write.data
    return bytes(held)


def lay_out(state: Files, base: Path) -> None:
    """Make `state` real below `base`, which is emptied first."""
    folder = base / "exp"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for path, data in state.items():
        (folder / path.name).write_bytes(data)
