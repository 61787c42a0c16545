"""A run's folder as one file, from a running daemon too, and a folder made of such a file again, here or elsewhere.

The file is a tar archive that any tar reads. Its last member, `backup.json`, says the SHA-256 of every other one, so
that one that was cut short or has rotted is refused whole. The journal comes first, through SQLite's online backup: it
is as it was at one moment, as a crash then would have left it, and all else is as old or younger, as after a crash too.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Final

import msgspec

from ztb.errors import DataError, NotFoundError, ResourceError, UsageError
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.clock import SystemClock
from ztb.runtime.modes.arming import arming_file
from ztb.utils import files
from ztb.utils.installation import code_version

SCHEMA_VERSION: Final = 1
_CONTENTS = "backup.json"
_ENDINGS = (".partial", ".part", ".tmp", ".gone")
"""Of files that are being written, or taken away, and are no part of a run."""
_SHORT = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)


class BackupContents(msgspec.Struct, frozen=True):
    """The contents of a backup: `files` by name with the SHA-256 of each. `run`: the folder's name; `made_ns` since
    1970.
    """

    run: str
    made_ns: int
    code_version: str
    bytes: int
    files: dict[str, str]
    schema_version: int = SCHEMA_VERSION


def back_up(directory: RunDirectory, target: Path, recordings: bool = True) -> BackupContents:
    """Write all of a run to `target`, durable on return, with or without its recorded ticks; the run may go on.

    UsageError: `target` is there already, or within the run. NotFoundError: no run. ResourceError: no room.
    """
    folder = directory.path
    if not directory.journal.is_file():
        raise NotFoundError(f"{directory.journal}: no journal there; is {folder} a run directory?")
    if target.exists():
        raise UsageError(f"{target}: is there already; a backup overwrites nothing, name a new file")
    if target.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{target}: lies within the run; name a file outside of {folder}")
    with _room(target):
        if target.parent.exists() and not target.parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        files.make_folder(target.parent)
        with files.replacing(target) as partial, os.fdopen(files.create(partial, 0o600), "wb") as out:
            contents = _write(directory, out, recordings, partial)
            out.flush()
            files.sync(out.fileno())
        files.sync_folder(target.parent)
    return contents


def _write(directory: RunDirectory, out: BinaryIO, recordings: bool, partial: Path) -> BackupContents:
    sums: dict[str, str] = {}
    size = 0
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in _sources(directory, recordings, partial):
            try:
                source = path.open("rb")
            except FileNotFoundError:
                continue  # retention was quicker
            with source:
                member = archive.gettarinfo(arcname=name, fileobj=source)
                hashing = _Hashing(source)
                archive.addfile(member, hashing)
            sums[name], size = hashing.sha256.hexdigest(), size + member.size
        name = directory.path.resolve().name
        contents = BackupContents(
            run=name, made_ns=SystemClock().now_ns(), code_version=code_version(), bytes=size, files=sums
        )
        said = msgspec.json.format(msgspec.json.encode(contents))
        member = tarfile.TarInfo(_CONTENTS)
        member.size, member.mode = len(said), 0o600
        archive.addfile(member, io.BytesIO(said))
    return contents


def _sources(directory: RunDirectory, recordings: bool, partial: Path) -> Iterator[tuple[str, Path]]:
    """(name, file) of what is worth keeping, the journal first and what only grows last."""
    folder, copied = directory.path, partial.with_name(f"{partial.name}-journal")
    files.remove(copied)  # left by one that was killed
    try:
        with contextlib.closing(JournalReader(directory.journal)) as journal:
            journal.copy(copied)
        yield directory.journal.name, copied
    finally:
        files.remove(copied)
    ticks = folder / "ticks"
    found = [path for path in sorted(folder.rglob("*")) if _kept(path, directory)]
    for path in sorted(found, key=lambda path: path.is_relative_to(ticks)):
        if recordings or not path.is_relative_to(ticks):
            yield path.relative_to(folder).as_posix(), path


def _kept(path: Path, directory: RunDirectory) -> bool:
    is_journal = path.name.startswith(directory.journal.name) and path.parent == directory.path
    return (
        path.is_file()
        and not path.is_symlink()
        and not is_journal
        and path.name != "lock"
        and not path.name.endswith(_ENDINGS)
    )


def restore(source: Path, folder: Path) -> BackupContents:
    """Make `folder` of a backup, whole or not at all, every byte compared, durable on return.

    What allowed it to trade real money is not taken over: where it comes from may trade still. A halt is.
    UsageError: something is in the folder. DataError: `source` is no backup, damaged, or of a newer ztb.
    """
    if RunDirectory(folder).is_held:
        raise UsageError(f"{folder}: a daemon runs there; restore into a new folder")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: is not empty; a backup overwrites nothing, restore into a new folder")
    if not source.is_file():
        raise NotFoundError(f"{source}: no such file")
    with _room(folder):
        files.make_folder(folder.resolve().parent)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.resolve().parent))
        try:
            contents = _read(source, made)
            files.remove(arming_file(made))
            made.chmod(0o755)
            for inner in (path for path in made.rglob("*") if path.is_dir()):
                files.sync_folder(inner)
            files.sync_folder(made)
            files.rename(made, folder)
            files.sync_folder(folder.resolve().parent)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return contents


def _read(source: Path, made: Path) -> BackupContents:
    """Unpack into `made` and compare with what the archive says of itself."""
    sums: dict[str, str] = {}
    contents: BackupContents | None = None
    try:
        with tarfile.open(source, mode="r:") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content is None:
                    raise DataError(f"{source}: {member.name!r} is no file; this is no backup of a run")
                if member.name == _CONTENTS:
                    contents = _contents(source, content.read())
                else:
                    sums[member.name] = _unpack(source, member, content, made)
    except tarfile.TarError as error:
        raise DataError(f"{source}: not a backup, or cut short ({error}); take another one") from None
    if contents is None:
        raise DataError(
            f"{source}: not a backup of a run, or cut short: {_CONTENTS} is missing; take another one"
        )
    if sums != contents.files:
        wrong = next(name for name in sums | contents.files if sums.get(name) != contents.files.get(name))
        raise DataError(f"{source}: damaged: {wrong} is not what was backed up; take another one")
    return contents


def _contents(source: Path, said: bytes) -> BackupContents:
    try:
        contents = msgspec.json.decode(said, type=BackupContents)
    except msgspec.DecodeError as error:
        raise DataError(
            f"{source}: damaged: {_CONTENTS} cannot be read ({error}); take another one"
        ) from None
    if contents.schema_version > SCHEMA_VERSION:
        raise DataError(
            f"{source}: backup schema {contents.schema_version}, by ztb {contents.code_version}, is newer than this "
            f"ztb knows ({SCHEMA_VERSION}); update ztb"
        )
    return contents


def _unpack(source: Path, member: tarfile.TarInfo, content: IO[bytes], made: Path) -> str:
    """Write one file, durable but for its folder; its SHA-256."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise DataError(
            f"{source}: {member.name!r} would lie outside of the folder; this is no backup of a run"
        )
    path = made / name
    path.parent.mkdir(parents=True, exist_ok=True)
    hashing = _Hashing(content)
    with os.fdopen(files.create(path, member.mode & 0o777), "wb") as out:
        shutil.copyfileobj(hashing, out)
        out.flush()
        files.sync(out.fileno())
    os.utime(path, (member.mtime, member.mtime))
    return hashing.sha256.hexdigest()


class _Hashing:
    """A file to read from, and the digest of what was read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.sha256 = hashlib.sha256()

    def read(self, nbytes: int = -1) -> bytes:
        """The next bytes, so many at most."""
        piece = self._source.read(nbytes)
        self.sha256.update(piece)
        return piece


@contextlib.contextmanager
def _room(place: Path) -> Generator[None]:
    """Say a refusal of the disk or the system as such: where more room, or another disk, helps, as short of it."""
    try:
        yield
    except OSError as error:
        said = f"{place}: cannot be written ({error.strerror or error})"
        if error.errno in _SHORT:
            raise ResourceError(f"{said}; free space, or name another disk") from error
        raise UsageError(f"{said}; name another place") from error
