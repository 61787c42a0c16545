"""numpy arrays and scalars, and bytes, as leaves and back."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ztb.utils.checkpoint.arena import Bytes
from ztb.utils.checkpoint.dtypes import dtype_from_json, dtype_to_json
from ztb.utils.checkpoint.errors import Malformed
from ztb.utils.checkpoint.layout import Frame
from ztb.utils.checkpoint.leaf import Leaf

Array = NDArray[Any]


def bytes_leaf(value: bytes) -> Leaf:
    def copy(destination: Bytes) -> None:
        destination[:] = np.frombuffer(value, np.uint8)

    return Leaf(Frame("bytes", None, (len(value),), len(value)), copy)


def array_leaf(array: Array) -> Leaf:
    """Any array without Python objects; an array in neither C nor Fortran order comes back in C order."""
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    return _leaf("array", array.T if fortran else array, array.shape, fortran)


def scalar_leaf(scalar: np.generic) -> Leaf:
    return _leaf("scalar", np.asarray(scalar), (), False)


def _leaf(kind: Any, array: Array, shape: tuple[int, ...], fortran: bool) -> Leaf:
    def copy(destination: Bytes) -> None:
        # As opaque items: a copy field by field would lose what lies between and below fields.
        item = np.dtype(f"V{array.itemsize}")
        np.copyto(destination.view(item).reshape(array.shape), array.view(item))

    address = array.__array_interface__["data"][0] if array.flags.c_contiguous else None
    frame = Frame(kind, dtype_to_json(array.dtype), shape, array.nbytes, fortran=fortran)
    return Leaf(frame, copy, address)


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
