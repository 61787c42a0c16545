"""What the two processes share is taken at once: neither grows with what passes through it."""

from __future__ import annotations

import os
from pathlib import Path

from ztb.learning.process import memory


def shared_kb() -> int:
    """Resident shared memory of this process, kB, as Linux counts it."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("RssShmem"))


def test_all_of_it_is_there_before_anything_is_written_and_writing_takes_no_more():
    before = shared_kb()
    descriptor = memory.create(32 << 20)
    whole = memory.attach(descriptor)
    taken = shared_kb()
    assert taken - before >= 32 << 10
    assert not whole.any()
    whole[:] = 1
    assert shared_kb() - taken < 1 << 10
    del whole
    os.close(descriptor)
    assert shared_kb() - before < 1 << 10
