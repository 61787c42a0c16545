"""torch tensors as leaves and back; when saving, torch is found in `sys.modules`, never imported.

Tensors come back on the CPU, in C order. As numpy arrays, what numpy lacks comes wider where that is exact
(bfloat16 as float32, complex32 as complex64) and as its bytes where not (the float8 kinds, as uint8).
"""

from __future__ import annotations

import functools
import importlib
import sys
from typing import Any, NamedTuple, cast

import numpy as np

from ztb.utils.checkpoint.arena import Bytes
from ztb.utils.checkpoint.arrays import Array, Leaf, check_size, shaped
from ztb.utils.checkpoint.errors import Malformed
from ztb.utils.checkpoint.layout import Frame, Kind

Torch = Any
Tensor = Any


class _Kind(NamedTuple):
    itemsize: int
    numpy: str


_KINDS: dict[str, _Kind] = {
    "float64": _Kind(8, "<f8"),
    "float32": _Kind(4, "<f4"),
    "float16": _Kind(2, "<f2"),
    "bfloat16": _Kind(2, "<u2"),
    "complex128": _Kind(16, "<c16"),
    "complex64": _Kind(8, "<c8"),
    "complex32": _Kind(4, "<f2"),
    "int64": _Kind(8, "<i8"),
    "int32": _Kind(4, "<i4"),
    "int16": _Kind(2, "<i2"),
    "int8": _Kind(1, "|i1"),
    "uint64": _Kind(8, "<u8"),
    "uint32": _Kind(4, "<u4"),
    "uint16": _Kind(2, "<u2"),
    "uint8": _Kind(1, "|u1"),
    "bool": _Kind(1, "|b1"),
    "float8_e4m3fn": _Kind(1, "|u1"),
    "float8_e4m3fnuz": _Kind(1, "|u1"),
    "float8_e5m2": _Kind(1, "|u1"),
    "float8_e5m2fnuz": _Kind(1, "|u1"),
    "float8_e8m0fnu": _Kind(1, "|u1"),
}
SPARSE = {
    "sparse_coo": ("indices", "values"),
    "sparse_csr": ("crow_indices", "col_indices", "values"),
    "sparse_csc": ("ccol_indices", "row_indices", "values"),
    "sparse_bsr": ("crow_indices", "col_indices", "values"),
    "sparse_bsc": ("ccol_indices", "row_indices", "values"),
}


def tensor_leaf(tensor: Tensor) -> Leaf:
    """A strided tensor on any device; on the CPU and in one piece it costs hardly more than its copy."""
    torch = _torch()
    name = torch.names.get(tensor.dtype)
    on_cpu = tensor.is_cpu
    if name is None or tensor.is_nested or (not on_cpu and tensor.is_meta):
        raise TypeError(f"a tensor of dtype {_name(tensor.dtype)} on {tensor.device} without plain memory")
    kind: Kind = "tensor" if type(tensor) is torch.tensor else "parameter"
    frame = Frame(kind, name, tensor.shape, tensor.nbytes, requires_grad=tensor.requires_grad)
    if on_cpu and tensor.is_contiguous() and not tensor.is_neg() and not _is_conjugate(tensor, name):
        return Leaf(frame, tensor, _copy, tensor.data_ptr())
    return Leaf(frame, tensor, _copy)


def _is_conjugate(tensor: Tensor, name: str) -> bool:
    return name[0] == "c" and tensor.is_conj()


def _copy(source: Tensor, destination: Bytes) -> None:
    target = sys.modules["torch"].from_numpy(destination).view(source.dtype).view(source.shape)
    target.copy_(source.detach())


class _Known(NamedTuple):
    tensor: type
    names: dict[Any, str]


@functools.cache
def _torch() -> _Known:
    """The type of a plain tensor, and names by torch's dtypes, of those that this torch has."""
    torch = sys.modules["torch"]
    return _Known(torch.Tensor, {getattr(torch, name): name for name in _KINDS if hasattr(torch, name)})


def _name(thing: Any) -> str:
    return str(thing).removeprefix("torch.")


def sparse_parts(tensor: Tensor) -> tuple[str, list[Tensor]]:
    """The layout of a sparse tensor, and the strided tensors it consists of, in the order of SPARSE."""
    layout = _name(tensor.layout)
    if layout not in SPARSE:
        raise TypeError(f"a tensor of layout {layout}")
    if layout == "sparse_coo":
        parts = [tensor._indices(), tensor._values()]
    else:
        parts = [getattr(tensor, part)() for part in SPARSE[layout]]
    return layout, [part.detach() for part in parts]


def make_tensor(frame: Frame) -> tuple[Tensor, Bytes]:
    """The tensor to be filled and its memory as bytes. Imports torch."""
    tensor_spec(frame)
    torch: Torch = importlib.import_module("torch")
    memory = torch.empty(frame.raw, dtype=torch.uint8)
    tensor = memory.view(getattr(torch, frame.dtype)).view(frame.shape)
    if frame.kind == "parameter":
        tensor = torch.nn.Parameter(tensor, requires_grad=frame.requires_grad)
    elif frame.requires_grad:
        tensor.requires_grad_(True)
    return tensor, memory.numpy()


def tensor_spec(frame: Frame) -> _Kind:
    """The kind of a tensor's frame, its size checked; Malformed otherwise."""
    kind = _KINDS.get(frame.dtype) if isinstance(frame.dtype, str) else None
    if kind is None:
        raise Malformed(f"a tensor of dtype {frame.dtype!r}")
    check_size(frame, kind.itemsize)
    return kind


def make_tensor_array(frame: Frame) -> tuple[Array, Bytes]:
    """The numpy array to be filled in a tensor's place, and its memory; `widen` it when it is filled."""
    kind = tensor_spec(frame)
    memory = np.empty(frame.raw, np.uint8)
    dtype = (
        np.dtype([("real", "<f2"), ("imag", "<f2")]) if frame.dtype == "complex32" else np.dtype(kind.numpy)
    )
    return shaped(memory, dtype, frame), memory


def widen(array: Array, dtype: str) -> Array:
    """The values of dtypes that numpy lacks, in the next wider one that it has."""
    if dtype == "bfloat16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    if dtype == "complex32":
        real, imaginary = array["real"].astype(np.float32), array["imag"].astype(np.float32)
        return cast("Array", np.stack([real, imaginary], -1).view(np.complex64)[..., 0])
    return array


def make_sparse(layout: str, shape: tuple[int, ...], parts: list[Tensor], coalesced: bool) -> Tensor:
    """A sparse tensor of its parts. Imports torch; Malformed where they do not fit together."""
    torch: Torch = importlib.import_module("torch")
    try:
        if layout == "sparse_coo":
            return torch.sparse_coo_tensor(*parts, shape, is_coalesced=coalesced, check_invariants=True)
        make = getattr(torch, f"{layout}_tensor")
        return make(*parts, shape, check_invariants=True)
    except (RuntimeError, ValueError, TypeError) as error:
        raise Malformed(f"no {layout} tensor: {error}") from error
