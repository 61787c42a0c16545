"""The newest of a series of payloads, from one process to another: two slots and an atomic number.

The writer fills the slot that the newest payload is not in, then moves the number on; a reader that is
overtaken while it copies sees it by the slot's number or by the checksum, and copies again. So it gets a whole
payload or none, a writer killed half-way costs only what it was writing, and neither ever waits.
"""

from __future__ import annotations

import numpy as np
import xxhash

from ztb.errors import InvariantError
from ztb.learning.process.memory import Carver

_ATTEMPTS = 1000


class _Slot:
    """One payload: its number (0: being written), length, checksum, bytes."""

    def __init__(self, carver: Carver, capacity: int) -> None:
        self.facts = carver.part(24).view(np.int64)
        self.payload = carver.part(capacity)

    def write(self, number: int, payload: bytes) -> None:
        self.facts[0] = 0
        self.payload[: len(payload)] = np.frombuffer(payload, np.uint8)
        self.facts[1] = len(payload)
        self.facts[2] = _checksum(number, payload)
        self.facts[0] = number

    def read(self, number: int) -> bytes | None:
        """Payload `number`, or None where it is not, or no longer, whole."""
        found, length, checksum = self.facts.tolist()
        if found != number or not 0 <= length <= self.payload.nbytes:
            return None
        payload = self.payload[:length].tobytes()
        return payload if checksum == _checksum(number, payload) else None


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


def _checksum(number: int, payload: bytes) -> int:
    return xxhash.xxh3_64_intdigest(payload, seed=number) >> 1
