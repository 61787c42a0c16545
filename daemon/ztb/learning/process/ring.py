"""A ring of fixed-size records from one process to another: one writes, one reads, nobody waits.

A full ring takes nothing: `push` says False, and its caller counts what is dropped, or waits. Each record
carries its sequence number and a checksum over both, so that a record is believed only when all of its bytes
have arrived, whatever the order in which the processor lets the other side see them.
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
