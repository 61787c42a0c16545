"""The double buffer: the newest payload whole, or the one before it; never a mixture, whoever dies when."""

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
from ztb.learning.process.ring import DoubleBuffer

CAPACITY = 4096


def buffer_on(shared: memory.Bytes) -> DoubleBuffer:
    return DoubleBuffer(Carver(shared), CAPACITY)


def payload(number: int) -> bytes:
    """One that shows which it is at every place, of a length of its own."""
    return number.to_bytes(4, "little") * (1 + number * 7 % (CAPACITY // 4))


@given(st.lists(st.binary(max_size=CAPACITY), max_size=8))
def test_what_is_read_is_what_was_published_last(payloads):
    shared = np.zeros(3 * CAPACITY, np.uint8)
    writer, reader = buffer_on(shared), buffer_on(shared)
    assert reader.read() is None
    for number, content in enumerate(payloads, 1):
        assert writer.publish(content) == number == reader.newest
        assert reader.read() == (number, content)


def test_a_payload_that_does_not_fit_is_refused_and_leaves_the_last():
    buffer = buffer_on(np.zeros(3 * CAPACITY, np.uint8))
    buffer.publish(b"fits")
    with pytest.raises(InvariantError, match="4097 bytes"):
        buffer.publish(bytes(CAPACITY + 1))
    assert buffer.read() == (1, b"fits")


class Died(Exception):
    pass


class DyingArray:
    """Stands for a slot's facts; its owner dies at the n-th store."""

    def __init__(self, array, lives):
        self.array, self.lives = array, lives

    def __setitem__(self, key, value):
        if self.lives == 0:
            raise Died
        self.lives -= 1
        self.array[key] = value


@pytest.mark.parametrize("lives", range(4))
@pytest.mark.parametrize("before", [1, 2, 3])
def test_a_writer_that_dies_in_the_middle_costs_only_what_it_was_writing(lives, before):
    shared = np.zeros(3 * CAPACITY, np.uint8)
    writer = buffer_on(shared)
    for number in range(1, before + 1):
        writer.publish(payload(number))
    slot = writer._slots[(before + 1) % 2]
    slot.facts = DyingArray(slot.facts, lives)
    with pytest.raises(Died):
        writer.publish(payload(before + 1))
    successor = buffer_on(shared)
    assert successor.read() == (before, payload(before))
    assert successor.publish(b"next") == before + 1
    assert successor.read() == (before + 1, b"next")


@given(st.data())
def test_damage_anywhere_in_a_payload_is_seen(data):
    shared = np.zeros(3 * CAPACITY, np.uint8)
    buffer = buffer_on(shared)
    buffer.publish(payload(900))
    place = data.draw(st.integers(0, len(payload(900)) - 1))
    buffer._slots[1].payload[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvariantError, match="damaged"):
        buffer.read()


def follow(reader: DoubleBuffer, last: int) -> int:
    """Read until payload `last` came; how many different ones were seen. Each must be whole and no older."""
    seen, newest = 0, 0
    while newest < last:
        found = reader.read()
        if found is not None:
            number, content = found
            assert content == payload(number) and number >= newest
            seen += number > newest
            newest = number
    return seen


def test_a_thread_that_publishes_without_pause_never_gives_a_torn_payload():
    shared = np.zeros(3 * CAPACITY, np.uint8)
    writer = buffer_on(shared)
    thread = threading.Thread(target=lambda: [writer.publish(payload(n)) for n in range(1, 3001)])
    thread.start()
    assert follow(buffer_on(shared), 3000) >= 1
    thread.join()


WRITER = """
import sys
sys.path[:0] = ["daemon", "tests/learning/process"]
from test_process_double_buffer import buffer_on, payload
from ztb.learning.process import memory
buffer = buffer_on(memory.attach(int(sys.argv[1])))
for number in range(1, int(sys.argv[2]) + 1):
    buffer.publish(payload(number))
"""


def in_a_process(total: int, root) -> int:
    descriptor = memory.create(3 * CAPACITY)
    reader = buffer_on(memory.attach(descriptor))
    arguments = [sys.executable, "-c", WRITER, str(descriptor), str(total)]
    with subprocess.Popen(arguments, pass_fds=[descriptor], cwd=root) as process:
        os.close(descriptor)
        seen = follow(reader, total)
    assert process.returncode == 0
    return seen


def test_a_process_that_publishes_without_pause_never_gives_a_torn_payload(pytestconfig):
    assert in_a_process(20_000, pytestconfig.rootpath) > 1


@pytest.mark.proof
def test_a_million_payloads_and_none_torn(pytestconfig):
    share = float(os.environ.get("ZTB_PROOF_SHARE", "1"))
    assert in_a_process(max(20_000, int(1_000_000 * share)), pytestconfig.rootpath) > 1
