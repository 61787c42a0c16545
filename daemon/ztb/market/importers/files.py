"""Files as bytes: what they are by their first bytes, how much of them was read, what is wrong with them."""

from __future__ import annotations

import codecs
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import pyarrow as pa

from ztb.errors import DataError

RECORDING_MAGIC = b"ZTBTICKS"


class Format(Enum):
    """What a file is, told by its content."""

    PARQUET = "parquet"
    FEATHER = "feather"
    ARROW_STREAM = "Arrow stream"
    RECORDING = "ztb recording"
    JSON = "JSON"
    TAPE = "websocket recording"
    CSV = "CSV"


class Bytes(Protocol):
    """What is asked of a stream of bytes."""

    @property
    def closed(self) -> bool: ...

    def read(self, size: int, /) -> bytes: ...

    def readinto(self, space: memoryview, /) -> int: ...

    def tell(self) -> int: ...


@dataclass(slots=True)
class ReadProgress:
    """How far one pass through a file has come, in bytes of the file."""

    done: int = 0
    _file: Bytes | None = field(default=None, repr=False)

    def watch(self, file: Bytes) -> None:
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
    except (
        pa.ArrowException,
        zipfile.BadZipFile,
        EOFError,
        OverflowError,
        UnicodeError,
        lzma.LZMAError,
    ) as error:
        raise DataError(f"{path}: {_plainly(str(error))}") from error
    except (zlib.error, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path}: {_plainly(f'zlib: {error}')}") from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file: check the path") from error
    except OSError as error:
        raise DataError(f"{path}: {_plainly(str(error))}") from error


def _plainly(message: str) -> str:
    text = printable(message.strip().splitlines()[0]) if message.strip() else "cannot be read"
    if re.search(
        r"[Tt]runcated compressed|[Cc]ompressed (data|file) ended|inflate|zlib|ZSTD|end of (zst|gz)|[Cc]orrupt|"
        r"Unexpected end|end-of-stream|bzlib|[Ii]nvalid data stream|CRC",
        text,
    ):
        return f"compressed data is cut short or damaged ({text}): fetch the file again"
    return f"cannot be read as what its first bytes say it is ({text}): fetch or export it again"


def printable(text: str) -> str:
    """`text` with what a terminal would not show as a letter written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


_LFS = b"version https://git-lfs"
# First bytes of what is not read, what it is, and what to do.
_FOREIGN = (
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook (xls)", "save it as CSV"),
    (0, b"SQLite format 3\x00", "an SQLite database", "export a table as CSV or parquet"),
    (8, b"DUCK", "a DuckDB database", "export a table as CSV or parquet"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", "write it as parquet, such as with pandas.read_hdf(…).to_parquet(…)"),
    (0, b"\x93NUMPY", "a numpy array", "write it as CSV or parquet"),
    (0, b"FEA1", "a feather file of version 1", "write it as feather version 2 or parquet"),
    (0, b"PARE", "an encrypted parquet file", "write it without encryption"),
    (0, b"ORC", "an ORC file", "write it as parquet"),
    (0, b"Obj\x01", "an Avro file", "write it as parquet"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
    (0, b"Rar!\x1a\x07", "a RAR archive", "unpack it"),
    (257, b"ustar", "a tar archive", "unpack it and name the folder"),
    (0, b"%PDF", "a PDF document", "fetch the data as CSV"),
    (0, _LFS, "a pointer of Git LFS, not the file itself", "fetch it with `git lfs pull`"),
    (0, b"\x80\x04\x95", "a Python pickle, which may run any code", "write it as parquet"),
    (0, b"\x80\x05\x95", "a Python pickle, which may run any code", "write it as parquet"),
)  # fmt: skip
_TABLES = (b"PAR1", b"ARROW1", RECORDING_MAGIC)
_PACKED = (b"PK\x03\x04", b"\xfd7zXZ\x00", b"BZh", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")
_MARKUP = re.compile(rb"\s*<(!doctype|html|\?xml|table)", re.IGNORECASE)


def _refuse_foreign(path: Path, head: bytes, within: str = "") -> None:
    for at, magic, what, remedy in _FOREIGN:
        if head[at:].startswith(magic):
            raise DataError(f"{path}: is {what}{within}, which is not read: {remedy}")
    if _MARKUP.match(head):
        raise DataError(f"{path}: is a page of HTML or XML{within}, not data: fetch the data themselves")
    if within and head.startswith(_PACKED):
        raise DataError(f"{path}: is packed twice, of which once is read: unpack it")
    if within and head.startswith(_TABLES):
        raise DataError(f"{path}: is a binary table{within}, which is read only by itself: unpack it first")


@contextmanager
def plain_bytes(path: Path, progress: ReadProgress | None = None) -> Generator[Bytes]:
    """`path`'s content, decompressed: gzip, zstd, lz4, bzip2, xz, or a zip with a single file."""
    with path.open("rb") as raw:
        head = raw.read(6)
        raw.seek(0)
        if progress is not None:
            progress.watch(raw)
        if head.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(raw) as archive, _member(path, archive) as member:
                yield member
        elif head == b"\xfd7zXZ\x00":
            with lzma.open(raw) as file:
                yield file
        elif head.startswith(b"BZh"):
            import bz2

            with bz2.open(raw) as file:
                yield file
        else:
            with _native(path, head, progress) as stream:
                yield stream
        if progress is not None:
            progress.bytes_read()


_Codec: TypeAlias = Literal["gzip", "zstd", "lz4"]
_NATIVE: tuple[tuple[bytes, _Codec], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
)


@contextmanager
def _native(path: Path, head: bytes, progress: ReadProgress | None) -> Generator[Bytes]:
    """Arrow's own file: nothing of Python's is called while it reads."""
    codec: _Codec | None = next((name for magic, name in _NATIVE if head.startswith(magic)), None)
    with pa.OSFile(str(path), "rb") as opened:
        file: Any = opened
        if progress is not None:
            progress.watch(file)
        if codec is None:
            yield file
        else:
            with pa.CompressedInputStream(file, codec) as stream:
                decompressed: Any = stream
                yield decompressed


def _member(path: Path, archive: zipfile.ZipFile) -> Any:
    names = [entry.filename for entry in archive.infolist()]
    if "[Content_Types].xml" in names:
        what = "an Excel workbook (xlsx)" if any(n.startswith("xl/") for n in names) else "an Office document"
        raise DataError(f"{path}: is {what}, which is not read: save it as CSV")
    if names and all(name.endswith(".npy") for name in names):
        raise DataError(f"{path}: is a numpy archive (npz), which is not read: write it as CSV or parquet")
    members = [entry for entry in archive.infolist() if not _is_litter(entry.filename)]
    if len(members) != 1:
        raise DataError(f"{path}: holds {len(members)} files: unpack it and name the folder")
    if members[0].flag_bits & 1:
        raise DataError(f"{path}: is an encrypted zip: unpack it with its password")
    try:
        return archive.open(members[0])
    except NotImplementedError as error:
        raise DataError(
            f"{path}: its zip is compressed by method {members[0].compress_type}, which is not read: unpack it"
        ) from error


def _is_litter(name: str) -> bool:
    """Folders, and what a Mac or Windows adds to them."""
    last = name.rsplit("/", 1)[-1]
    return name.endswith("/") or name.startswith("__MACOSX/") or last.startswith("._") or last in (
        ".DS_Store", "Thumbs.db", "desktop.ini",
    )  # fmt: skip


def read_head(path: Path, size: int = 65_536) -> bytes:
    """The first bytes of the decompressed content, at least `size` where there are so many; DataError if none."""
    parts = bytearray()
    with blame(path), plain_bytes(path) as stream:
        while len(parts) < size and (part := stream.read(size - len(parts))):
            parts += part
    if not parts.strip():
        raise DataError(f"{path}: is empty: fetch or export it again")
    return bytes(parts)


def sniff(path: Path) -> Format:
    """What `path` holds; anything unknown is taken for CSV, whose reader says what it misses.

    DataError if it is something known that is not read.
    """
    with blame(path), path.open("rb") as raw:
        magic = raw.read(512)
    _refuse_foreign(path, magic)
    if magic.startswith(b"PAR1"):
        return Format.PARQUET
    if magic.startswith(b"ARROW1"):
        return Format.FEATHER
    if magic.startswith(b"\xff\xff\xff\xff"):
        return Format.ARROW_STREAM
    if magic.startswith(RECORDING_MAGIC):
        return Format.RECORDING
    head = read_head(path)
    _refuse_foreign(path, head, " in a compressed file" if not head.startswith(magic[:64]) else "")
    text = head_text(path, head).lstrip(" \r\n\t")
    if re.match(r"\d{19} \{", text):
        return Format.TAPE
    return Format.JSON if text.startswith(("[", "{")) else Format.CSV


def head_text(path: Path, head: bytes) -> str:
    """The first bytes of a file as text, without its mark. DataError if they are none."""
    name = encoding(head)
    if name is not None:
        return codecs.getincrementaldecoder(name)("replace").decode(head).removeprefix("\ufeff")
    if b"\x00" in head[:4096]:
        raise DataError(
            f"{path}: is no text and no format that is known (it begins with {head[:8].hex(' ')}): "
            "export it as CSV or parquet"
        )
    head = head.removeprefix(codecs.BOM_UTF8)
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return head.decode("latin-1")


def encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32 as its mark or its zeros tell; None: bytes that can be read one by one."""
    for mark, name in ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
                       (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):  # fmt: skip
        if head.startswith(mark):
            return name
    pairs = head[: min(len(head), 512) // 2 * 2]
    if len(pairs) >= 8 and not any(pairs[1::2]):
        return "utf-16-le"
    return "utf-16-be" if len(pairs) >= 8 and not any(pairs[::2]) else None


def whole_text(path: Path, limit: int, progress: ReadProgress | None = None) -> bytes:
    """All of the decompressed content as UTF-8 without a mark; DataError beyond `limit` bytes."""
    parts = io.BytesIO()
    with blame(path), plain_bytes(path, progress) as stream:
        while part := stream.read(1 << 20):
            parts.write(part)
            if parts.tell() > limit:
                raise DataError(
                    f"{path}: more than {limit >> 20} MiB of JSON, which has to be read as a whole: "
                    "convert it to CSV or parquet"
                )
        content = parts.getvalue()
        name = encoding(content[:512])
        return content.decode(name).encode() if name else content.removeprefix(codecs.BOM_UTF8)
