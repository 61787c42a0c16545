"""Fewer points, but every extreme of every stretch."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ztb.telemetry.charts import extremes

values = st.floats(-1e9, 1e9) | st.just(float("nan"))


@given(
    arrays.arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 300)), elements=values),
    st.integers(1, 20),
)
def test_no_extreme_of_any_stretch_is_lost_and_there_are_few_points(lines, buckets):
    n = lines.shape[1]
    rows = extremes(list(lines), buckets)
    assert rows[0] == 0 and rows[-1] == n - 1 and (np.diff(rows) > 0).all()
    if n <= 2 * buckets:
        assert len(rows) == n
        return
    assert len(rows) <= 2 * buckets * len(lines) + 2
    edges = np.linspace(0, n, buckets + 1).astype(int)
    for line in lines:
        for start, end in pairwise(edges.tolist()):
            kept = line[rows[(rows >= start) & (rows < end)]]
            if not np.isnan(line[start:end]).all():
                assert np.nanmin(line[start:end]) in kept and np.nanmax(line[start:end]) in kept
