"""How a frame's bytes are stored: as they are, through zstd, or with only floats' exponents through zstd.

Coded frames are a sequence of blocks, each of 1 MiB of the array (the last may be shorter): a uint32 with
the length of the zstd frame, the zstd frame, and for `exponent` what is stored as it is. Exponents of trained
weights hold some 3 bits of information in 8, mantissas are noise: compressing that costs time for nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import zstandard

from ztb.utils.checkpoint.arena import Bytes, view
from ztb.utils.checkpoint.errors import Malformed
from ztb.utils.checkpoint.layout import Codec, Frame

BLOCK = 1 << 20
_SMALLEST = 1 << 10
_WORTH = 0.97
_LENGTH = struct.Struct("<I")
_EXPONENT_WIDTH = {
    **dict.fromkeys(["float16", "bfloat16", "complex32", "<f2"], 2),
    **dict.fromkeys(["float32", "complex64", "<f4", "<c8"], 4),
    **dict.fromkeys(["float64", "complex128", "<f8", "<c16"], 8),
}


class Compression(NamedTuple):
    """What a manager was told: `none`, `zstd` for all, or `exponent` for floats and zstd for the rest."""

    name: str = "none"
    level: int = 1


def exponent_width(dtype: Any) -> int | None:
    """Bytes of one float of `dtype`, None if it is not made of floats."""
    return _EXPONENT_WIDTH.get(dtype) if isinstance(dtype, str) else None


def choose(dtype: Any, raw: Bytes, compression: Compression) -> Codec:
    """The codec for an array: raw where it is small or its first block does not shrink."""
    if compression.name == "none" or raw.nbytes < _SMALLEST:
        return "raw"
    codec: Codec = "exponent" if compression.name == "exponent" and exponent_width(dtype) else "zstd"
    sample = raw[: min(raw.nbytes, BLOCK // 8)]
    coded = sum(len(part) for part in encode(sample, codec, exponent_width(dtype) or 1, compression.level))
    return codec if coded < _WORTH * sample.nbytes else "raw"


def bound(raw: int) -> int:
    """The most bytes that `raw` bytes can take, whatever the codec."""
    blocks = -(-raw // BLOCK)
    return raw + raw // 128 + 1024 * blocks


def encode(raw: Bytes, codec: Codec, width: int, level: int) -> Iterator[memoryview | bytes]:
    """The stored bytes of `raw`, in pieces of about a block."""
    if codec == "raw":
        for start in range(0, raw.nbytes, BLOCK):
            yield view(raw[start : start + BLOCK])
        return
    compressor = zstandard.ZstdCompressor(level=level, write_content_size=True)
    for start in range(0, raw.nbytes, BLOCK):
        block = raw[start : start + BLOCK]
        packed, *rest = [block] if codec == "zstd" else _split(block, width)
        frame = compressor.compress(view(packed))
        yield _LENGTH.pack(len(frame))
        yield frame
        yield from (view(part) for part in rest)


def _split(block: Bytes, width: int) -> list[Bytes]:
    """Exponent bytes, and the other bytes of each float, lowest first; the sign moves below the mantissa."""
    word = np.dtype(f"<u{width}").type
    values = block.view(word)
    planes = ((values << word(1)) | (values >> word(8 * width - 1))).view(np.uint8).reshape(-1, width)
    return [np.ascontiguousarray(planes[:, i]) for i in (width - 1, *range(width - 1))]


def _join(planes: list[Bytes], block: Bytes, width: int) -> None:
    """Undo `_split` into `block`."""
    word = np.dtype(f"<u{width}").type
    mixed = np.empty((block.nbytes // width, width), np.uint8)
    for i, plane in zip((width - 1, *range(width - 1)), planes, strict=True):
        mixed[:, i] = plane
    values = mixed.view(word)[:, 0]
    block.view(word)[:] = (values >> word(1)) | (values << word(8 * width - 1))


Take = Callable[[int], Bytes]


def decode(take: Take, frame: Frame, memory: Bytes) -> None:
    """Fill `memory` from a coded frame, whose next n bytes `take(n)` gives; Malformed where they are none."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    width = exponent_width(frame.dtype) if frame.codec == "exponent" else 1
    if width is None or frame.raw % width:
        raise Malformed(f"exponents of a frame of dtype {frame.dtype}")
    for start in range(0, frame.raw, BLOCK):
        block = memory[start : start + BLOCK]
        (length,) = _LENGTH.unpack(view(take(_LENGTH.size)))
        packed = _decompress(decompressor, take(length), block.nbytes // width)
        if frame.codec == "zstd":
            block[:] = packed
        else:
            rest = [take(block.nbytes // width) for _ in range(width - 1)]
            _join([packed, *rest], block, width)


def _decompress(decompressor: zstandard.ZstdDecompressor, data: Bytes, expected: int) -> Bytes:
    try:
        if zstandard.frame_content_size(view(data)) != expected:
            raise Malformed(f"a zstd frame that does not hold {expected} bytes")
        plain = decompressor.decompress(view(data), max_output_size=expected, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Malformed(f"a zstd frame: {error}") from error
    return np.frombuffer(plain, np.uint8)
