"""The recent window is what a recording of all history would be, however its ticks arrive; holes end it."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from trading.markets import HOUR_NS, SPOT, bars, depth, quoted, trades
from ztb.features import FeatureSet, Normaliser
from ztb.learning.window import RecentWindow, RolloutStart, most_ticks
from ztb.market.instrument import Instrument
from ztb.market.ticks import GAP, Ticks, join_ticks, take_ticks
from ztb.market.view import new_view
from ztb.trading.decision_clock import DecisionClock, Every
from ztb.trading.recording import Recording, record, watch

FEATURES = ("return_1", "return_4", "volatility_8")
SPAN_NS = 200_000_000
CAPACITY = 40
MARKETS = {
    "bars": (bars(300), Every.BAR, HOUR_NS),
    "trades": (trades(3000), Every.TIME, SPAN_NS),
    "quotes": (quoted(3000), Every.TIME, SPAN_NS),
    "depth": (depth(3000), Every.TIME, SPAN_NS),
    "depth, then bars": (join_ticks([depth(500), bars(200)]), Every.TICKS, SPAN_NS),
}


def whole(ticks: Ticks, every: Every, period_ns: int) -> Recording:
    features = FeatureSet(SPOT, period_ns, FEATURES)
    step = 3 if every is Every.TICKS else period_ns
    return record(ticks, SPOT, period_ns, DecisionClock(every, step), features, Normaliser(features.size))


def views_of(known: Recording) -> list[np.ndarray]:
    """The market before the first decision's row, and so on: by watching nothing but what comes before."""
    shared = known.shared
    start = int(shared.rows[0])
    if start == 0:
        return [new_view(SPOT)]
    before = take_ticks(shared.ticks, slice(0, start))
    seen = watch(before, SPOT, known.period_ns, np.array([start - 1]), np.zeros((1, 1), np.float32))
    view = new_view(SPOT)
    view.view(np.uint8)[: seen.shared.markets.shape[1]] = seen.shared.markets[0]
    return [view]


def tell(window: RecentWindow, known: Recording, first: int, last: int, parts: int = 1) -> None:
    """Decisions [first, last) of `known` with their ticks, in `parts` a decision; no view but the first is looked at."""
    shared = known.shared
    view = views_of(known)[0]
    for k in range(first, last):
        start = int(shared.rows[k - 1]) + 1 if k > 0 else int(shared.rows[0])
        for part in (
            np.array_split(np.arange(start, shared.rows[k] + 1), parts) if k > 0 else [np.array([start])]
        ):
            if len(part):
                window.add(shared.ticks[part[0] : part[-1] + 1], view)
        window.decide(shared.features[k], bool(shared.tainted[k]))


def same(found: Recording | None, known: Recording) -> None:
    """Everything that a step from the first decision to the last can see, to the bit."""
    assert found is not None and found.decisions == known.decisions
    one, two = found.shared, known.shared
    for name in ("times_ns", "features", "on_bars", "mids"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes(), name
    assert np.array_equal(one.tainted[1:], two.tainted[1:])
    width = min(one.markets.shape[1], two.markets.shape[1])
    assert np.array_equal(one.markets[:, :width], two.markets[:, :width])
    assert not one.markets[:, width:].any() and not two.markets[:, width:].any()
    assert np.array_equal(one.rows - one.rows[0], two.rows - two.rows[0])
    ticks = [take_ticks(s.ticks, slice(int(s.rows[0]), int(s.rows[-1]) + 1)) for s in (one, two)]
    assert ticks[0].tobytes() == ticks[1].tobytes()


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize(("parts", "cut_every"), [(1, 7), (3, 25)])
def test_it_is_the_end_of_a_recording_of_all_history(market: str, parts: int, cut_every: int):
    known = whole(*MARKETS[market])
    window = RecentWindow(SPOT, known.period_ns, CAPACITY)
    led = 0
    for last in range(cut_every, known.decisions, cut_every):
        tell(window, known, last - cut_every, last, parts)
        piece = window.cut()
        same(piece, known.window(max(0, led - 1), last))
        same(window.recording(), known.window(max(0, last - CAPACITY), last))
        led = last
    assert led > 2 * CAPACITY
    assert window.cut() is None


def test_told_again_from_its_start_it_is_the_same_again():
    known = whole(*MARKETS["quotes"])
    window = RecentWindow(SPOT, known.period_ns, CAPACITY)
    for last in range(10, 111, 10):
        tell(window, known, last - 10, last)
        window.cut()
    start = window.start
    assert start.first == 110 - CAPACITY
    again = RecentWindow(SPOT, known.period_ns, CAPACITY)
    again.resume(RolloutStart(start.first, start.view.copy(), start.on_bars))
    tell(again, known, start.first, 110)
    again.cut()
    same(again.recording(), known.window(110 - CAPACITY, 110))
    for one in (window, again):
        tell(one, known, 110, 150)
        one.cut()
    expected = window.recording()
    assert expected is not None
    same(again.recording(), expected)


def test_nothing_is_kept_from_before_a_hole():
    known = whole(*MARKETS["trades"])
    window = RecentWindow(SPOT, known.period_ns, CAPACITY)
    tell(window, known, 0, 10)
    window.cut()
    tell(window, known, 10, 12)
    window.restart()
    assert window.cut() is None and window.recording() is None and window.start.first == 12
    shared = known.shared
    rows = slice(int(shared.rows[20]) + 1, int(shared.rows[21]) + 1)
    before = new_view(SPOT)
    before.view(np.uint8)[: shared.markets.shape[1]] = shared.markets[20]
    window.add(
        shared.ticks[int(shared.rows[19]) + 1 : rows.start], new_view(SPOT)
    )  # not decided on: forgotten
    window.add(shared.ticks[rows], before)
    window.decide(shared.features[21], False)
    tell(window, known, 22, 30)
    same(window.cut(), known.window(21, 30))
    same(window.recording(), known.window(21, 30))


def test_a_decision_that_is_told_to_be_tainted_is():
    known = whole(*MARKETS["bars"])
    ticks = known.shared.ticks.copy()
    ticks["flags"][known.shared.rows[5]] = GAP
    window = RecentWindow(SPOT, HOUR_NS, CAPACITY)
    for k in range(10):
        window.add(ticks[k + known.shared.rows[0] : k + known.shared.rows[0] + 1], new_view(SPOT))
        window.decide(known.shared.features[k], k == 3)
    piece = window.cut()
    assert piece is not None and np.flatnonzero(piece.shared.tainted).tolist() == [3, 5]


def test_where_ticks_are_many_it_is_shorter_and_its_memory_bounded():
    instrument = Instrument("A/B", "A", "B", "test", Decimal("0.01"), Decimal("0.001"), Decimal("1"),
                            Decimal("0"), Decimal("0"), 1.0)  # fmt: skip
    window = RecentWindow(instrument, SPAN_NS, 4)
    ticks = trades(200)
    for _ in range(10):
        window.add(ticks, new_view(instrument))
        window.decide(np.zeros(1, np.float32), False)
        window.cut()
    recording = window.recording()
    assert recording is not None and recording.decisions == 2 == 1 + most_ticks(4) // 200
    assert len(recording.shared.ticks) <= most_ticks(4)
    for _ in range(3 * most_ticks(4) // 200):
        window.add(ticks, new_view(instrument))  # a clock that never decides
    assert window.recording() is None
