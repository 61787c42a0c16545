"""Storage of a frame's bytes: as they are, through zstd, or with only floats' exponents through zstd.

Coded frames are a sequence of blocks, each of 256 KiB of the array (the last may be shorter): a uint32 with
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

BLOCK = 1 << 18
_SMALLEST = 1 << 10
_WORTH = 0.97
_LENGTH = struct.Struct("<I")
_EXPONENT_WIDTH = {
    **dict.fromkeys(["float16", "bfloat16", "complex32", "<f2"], 2),
    **dict.fromkeys(["float32", "complex64", "<f4", "<c8"], 4),
    **dict.fromkeys(["float64", "complex128", "<f8", "<c16"], 8),
}


class Compression(NamedTuple):
    """A manager's compression: `none`, `zstd` for all, or `exponent` for floats and zstd for the rest.

    `level` is zstd's, for what is not exponents.
    """

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
    sample = raw[: min(raw.nbytes, BLOCK // 4)]
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
    compressor = _compressor(codec, level)
    for start in range(0, raw.nbytes, BLOCK):
        block = raw[start : start + BLOCK]
        packed, *rest = [block] if codec == "zstd" else _split(block, width)
        frame = compressor.compress(view(packed))
        yield _LENGTH.pack(len(frame))
        yield frame
        yield from (view(part) for part in rest)


def _compressor(codec: Codec, level: int) -> zstandard.ZstdCompressor:
    """Exponents of neighbours have nothing to do with each other: do not search for matches, code symbols."""
    if codec == "zstd":
        return zstandard.ZstdCompressor(level=level)
    fast = zstandard.STRATEGY_FAST
    return zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters.from_level(
            1, strategy=fast, min_match=7, hash_log=6
        )
    )


def _split(block: Bytes, width: int) -> list[Bytes]:
    """The exponent bytes, and what is stored as it is: mantissas' upper bytes with the sign, the other bytes.

    Rotating a float's upper 16 bits by one to the left puts the exponent (or its upper 8 bits) into one byte.
    Shifts and casts of whole words, as numpy runs them several times faster than strided copies.
    """
    values = block.view(f"<u{width}")
    upper = (values >> values.dtype.type(8 * width - 16)).astype("<u2")
    exponents = (upper >> np.uint16(7)).astype(np.uint8)
    mantissas = ((upper << np.uint16(1)) | (upper >> np.uint16(15))).astype(np.uint8)
    words = block.view("<u2").reshape(-1, width // 2)
    rest = values.astype("<u2") if width == 4 else np.ascontiguousarray(words[:, :-1])
    return [exponents, mantissas, rest.reshape(-1).view(np.uint8)]


def _join(exponents: Bytes, rest: Bytes, block: Bytes, width: int) -> None:
    """Undo `_split` into `block`; `rest` is what was stored as it is."""
    count = exponents.size
    mantissas = rest[:count].astype(np.uint16)
    upper = exponents.astype(np.uint16) << np.uint16(7)
    upper |= (mantissas >> np.uint16(1)) | (mantissas << np.uint16(15))
    words = block.view("<u2").reshape(count, width // 2)
    words[:, -1] = upper
    words[:, :-1] = rest[count:].view("<u2").reshape(count, width // 2 - 1)


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
            _join(packed, take(block.nbytes - packed.nbytes), block, width)


def _decompress(decompressor: zstandard.ZstdDecompressor, data: Bytes, expected: int) -> Bytes:
    try:
        if zstandard.frame_content_size(view(data)) != expected:
            raise Malformed(f"a zstd frame that does not hold {expected} bytes")
        plain = decompressor.decompress(view(data), max_output_size=expected, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Malformed(f"a zstd frame: {error}") from error
    return np.frombuffer(plain, np.uint8)
