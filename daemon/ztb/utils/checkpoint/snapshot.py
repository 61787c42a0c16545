"""A state as it was at one moment, copied away from whoever goes on changing it.

Also here: copies memory in the loop's thread, with the help of another one where there is much of it.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, cast

import msgspec

from ztb.errors import UsageError
from ztb.utils.checkpoint.arena import Arena, Bytes, aligned
from ztb.utils.checkpoint.arrays import Leaf
from ztb.utils.checkpoint.layout import Frame
from ztb.utils.checkpoint.tree import Node, encode_state
from ztb.utils.checkpoint.worker import WriterThread

Move = tuple[int, int, int]  # to, from, number of bytes

_CHUNK = 1 << 20
_WORTH_HELP = 1 << 25


def copy(moves: list[Move], nbytes: int, helper: WriterThread | None) -> None:
    """Make all `moves`, `nbytes` in all, which do not overlap; done on return. From 32 MiB on, `helper` takes a part.

    One core does not use all of the memory's bandwidth. A helper that has not begun in time is not waited for.
    """
    if helper is None or nbytes < _WORTH_HELP:
        for move in moves:
            ctypes.memmove(*move)
        return
    chunks = deque(chunk for move in moves for chunk in _chunks(move))
    helping = threading.Lock()

    def help_() -> None:
        with helping:
            _drain(chunks.pop)

    helper.submit(help_)
    _drain(chunks.popleft)
    with helping:
        pass  # nothing was left but what the helper was at


def _chunks(move: Move) -> list[Move]:
    target, source, nbytes = move
    starts = range(0, nbytes, _CHUNK)
    return [(target + start, source + start, min(_CHUNK, nbytes - start)) for start in starts]


def _drain(take: Callable[[], Move]) -> None:
    """Make moves until there are none; both ends of a deque may be taken from at once."""
    with suppress(IndexError):
        while True:
            ctypes.memmove(*take())


class StateSnapshot(msgspec.Struct, frozen=True):
    """Tree, and frames with their copied bytes; valid until its arena is reserved again."""

    tree: Node
    frames: list[Frame]
    memory: Bytes

    def parts(self) -> Iterator[tuple[Frame, Bytes]]:
        """Each frame with its bytes."""
        offset = 0
        for frame in self.frames:
            yield frame, self.memory[offset : offset + frame.raw]
            offset += aligned(frame.raw)


class SnapshotFacts(msgspec.Struct, frozen=True):
    """Facts in the manifest beside the state. `replaced`: older waiting states this one stands for."""

    name: str
    created_ns: int
    metrics: dict[str, float | None]
    lineage: dict[str, Any]
    marks: frozenset[str] = frozenset()
    replaced: int = 0


class Plan(msgspec.Struct, frozen=True):
    """A state walked and found fit to be saved; nothing of its arrays is copied yet. `room`: bytes of the copies."""

    tree: Node
    leaves: list[Leaf]
    room: int


def plan_snapshot(state: object, max_bytes: int) -> Plan:
    """Walk `state`; TypeError naming the path of what cannot be saved, UsageError if it is too large."""
    tree, leaves = encode_state(state)
    nbytes = room = 0
    for leaf in leaves:
        nbytes += leaf.frame.raw
        room += aligned(leaf.frame.raw)
    if nbytes > max_bytes:
        raise UsageError(f"the state's arrays have {nbytes} bytes, max_state_bytes is {max_bytes}")
    return Plan(tree, leaves, room)


def take_snapshot(plan: Plan, arena: Arena, helper: WriterThread | None = None) -> StateSnapshot:
    """Copy what was planned into `arena`; an idle `helper` shortens a large copy."""
    memory, target = arena.reserve(plan.room), arena.address
    moves: list[Move] = []
    for leaf in plan.leaves:
        raw = leaf.frame.raw
        if leaf.address is not None:
            moves.append((target, leaf.address, raw))
        elif raw:
            offset = target - arena.address
            leaf.copy(leaf.source, memory[offset : offset + raw])
        target += aligned(raw)
    copy(moves, plan.room, helper)
    return StateSnapshot(plan.tree, [leaf.frame for leaf in plan.leaves], memory)


def check_metrics(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    """Metrics as JSON holds them: NaN and infinities become None."""
    return {
        str(name): float(value) if value is not None and math.isfinite(value) else None
        for name, value in metrics.items()
    }


def check_lineage(lineage: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy of `lineage`, if it is plain JSON; else TypeError naming the path."""
    return {str(key): _json(value, f"lineage[{key!r}]") for key, value in lineage.items()}


def _json(value: object, place: str) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, (list, tuple)):
        items = cast("list[object]", value)
        return [_json(item, f"{place}[{i}]") for i, item in enumerate(items)]
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value)
        return {str(key): _json(item, f"{place}[{key!r}]") for key, item in pairs.items()}
    raise TypeError(f"{place}: {value!r} is not plain JSON (integers have 64 bits)")
