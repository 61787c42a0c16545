"""Files as bytes: what they are by their first bytes, how much of them was read, what is wrong with them."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from ztb.errors import DataError

RECORDING_MAGIC = b"ZTBTICKS"


class Format(Enum):
    """What a file is, told by its content."""

    PARQUET = "parquet"
    FEATHER = "feather"
    RECORDING = "ztb recording"
    JSON = "JSON"
    TAPE = "websocket recording"
    CSV = "CSV"


@dataclass(slots=True)
class Progress:
    """How far one pass through a file has come, in bytes of the file."""

    done: int = 0
    _file: IO[bytes] | None = field(default=None, repr=False)

    def watch(self, file: IO[bytes]) -> None:
        """Follow `file`'s position until the next call."""
        self._file = file

    def bytes_read(self) -> int:
        """Bytes consumed so far."""
        if self._file is not None and not self._file.closed:
            self.done = max(self.done, self._file.tell())
        return self.done


@contextmanager
def blame(path: Path) -> Generator[None]:
    """Library and system errors while reading `path` become a DataError that names it."""
    try:
        yield
    except (pa.ArrowException, zipfile.BadZipFile, EOFError, OverflowError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {_plainly(str(error))}") from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file: check the path") from error
    except OSError as error:
        raise DataError(f"{path}: {_plainly(str(error))}") from error


def _plainly(message: str) -> str:
    text = message.strip().splitlines()[0] if message.strip() else "cannot be read"
    if re.search(
        r"[Tt]runcated compressed|inflate|zlib|ZSTD|end of (zst|gz)|Unexpected end|end-of-stream", text
    ):
        return f"compressed data is cut short or damaged ({text}): fetch the file again"
    return f"cannot be read as what its first bytes say it is ({text}): fetch or export it again"


@contextmanager
def plain_bytes(path: Path, progress: Progress | None = None) -> Generator[Any]:
    """`path`'s content as a pyarrow stream, decompressed (gzip, zstd, or a zip with a single file)."""
    with path.open("rb") as raw:
        if progress is not None:
            progress.watch(raw)
        head = raw.read(4)
        raw.seek(0)
        if head.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(raw) as archive, archive.open(_only_member(path, archive)) as member:
                yield _arrow_file(member)
        elif head.startswith(b"\x1f\x8b"):
            yield pa.CompressedInputStream(_arrow_file(raw), "gzip")
        elif head == b"\x28\xb5\x2f\xfd":
            yield pa.CompressedInputStream(_arrow_file(raw), "zstd")
        else:
            yield _arrow_file(raw)
        if progress is not None:
            progress.bytes_read()


def _arrow_file(file: Any) -> Any:
    return pa.PythonFile(file, mode="r")


def _only_member(path: Path, archive: zipfile.ZipFile) -> str:
    names = [n for n in archive.namelist() if not n.endswith("/")]
    if len(names) != 1:
        raise DataError(f"{path}: holds {len(names)} files: unpack it and name the folder")
    return names[0]


def read_head(path: Path, size: int = 65_536) -> bytes:
    """The first bytes of the decompressed content; DataError if there are none."""
    with blame(path), plain_bytes(path) as stream:
        head: bytes = stream.read(size)
    if not head.strip():
        raise DataError(f"{path}: is empty: fetch or export it again")
    return head


def sniff(path: Path) -> Format:
    """What `path` holds; anything unknown is taken for CSV, whose reader says what it misses."""
    with blame(path), path.open("rb") as raw:
        magic = raw.read(8)
    if magic.startswith(b"PAR1"):
        return Format.PARQUET
    if magic.startswith(b"ARROW1"):
        return Format.FEATHER
    if magic == RECORDING_MAGIC:
        return Format.RECORDING
    head = read_head(path).lstrip(b"\xef\xbb\xbf \r\n\t")
    if re.match(rb"\d{19} \{", head):
        return Format.TAPE
    return Format.JSON if head.startswith((b"[", b"{")) else Format.CSV


def whole_text(path: Path, limit: int, progress: Progress | None = None) -> bytes:
    """All of the decompressed content; DataError beyond `limit` bytes."""
    parts = io.BytesIO()
    with blame(path), plain_bytes(path, progress) as stream:
        while part := stream.read(1 << 20):
            parts.write(part)
            if parts.tell() > limit:
                raise DataError(
                    f"{path}: more than {limit >> 20} MiB of JSON, which has to be read as a whole: "
                    "convert it to CSV or parquet"
                )
    return parts.getvalue()
