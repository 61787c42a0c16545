"""The peak is a peak: memory given back still counts."""

from __future__ import annotations

import numpy as np
import psutil

from ztb.utils.background import peak_rss_bytes


def test_memory_given_back_still_counts():
    before = psutil.Process().memory_info().rss
    block = np.ones(16_000_000)
    size = block.nbytes
    del block
    assert peak_rss_bytes() >= before + 0.9 * size
    assert peak_rss_bytes() >= psutil.Process().memory_info().rss * 0.99
