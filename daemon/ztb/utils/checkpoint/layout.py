"""The bytes of a generation file; FORMAT.md says the same in prose.

header (64 bytes) | frames, one after the other | manifest (JSON). Everything is under an XXH3-64: the
header's last 8 bytes cover the header, the header holds the manifest's, the manifest holds each frame's.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import xxhash

from ztb.utils.checkpoint.errors import Malformed

MAGIC = b"\x89ZTB\r\n\x1a\n"
VERSION = 1
HEADER_BYTES = 64
MAX_MANIFEST_BYTES = 1 << 26
_FIELDS = struct.Struct("<8sIIQQQQQ")  # 56 bytes; the header's checksum follows
_CHECKSUM = struct.Struct("<Q")

Kind = Literal["bytes", "array", "scalar", "tensor", "parameter"]
Codec = Literal["raw", "zstd", "exponent"]


class Frame(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One array's bytes: what they are, how they are stored. `raw` and `stored` are byte counts."""

    kind: Kind
    dtype: Any
    shape: tuple[int, ...]
    raw: int
    stored: int = 0
    xxh3: str = ""
    codec: Codec = "raw"
    fortran: bool = False
    requires_grad: bool = False


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON at the file's end. `state` is the tree of `tree.py`, left undecoded until it is wanted."""

    schema: int
    writer: str
    name: str
    generation: int
    created_ns: int
    replaced: int
    metrics: dict[str, float | None]
    lineage: dict[str, Any]
    frames: list[Frame]
    state: msgspec.Raw


@dataclass(frozen=True, slots=True)
class Header:
    """The first 64 bytes. Bytes 0 to 16 and the checksum are where they are in every version."""

    generation: int
    manifest_offset: int
    manifest_bytes: int
    file_bytes: int
    manifest_xxh3: int
    version: int = VERSION

    def pack(self) -> bytes:
        fields = _FIELDS.pack(
            MAGIC,
            self.version,
            HEADER_BYTES,
            self.generation,
            self.manifest_offset,
            self.manifest_bytes,
            self.file_bytes,
            self.manifest_xxh3,
        )
        return fields + _CHECKSUM.pack(xxhash.xxh3_64_intdigest(fields))


def unpack_header(raw: bytes) -> Header:
    """The header of any version, its checksum verified; Malformed otherwise."""
    if len(raw) != HEADER_BYTES:
        raise Malformed(f"the file ends after {len(raw)} of the header's {HEADER_BYTES} bytes")
    magic, version, size, generation, offset, nbytes, total, checksum = _FIELDS.unpack_from(raw)
    if magic != MAGIC:
        raise Malformed("the file does not begin as a generation does")
    if _CHECKSUM.unpack_from(raw, _FIELDS.size)[0] != xxhash.xxh3_64_intdigest(raw[: _FIELDS.size]):
        raise Malformed("the header's checksum does not match")
    if size != HEADER_BYTES:
        raise Malformed(f"the header claims {size} bytes")
    return Header(
        generation=generation,
        manifest_offset=offset,
        manifest_bytes=nbytes,
        file_bytes=total,
        manifest_xxh3=checksum,
        version=version,
    )


def check_extent(header: Header, file_bytes: int, number: int) -> None:
    """Everything lies inside the file and nothing is left over; Malformed otherwise."""
    if header.file_bytes != file_bytes:
        raise Malformed(f"{file_bytes} bytes long, {header.file_bytes} were written")
    if header.manifest_offset < HEADER_BYTES or header.manifest_offset + header.manifest_bytes != file_bytes:
        raise Malformed("the manifest does not lie at the end of the file")
    if header.manifest_bytes > MAX_MANIFEST_BYTES:
        raise Malformed(f"a manifest of {header.manifest_bytes} bytes (limit {MAX_MANIFEST_BYTES})")
    if header.generation != number:
        raise Malformed(f"holds generation {header.generation}")


def decode_manifest(raw: bytes, header: Header) -> Manifest:
    """The manifest, its checksum and the frames' extent verified; Malformed otherwise."""
    if xxhash.xxh3_64_intdigest(raw) != header.manifest_xxh3:
        raise Malformed("the manifest's checksum does not match")
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"the manifest is not one: {error}") from error
    if manifest.generation != header.generation:
        raise Malformed(f"the manifest is of generation {manifest.generation}")
    if any(frame.stored < 0 for frame in manifest.frames):
        raise Malformed("a frame of negative length")
    if HEADER_BYTES + sum(frame.stored for frame in manifest.frames) != header.manifest_offset:
        raise Malformed("the frames do not fill the space between header and manifest")
    return manifest
