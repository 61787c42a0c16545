"""A state as a JSON tree and leaves, and back with its types.

None, booleans, strings, finite floats and 64-bit integers stand for themselves, a JSON array is a list. All
else is an object whose one key says what it is: {"dict": [[key, value], ...]}, {"frame": 3}.
"""

from __future__ import annotations

import math
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from ztb.utils.checkpoint import tensors
from ztb.utils.checkpoint.arrays import array_leaf, bytes_leaf, scalar_leaf
from ztb.utils.checkpoint.leaf import Leaf

Node = Any
MAX_DEPTH = 64
_INT64 = 1 << 63


class Encoder:
    """Walks one state; `leaves` are its frames in order."""

    def __init__(self) -> None:
        self.leaves: list[Leaf] = []
        self._path: list[str] = []
        self._plain: dict[type, Callable[[Any], Node]] = {
            type(None): _same,
            bool: _same,
            int: _int,
            float: _float,
            str: _str,
            bytes: lambda value: self._leaf(bytes_leaf(value)),
            list: self._items,
            tuple: lambda value: {"tuple": self._items(value)},
            dict: lambda value: {"dict": self._pairs(value)},
            OrderedDict: self._ordered,
            np.ndarray: lambda value: self._leaf(array_leaf(value)),
        }

    def encode(self, value: object) -> Node:
        """The tree of `value`; TypeError naming the place of what cannot be saved."""
        encode = self._plain.get(type(value))
        if encode is not None:
            return encode(value)
        if isinstance(value, np.generic):
            return self._leaf(scalar_leaf(value))
        if tensors.is_tensor(value):
            return self._tensor(value)
        raise TypeError(f"a {type(value).__module__}.{type(value).__qualname__}")

    def place(self) -> str:
        """Where in the state the walk is, as one would write it in Python."""
        return "state" + "".join(self._path)

    def _leaf(self, leaf: Leaf) -> Node:
        self.leaves.append(leaf)
        return {"frame": len(self.leaves) - 1}

    def _inside(self, step: str, value: object) -> Node:
        if len(self._path) == MAX_DEPTH:
            raise TypeError(f"containers nested more than {MAX_DEPTH} deep")
        self._path.append(step)
        node = self.encode(value)
        self._path.pop()
        return node

    def _items(self, values: list[Any] | tuple[Any, ...]) -> list[Node]:
        return [self._inside(f"[{i}]", value) for i, value in enumerate(values)]

    def _pairs(self, values: dict[Any, Any]) -> list[Node]:
        return [[self._key(key), self._inside(f"[{key!r}]", value)] for key, value in values.items()]

    def _key(self, key: object) -> Node:
        if type(key) is str:
            return _str(key)
        if type(key) is int:
            return _int(key)
        raise TypeError(f"a dict with the key {key!r} (only str and int can be keys)")

    def _ordered(self, values: OrderedDict[Any, Any]) -> Node:
        # torch's state_dict carries the versions of its modules in this attribute.
        attributes = vars(values)
        if set(attributes) - {"_metadata"}:
            raise TypeError(f"an OrderedDict with the attributes {sorted(attributes)}")
        metadata = self._inside("._metadata", attributes.get("_metadata"))
        return {"ordered": [self._pairs(values), metadata]}

    def _tensor(self, tensor: Any) -> Node:
        layout = tensors.layout_of(tensor)
        if layout == "strided":
            return self._leaf(tensors.tensor_leaf(tensor))
        parts = [
            self._leaf(tensors.tensor_leaf(part.detach())) for part in tensors.tensor_parts(tensor, layout)
        ]
        coalesced = layout != "sparse_coo" or tensor.is_coalesced()
        return {"sparse": [layout, list(tensor.shape), parts, coalesced, tensor.requires_grad]}


def encode_state(state: object) -> tuple[Node, list[Leaf]]:
    """Tree and leaves of `state`; TypeError naming the path inside the state of what cannot be saved."""
    encoder = Encoder()
    try:
        return encoder.encode(state), encoder.leaves
    except TypeError as error:
        raise TypeError(
            f"{encoder.place()}: cannot save {error}; a state is made of dicts with str or int keys, lists, "
            "tuples, None, bool, int, float, str, bytes, numpy arrays and torch tensors"
        ) from None


def _same(value: object) -> Node:
    return value


def _int(value: int) -> Node:
    return value if -_INT64 <= value < _INT64 else {"int": hex(value)}


def _float(value: float) -> Node:
    return value if math.isfinite(value) else {"float": struct.pack(">d", value).hex()}


def _str(value: str) -> Node:
    try:
        value.encode()
    except UnicodeEncodeError:  # lone surrogates: legal in Python, not in JSON
        return {"str": value.encode("utf-8", "surrogatepass").hex()}
    return cast("Node", value)
