"""Leaves of a state, whose bytes become frames; numpy arrays and scalars, and bytes, as leaves and back.

dtypes become JSON: simple ones as their type string, structured ones field by field.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from ztb.utils.checkpoint.arena import Bytes
from ztb.utils.checkpoint.errors import Malformed
from ztb.utils.checkpoint.layout import Frame, Kind

Copy = Callable[[Any, Bytes], None]


class Leaf(msgspec.Struct, frozen=True):
    """An array to copy: from `address` if `source` lies in one piece, else by `copy(source, destination)`.

    `frame` describes the bytes; how they are stored is not known yet.
    """

    frame: Frame
    source: object
    copy: Copy
    address: int | None = None


Json = Any
Dtype = np.dtype[Any]

_SIMPLE = re.compile(r"[<>|][biufcSUVmM][0-9]{0,9}(\[[0-9]{0,9}[a-zA-Zμ]{1,3}\])?")
_MAX_DEPTH = 16


def dtype_to_json(dtype: Dtype) -> Json:
    """A JSON value from which `dtype_from_json` makes an equal dtype; TypeError where there is none."""
    encoded = _encode(dtype)
    try:
        back = dtype_from_json(encoded)
    except Malformed:
        raise TypeError(f"numpy dtype {dtype} cannot be saved") from None
    if back != dtype or back.type is not dtype.type or back.isalignedstruct != dtype.isalignedstruct:
        raise TypeError(f"numpy dtype {dtype!r} would not come back as it is")
    return encoded


def _encode(dtype: Dtype) -> Json:
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"base": _encode(base), "shape": list(shape)}
    if dtype.names is None:
        return dtype.str
    table = cast("dict[str, tuple[Any, ...]]", dtype.fields)
    fields = [table[name] for name in dtype.names]
    return {
        "names": list(dtype.names),
        "formats": [_encode(field[0]) for field in fields],
        "offsets": [int(field[1]) for field in fields],
        "titles": [field[2] if len(field) > 2 else None for field in fields],
        "itemsize": dtype.itemsize,
        "aligned": dtype.isalignedstruct,
    }


def dtype_from_json(encoded: Json) -> Dtype:
    """The dtype, which never holds Python objects; Malformed otherwise."""
    try:
        return _decode(encoded, _MAX_DEPTH)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise Malformed(f"no numpy dtype: {error}") from error


def _decode(encoded: Json, depth: int) -> Dtype:
    if depth == 0:
        raise Malformed(f"numpy dtype nested more than {_MAX_DEPTH} deep")
    if isinstance(encoded, str):
        if not _SIMPLE.fullmatch(encoded):
            raise Malformed(f"numpy dtype {encoded[:40]!r}")
        return np.dtype(encoded)
    if not isinstance(encoded, dict):
        raise Malformed("numpy dtype is neither a string nor an object")
    if "base" in encoded:
        return np.dtype((_decode(encoded["base"], depth - 1), tuple(encoded["shape"])))
    return _decode_fields(cast("dict[str, Any]", encoded), depth)


def _decode_fields(encoded: dict[str, Any], depth: int) -> Dtype:
    spec: dict[str, Any] = {
        "names": encoded["names"],
        "formats": [_decode(form, depth - 1) for form in encoded["formats"]],
        "offsets": encoded["offsets"],
        "itemsize": encoded["itemsize"],
    }
    if any(title is not None for title in encoded["titles"]):
        spec["titles"] = encoded["titles"]
    dtype: Dtype = np.dtype(cast("Any", spec), align=bool(encoded["aligned"]))
    return dtype


Array = NDArray[Any]


def bytes_leaf(value: bytes) -> Leaf:
    """Bytes as a frame of their own, however few."""
    return Leaf(Frame("bytes", None, (len(value),), len(value)), value, _copy_bytes)


def array_leaf(array: Array) -> Leaf:
    """Any array without Python objects; an array in neither C nor Fortran order comes back in C order."""
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    return _leaf("array", array.T if fortran else array, array.shape, fortran)


def scalar_leaf(scalar: np.generic) -> Leaf:
    """A numpy scalar, which comes back as one."""
    return _leaf("scalar", np.asarray(scalar), (), False)


def _leaf(kind: Kind, array: Array, shape: tuple[int, ...], fortran: bool) -> Leaf:
    frame = Frame(kind, dtype_to_json(array.dtype), shape, array.nbytes, fortran=fortran)
    address = array.__array_interface__["data"][0] if array.flags.c_contiguous else None
    return Leaf(frame, array, _copy_array, address)


def _copy_bytes(source: bytes, destination: Bytes) -> None:
    destination[:] = np.frombuffer(source, np.uint8)


def _copy_array(source: Array, destination: Bytes) -> None:
    # As opaque items: a copy field by field would lose what lies between and below fields.
    item = np.dtype(f"V{source.itemsize}")
    np.copyto(destination.view(item).reshape(source.shape), source.view(item))


def array_spec(frame: Frame) -> np.dtype[Any]:
    """The dtype of an array's frame, its size checked against the frame's; Malformed otherwise."""
    dtype = dtype_from_json(frame.dtype)
    check_size(frame, dtype.itemsize)
    return dtype


def check_size(frame: Frame, itemsize: int) -> None:
    """Shape and item size make exactly the frame's bytes; Malformed otherwise."""
    if len(frame.shape) > 64 or any(not 0 <= size < 1 << 48 for size in frame.shape):
        raise Malformed(f"a frame of shape {frame.shape[:8]}")
    if math.prod(frame.shape) * itemsize != frame.raw:
        raise Malformed(f"a frame of shape {frame.shape} with {frame.raw} bytes")


def make_array(frame: Frame) -> tuple[Array, Bytes]:
    """The array to be filled and its memory as bytes."""
    dtype = array_spec(frame)
    memory = np.empty(frame.raw, np.uint8)
    return shaped(memory, dtype, frame), memory


def shaped(memory: Bytes, dtype: np.dtype[Any], frame: Frame) -> Array:
    """`memory` seen as the array that `frame` describes."""
    try:
        return np.ndarray(frame.shape, dtype, buffer=cast("Any", memory), order="F" if frame.fortran else "C")
    except (ValueError, TypeError) as error:
        raise Malformed(f"a frame of shape {frame.shape}: {error}") from error
