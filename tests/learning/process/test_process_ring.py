"""The ring between two processes: a queue in order, nothing lost, nothing made up, whoever looks when."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztb.errors import InvariantError
from ztb.learning.process import memory
from ztb.learning.process.memory import Carver
from ztb.learning.process.ring import STAMP, Ring

DTYPE = np.dtype([*STAMP, ("value", "<i8"), ("twice", "<f8")])
CAPACITY = 5


def ring_on(shared: memory.Bytes, capacity: int = CAPACITY) -> Ring:
    return Ring(Carver(shared), DTYPE, capacity)


def push(ring: Ring, value: int) -> bool:
    record = ring.record()
    record["value"], record["twice"] = value, 2.0 * value
    return ring.push(record)


def read(ring: Ring) -> int | None:
    record = ring.read()
    if record is None:
        return None
    assert record["twice"][0] == 2.0 * record["value"][0]
    return int(record["value"][0])


@given(st.lists(st.sampled_from(["push", "read", "commit", "new reader"]), max_size=200))
def test_it_is_a_bounded_queue_whose_places_come_back_when_committed(steps):
    shared = np.zeros(4096, np.uint8)
    writer, reader = ring_on(shared), ring_on(shared)
    pushed, seen, committed = 0, 0, 0
    for step in steps:
        if step == "push":
            assert push(writer, pushed) == (pushed - committed < CAPACITY)
            pushed += pushed - committed < CAPACITY
        elif step == "read":
            assert read(reader) == (seen if seen < pushed else None)
            seen += seen < pushed
        elif step == "commit":
            committed = seen
            reader.commit(reader.cursor)
        else:
            reader, seen = ring_on(shared), committed
        assert writer.head == pushed and writer.tail == committed


def test_a_thread_that_writes_as_fast_as_it_can_is_read_in_order_and_whole():
    shared = np.zeros(1 << 16, np.uint8)
    total = 4000
    writer, reader = ring_on(shared, 64), ring_on(shared, 64)

    def write() -> None:
        for value in range(total):
            while not push(writer, value):
                pass

    thread = threading.Thread(target=write)
    thread.start()
    for expected in range(total):
        while (value := read(reader)) is None:
            pass
        assert value == expected
        reader.commit(reader.cursor)
    thread.join()
    assert read(reader) is None


WRITER = """
import sys
sys.path[:0] = ["daemon", "tests/learning/process"]
from test_process_ring import push, ring_on
from ztb.learning.process import memory
ring = ring_on(memory.attach(int(sys.argv[1])), 64)
for value in range(int(sys.argv[2])):
    while not push(ring, value):
        pass
"""


def test_a_process_that_writes_as_fast_as_it_can_is_read_in_order_and_whole(pytestconfig):
    total = 5000
    descriptor = memory.create(1 << 16)
    reader = ring_on(memory.attach(descriptor), 64)
    arguments = [sys.executable, "-c", WRITER, str(descriptor), str(total)]
    with subprocess.Popen(arguments, pass_fds=[descriptor], cwd=pytestconfig.rootpath) as process:
        for expected in range(total):
            while (value := read(reader)) is None:
                assert process.poll() in (None, 0)
            assert value == expected
            reader.commit(reader.cursor)
    assert process.returncode == 0
    os.close(descriptor)


@given(st.integers(0, DTYPE.itemsize - 1), st.integers(1, 255))
def test_a_record_of_which_one_byte_is_wrong_is_not_believed(place, change):
    shared = np.zeros(4096, np.uint8)
    ring = ring_on(shared)
    push(ring, 7)
    shared[2 * memory.LINE + place] ^= change
    with pytest.raises(InvariantError, match="damaged"):
        ring.read()


class Late:
    """Slots of which the first looks still see none of the bytes."""

    def __init__(self, slots, looks):
        self.slots, self.looks = slots, looks

    def __getitem__(self, place):
        self.looks -= 1
        return self.slots[place] if self.looks < 0 else np.zeros_like(self.slots[place])


def test_a_record_whose_number_arrived_before_its_bytes_is_waited_for():
    shared = np.zeros(4096, np.uint8)
    writer, reader = ring_on(shared), ring_on(shared)
    push(writer, 1)
    reader._slots = late = Late(reader._slots, 3)
    assert read(reader) == 1 and late.looks == -1
