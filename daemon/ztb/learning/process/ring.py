"""A ring of fixed-size records from one process to another: one writes, one reads, nobody waits.

A full ring takes nothing: `push` says False, and its caller counts what is dropped, or waits. Each record
carries its sequence number and a checksum over both, so that a record is believed only when all of its bytes
have arrived, whatever the order in which the processor lets the other side see them.

Also here: the newest of a series of payloads, from one process to another: two slots and an atomic number.

The writer fills the slot that the newest payload is not in, then moves the number on; a reader that is
overtaken while it copies sees it by the slot's number or by the checksum, and copies again. So it gets a whole
payload or none, a writer killed half-way costs only what it was writing, and neither ever waits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ztb.errors import InvariantError
from ztb.learning.process.memory import Carver

STAMP: list[Any] = [("checksum", "<u8"), ("sequence", "<i8")]
"""The first fields of every record's dtype."""
_ATTEMPTS = 1000

Records = NDArray[np.void]


class Ring:
    """Both ends; each process uses one. `head` records were pushed in all, `tail` of them are done with.

    The reader takes records with `read` and gives their places back with `commit`, in one step or later: what
    it has read but not committed is still there for the reader that comes after it.
    """

    def __init__(self, carver: Carver, dtype: np.dtype[Any], capacity: int) -> None:
        self._head = carver.word()
        self._tail = carver.word()
        self._slots = carver.part(capacity * dtype.itemsize).reshape(capacity, dtype.itemsize)
        self._dtype = dtype
        self.capacity = capacity
        self.cursor = self.tail

    @property
    def head(self) -> int:
        return int(self._head[0])

    @property
    def tail(self) -> int:
        return int(self._tail[0])

    def record(self) -> Records:
        """An empty record to be filled and pushed, (1,)."""
        return np.zeros(1, self._dtype)

    def push(self, record: Records) -> bool:
        """Append a copy of `record` (1,), stamped; False and nothing done where the ring is full."""
        head = self.head
        if head - self.tail >= self.capacity:
            return False
        record["sequence"] = head
        record["checksum"] = _checksum(record)
        self._slots[head % self.capacity] = record.view(np.uint8)
        self._head[0] = head + 1
        return True

    def read(self) -> Records | None:
        """A copy of the record at the cursor, (1,), and the cursor moved on; None where there is none yet.

        InvariantError: its bytes are not what was pushed.
        """
        if self.cursor >= self.head:
            return None
        for _ in range(_ATTEMPTS):
            record: Records = self._slots[self.cursor % self.capacity].copy().view(self._dtype)
            if record["sequence"][0] == self.cursor and record["checksum"][0] == _checksum(record):
                self.cursor += 1
                return record
        raise InvariantError(f"record {self.cursor} of a ring in shared memory is damaged")

    def commit(self, sequence: int) -> None:
        """Give back the places of all records before number `sequence`."""
        self._tail[0] = sequence


def _checksum(record: Records) -> int:
    return xxhash.xxh3_64_intdigest(record.view(np.uint8)[8:].tobytes())


class _Slot:
    """One payload: its number (0: being written), length, checksum, bytes."""

    def __init__(self, carver: Carver, capacity: int) -> None:
        self.facts = carver.part(24).view(np.int64)
        self.payload = carver.part(capacity)

    def write(self, number: int, payload: bytes) -> None:
        self.facts[0] = 0
        self.payload[: len(payload)] = np.frombuffer(payload, np.uint8)
        self.facts[1] = len(payload)
        self.facts[2] = _payload_checksum(number, payload)
        self.facts[0] = number

    def read(self, number: int) -> bytes | None:
        """Payload `number`, or None where it is not, or no longer, whole."""
        found, length, checksum = self.facts.tolist()
        if found != number or not 0 <= length <= self.payload.nbytes:
            return None
        payload = self.payload[:length].tobytes()
        return payload if checksum == _payload_checksum(number, payload) else None


class DoubleBuffer:
    """Both ends; each process uses one. Payload numbers count from 1; `newest` 0: none yet."""

    def __init__(self, carver: Carver, capacity: int) -> None:
        self._newest = carver.word()
        self._slots = _Slot(carver, capacity), _Slot(carver, capacity)
        self._capacity = capacity

    @property
    def newest(self) -> int:
        return int(self._newest[0])

    def publish(self, payload: bytes) -> int:
        """Make `payload` the newest; its number. InvariantError: it is larger than a slot."""
        if len(payload) > self._capacity:
            raise InvariantError(f"{len(payload)} bytes for a shared slot of {self._capacity}")
        number = self.newest + 1
        self._slots[number % 2].write(number, payload)
        self._newest[0] = number
        return number

    def read(self) -> tuple[int, bytes] | None:
        """Number and bytes of the newest payload; None before the first. InvariantError: it is damaged."""
        for _ in range(_ATTEMPTS):
            number = self.newest
            if number == 0:
                return None
            payload = self._slots[number % 2].read(number)
            if payload is not None:
                return number, payload
        raise InvariantError(f"payload {self.newest} in shared memory is damaged")


def _payload_checksum(number: int, payload: bytes) -> int:
    return xxhash.xxh3_64_intdigest(payload, seed=number) >> 1
