"""Decisions are due where the strategy's clock says, the same however ticks are cut into blocks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ztb.market.ticks import BAR, DEPTH, LAST, QUOTE, TRADE, Ticks, empty_ticks
from ztb.trading.decision_clock import DecisionClock, Every
from ztb.trading.settings import DecisionConfig


def ticks(times: list[int], kinds: list[int] | None = None) -> Ticks:
    made = empty_ticks(len(times))
    made["ts_ns"] = times
    made["kind"] = TRADE if kinds is None else kinds
    return made


def due(clock: DecisionClock, block: Ticks, cuts: list[int] | None = None) -> list[int]:
    rows: list[int] = []
    edges = sorted({0, len(block), *(cuts or [])})
    for start, end in zip(edges, edges[1:], strict=False):
        i = start
        while i < end:
            found = clock.find_due(block, i, end)
            if found < end:
                rows.append(found)
            i = found + 1
    return rows


def test_bars_are_due_at_each_bar_and_at_nothing_else():
    block = ticks([1, 2, 3, 4], [BAR, TRADE, BAR, QUOTE])
    assert due(DecisionClock(Every.BAR, 0), block) == [0, 2]


def test_every_n_ticks_counts_depth_messages_not_their_levels():
    block = ticks([1] * 6, [TRADE, DEPTH, DEPTH, DEPTH, QUOTE, TRADE])
    block["flags"][3] = LAST
    assert due(DecisionClock(Every.TICKS, 2), block) == [3, 5]


def test_time_is_due_at_the_first_tick_at_or_after_each_multiple_and_not_without_one():
    block = ticks([5, 9, 10, 11, 19, 45, 46, 50])
    assert due(DecisionClock(Every.TIME, 10), block) == [2, 5, 7]


@given(
    gaps=st.lists(st.integers(0, 30), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=8),
    step=st.integers(1, 25),
    every=st.sampled_from([Every.TICKS, Every.TIME]),
)
def test_blocks_change_nothing(gaps, cuts, step, every):
    block = ticks(list(np.cumsum(gaps)))
    cuts = [cut for cut in cuts if cut <= len(block)]
    assert due(DecisionClock(every, step), block, cuts) == due(DecisionClock(every, step), block)


def test_on_bars_too_time_waits_for_the_interval_that_was_asked_for():
    """Of bars of one hour, every fourth; the features' period stays the bar's."""
    hour_ns = 3_600_000_000_000
    config = DecisionConfig(every="time", interval_ms=4 * 3_600_000)
    block = ticks([k * hour_ns for k in range(1, 13)], [BAR] * 12)
    assert due(DecisionClock.of(config, hour_ns), block) == [3, 7, 11]
    assert config.clock_terms(hour_ns)[2] == hour_ns
