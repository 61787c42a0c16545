"""Fewer points, but every extreme of every stretch."""

from __future__ import annotations

import base64
import zlib
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ztb.telemetry.charts import extremes, packed
from ztb.telemetry.plots import price_unit

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


@given(values=st.lists(st.integers(-(2**40), 2**40), max_size=50))
def test_packed_numbers_are_those_that_went_in(values):
    content = (
        zlib.decompress(base64.b64decode(packed(np.array(values, np.int64))), -zlib.MAX_WBITS)
        if values
        else b""
    )
    found, total, place = [], 0, iter(content)
    for byte in place:
        step, shift = byte & 127, 7
        while byte > 127:
            byte = next(place)
            step, shift = step | (byte & 127) << shift, shift + 7
        total += -(step + 1) // 2 if step % 2 else step // 2
        found.append(total)
    assert found == values


def test_a_year_of_minutes_is_packed_into_less_than_three_quarters_of_a_megabyte():
    rng = np.random.default_rng(0)
    minutes = 365 * 24 * 60
    price = 40_000.0 * np.exp(np.cumsum(rng.normal(0.0, 6e-4, minutes)))
    unit = price_unit(price, tick_size=0.01)
    text = packed(np.round(price / unit).astype(np.int64)) + packed(np.arange(minutes) * 60_000)
    assert len(text) < 750_000
