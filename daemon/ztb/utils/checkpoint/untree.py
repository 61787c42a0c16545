"""From the tree and the loaded frames back to the state."""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, cast

import msgspec

from ztb.utils.checkpoint import tensors
from ztb.utils.checkpoint.errors import Malformed
from ztb.utils.checkpoint.tree import MAX_DEPTH, Node

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


class Decoder:
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
        decoder = Decoder(frames, as_numpy)
        state = decoder.decode(msgspec.json.decode(raw))
    except _NOT_A_STATE as error:
        raise Malformed(f"the state is not one: {error}") from error
    decoder.finish()
    return state
