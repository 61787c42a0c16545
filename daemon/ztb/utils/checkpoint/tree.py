"""A state as a JSON tree and leaves, and the way back.

None, booleans, strings, finite floats and 64-bit integers stand for themselves, a JSON array is a list. All
else is an object whose one key says what it is: {"dict": [[key, value], ...]}, {"frame": 3}.
"""

from __future__ import annotations

import functools
import math
import struct
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar, cast

import msgspec
import numpy as np

from ztb.utils.checkpoint import tensors
from ztb.utils.checkpoint.arrays import Leaf, array_leaf, bytes_leaf, scalar_leaf
from ztb.utils.checkpoint.errors import Malformed

Node = Any
MAX_DEPTH = 64
_INT64 = 1 << 63


class TreeEncoder:
    """Walks one state, in the loop's thread: what it costs, every tick waits for. `leaves` become frames."""

    def __init__(self) -> None:
        self.leaves: list[Leaf] = []
        self._path: list[object] = []
        self._strided, self._encoders = _of_torch(sys.modules.get("torch"))

    def encode(self, value: object) -> Node:
        """The tree of `value`; TypeError for what cannot be saved, `place` then says where it is."""
        kind = type(value)
        if encoder := self._encoders.get(kind):
            return encoder(self, value)
        if scalar := _SCALARS.get(kind):
            return scalar(value)
        if isinstance(value, np.generic):
            return self._leaf(scalar_leaf(value))
        raise TypeError(f"a {kind.__module__}.{kind.__qualname__}")

    def place(self) -> str:
        """The place of the walk in the state, as one would write it in Python."""
        return "state" + "".join(f"[{step!r}]" for step in self._path)

    def _leaf(self, leaf: Leaf) -> Node:
        self.leaves.append(leaf)
        return {"frame": len(self.leaves) - 1}

    def _bytes(self, value: bytes) -> Node:
        return self._leaf(bytes_leaf(value))

    def _array(self, value: np.ndarray) -> Node:
        return self._leaf(array_leaf(value))

    def _enter(self) -> list[object]:
        """The path, with room for one step more."""
        if len(self._path) == MAX_DEPTH:
            raise TypeError(f"containers nested more than {MAX_DEPTH} deep")
        self._path.append(None)
        return self._path

    def _items(self, values: list[Any] | tuple[Any, ...]) -> list[Node]:
        path, nodes = self._enter(), list[Node]()
        for index, value in enumerate(values):
            path[-1] = index
            nodes.append(self.encode(value))
        path.pop()
        return nodes

    def _tuple(self, values: tuple[Any, ...]) -> Node:
        return {"tuple": self._items(values)}

    def _pairs(self, values: dict[Any, Any]) -> list[Node]:
        path, nodes = self._enter(), list[Node]()
        for key, value in values.items():
            path[-1] = key
            plain = type(key) is str and key.isascii()
            nodes.append([key if plain else _key(key), self.encode(value)])
        path.pop()
        return nodes

    def _dict(self, values: dict[Any, Any]) -> Node:
        return {"dict": self._pairs(values)}

    def _ordered(self, values: OrderedDict[Any, Any]) -> Node:
        # torch's state_dict carries the versions of its modules in this attribute.
        attributes = vars(values)
        if set(attributes) - {"_metadata"}:
            raise TypeError(f"an OrderedDict with the attributes {sorted(attributes)}")
        (metadata,) = self._items([attributes.get("_metadata")])
        return {"ordered": [self._pairs(values), metadata]}

    def tensor(self, tensor: Any) -> Node:
        if tensor.layout is self._strided:
            self.leaves.append(tensors.tensor_leaf(tensor))
            return {"frame": len(self.leaves) - 1}
        layout, parts = tensors.sparse_parts(tensor)
        nodes = [self._leaf(tensors.tensor_leaf(part)) for part in parts]
        coalesced = layout != "sparse_coo" or tensor.is_coalesced()
        return {"sparse": [layout, list(tensor.shape), nodes, coalesced, tensor.requires_grad]}

    CONTAINERS: ClassVar[dict[type, Callable[[TreeEncoder, Any], Node]]] = {
        list: _items,
        tuple: _tuple,
        dict: _dict,
        OrderedDict: _ordered,
        bytes: _bytes,
        np.ndarray: _array,
    }


@functools.cache
def _of_torch(torch: Any) -> tuple[Any, dict[type, Callable[[TreeEncoder, Any], Node]]]:
    """Torch's strided layout, and what encodes containers and tensors; without torch what encodes containers."""
    if torch is None:
        return None, TreeEncoder.CONTAINERS
    its = {torch.Tensor: TreeEncoder.tensor, torch.nn.Parameter: TreeEncoder.tensor}
    return torch.strided, TreeEncoder.CONTAINERS | its


def encode_state(state: object) -> tuple[Node, list[Leaf]]:
    """Tree and leaves of `state`; TypeError naming the path inside the state of what cannot be saved."""
    encoder = TreeEncoder()
    try:
        return encoder.encode(state), encoder.leaves
    except TypeError as error:
        raise TypeError(
            f"{encoder.place()}: cannot save {error}; a state is made of dicts with str or int keys, lists, "
            "tuples, None, bool, int, float, str, bytes, numpy arrays and torch tensors"
        ) from None


def _key(key: object) -> Node:
    if type(key) is str:
        return _str(key)
    if type(key) is int:
        return _int(key)
    raise TypeError(f"a dict with the key {key!r} (only str and int can be keys)")


def _same(value: object) -> Node:
    return value


def _int(value: int) -> Node:
    return value if -_INT64 <= value < _INT64 else {"int": hex(value)}


def _float(value: float) -> Node:
    return value if math.isfinite(value) else {"float": struct.pack(">d", value).hex()}


def _str(value: str) -> Node:
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:  # lone surrogates: legal in Python, not in JSON
        return {"str": value.encode("utf-8", "surrogatepass").hex()}
    return value


_SCALARS: dict[type, Callable[[Any], Node]] = {
    type(None): _same,
    bool: _same,
    int: _int,
    float: _float,
    str: _str,
}


_NOT_A_STATE = (
    msgspec.MsgspecError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
    struct.error,
)


class TreeDecoder:
    """Rebuilds one state; each of `frames` is used exactly once."""

    def __init__(self, frames: list[Any], as_numpy: bool) -> None:
        self._frames = frames
        self._unused = set(range(len(frames)))
        self._as_numpy = as_numpy
        self._depth = 0
        self._tagged: dict[str, Callable[[Any], Any]] = {
            "dict": lambda node: dict(self._pairs(node)),
            "tuple": lambda node: tuple(self._items(node)),
            "ordered": self._ordered,
            "frame": self._frame,
            "sparse": self._sparse,
            "int": lambda node: int(node, 16),
            "float": lambda node: struct.unpack(">d", bytes.fromhex(node))[0],
            "str": lambda node: bytes.fromhex(node).decode("utf-8", "surrogatepass"),
        }

    def decode(self, node: Node) -> Any:
        """The value of `node`; Malformed, or an error of the conversion, where it has none."""
        if isinstance(node, list):
            return self._items(node)
        if not isinstance(node, dict):
            return node
        (tag, content), *others = cast("dict[str, Node]", node).items() or [("", None)]
        if others or tag not in self._tagged:
            raise Malformed(f"a state with a {tag[:20]!r}")
        return self._tagged[tag](content)

    def finish(self) -> None:
        """Malformed if a frame belongs to nothing."""
        if self._unused:
            raise Malformed(f"{len(self._unused)} frames belong to nothing in the state")

    def _items(self, nodes: list[Node]) -> list[Any]:
        self._depth += 1
        if self._depth > MAX_DEPTH + 2:
            raise Malformed(f"a state nested more than {MAX_DEPTH} deep")
        values = [self.decode(node) for node in nodes]
        self._depth -= 1
        return values

    def _pairs(self, nodes: list[Node]) -> list[tuple[Any, Any]]:
        keys = [self._key(key) for key, _ in nodes]
        if len(set(keys)) != len(keys):
            raise Malformed("a dict with the same key twice")
        return list(zip(keys, self._items([value for _, value in nodes]), strict=True))

    def _key(self, node: Node) -> str | int:
        key = self.decode(node)
        if type(key) is not str and type(key) is not int:
            raise Malformed("a dict with a key that is neither str nor int")
        return key

    def _ordered(self, node: Node) -> OrderedDict[Any, Any]:
        pairs, metadata = node
        values = OrderedDict(self._pairs(pairs))
        if metadata is not None:
            cast("Any", values)._metadata = self._items([metadata])[0]
        return values

    def _frame(self, index: int) -> Any:
        if index not in self._unused:
            raise Malformed(f"a state with frame {index}, which is absent or used twice")
        self._unused.remove(index)
        return self._frames[index]

    def _sparse(self, node: Node) -> Any:
        layout, shape, nodes, coalesced, requires_grad = node
        if layout not in tensors.SPARSE:
            raise Malformed(f"a tensor of layout {layout!r}")
        parts = self._items(nodes)
        if self._as_numpy:
            named = dict(zip(tensors.SPARSE[layout], parts, strict=True))
            return {"layout": layout, "shape": tuple(shape), **named}
        return tensors.make_sparse(layout, shape, parts, coalesced).requires_grad_(requires_grad)


def decode_state(raw: bytes, frames: list[Any], as_numpy: bool) -> Any:
    """The state of a manifest's `state`; Malformed where it is none."""
    try:
        decoder = TreeDecoder(frames, as_numpy)
        state = decoder.decode(msgspec.json.decode(raw))
    except _NOT_A_STATE as error:
        raise Malformed(f"the state is not one: {error}") from error
    decoder.finish()
    return state
