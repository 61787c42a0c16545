"""A learner's state as bytes and back: the checkpoint's own tree of plain data, then its arrays. No pickle."""

from __future__ import annotations

import struct
from dataclasses import fields
from typing import Any

import msgspec
import numpy as np

from ztb.errors import InvariantError
from ztb.learning.gate.candidate import Candidate
from ztb.learning.online import Restart
from ztb.utils.checkpoint.arena import Arena
from ztb.utils.checkpoint.arrays import make_array
from ztb.utils.checkpoint.errors import Malformed
from ztb.utils.checkpoint.layout import Frame
from ztb.utils.checkpoint.snapshot import plan_snapshot, take_snapshot
from ztb.utils.checkpoint.tree import decode_state

_LENGTH = struct.Struct("<Q")
_MOST_BYTES = 1 << 32


class _Head(msgspec.Struct, frozen=True):
    frames: list[Frame]
    state: msgspec.Raw


def pack(state: dict[str, Any]) -> bytes:
    """The bytes of `state`: dicts, lists, numbers of any size, strings, numpy arrays. TypeError for others."""
    snapshot = take_snapshot(plan_snapshot(state, _MOST_BYTES), Arena())
    head = msgspec.json.encode(_Head(snapshot.frames, msgspec.Raw(msgspec.json.encode(snapshot.tree))))
    return b"".join([_LENGTH.pack(len(head)), head, *(part.tobytes() for _, part in snapshot.parts())])


def unpack(payload: bytes) -> dict[str, Any]:
    """The state that `pack` was given, its arrays copied. InvariantError: these bytes are none."""
    try:
        start = _LENGTH.size + _LENGTH.unpack_from(payload)[0]
        head = msgspec.json.decode(payload[_LENGTH.size : start], type=_Head)
        arrays: list[Any] = []
        for frame in head.frames:
            array, memory = make_array(frame)
            memory[:] = np.frombuffer(payload, np.uint8, frame.raw, start)
            arrays.append(array)
            start += frame.raw
        state: dict[str, Any] = decode_state(bytes(head.state), arrays, as_numpy=True)
    except (struct.error, msgspec.MsgspecError, ValueError, Malformed) as error:
        raise InvariantError(f"a learner's state that is none: {error}") from error
    return state


def pack_serving(serving: Candidate, restart: Restart) -> bytes:
    """The bytes of the generation that serves, and of how the learner goes on."""
    plain = {field.name: getattr(serving, field.name) for field in fields(Candidate)}
    return pack({**plain, "restart": restart.value})


def unpack_serving(payload: bytes) -> tuple[Candidate, Restart]:
    """The generation that serves, and how the learner goes on, as packed."""
    plain = unpack(payload)
    restart = Restart(plain.pop("restart"))
    return Candidate(**plain), restart
