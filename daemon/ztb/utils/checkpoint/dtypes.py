"""numpy dtypes to JSON and back: simple ones as their type string, structured ones field by field."""

from __future__ import annotations

import re
from typing import Any, cast

import numpy as np

from ztb.utils.checkpoint.errors import Malformed

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
