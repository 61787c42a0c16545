"""numpy arrays and scalars, and bytes, as leaves and back."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ztb.utils.checkpoint.arena import Bytes
from ztb.utils.checkpoint.dtypes import dtype_from_json, dtype_to_json
from ztb.utils.checkpoint.errors import Malformed
from ztb.utils.checkpoint.layout import Frame, Kind
from ztb.utils.checkpoint.leaf import Leaf

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
