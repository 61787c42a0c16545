"""A bar's path: open, the nearer of high and low, the other, close; and nothing known before its time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.exchange_cases import MS, PERP, T0, Actions, bars, exchange, fills, limit, market, run
from ztb.execution.orders import Filled
from ztb.market.ticks import Ticks
from ztb.market.view import apply_tick, new_view
from ztb.utils.kernel import kernel

FLAT = (100.0, 100.0, 100.0, 100.0, 4000.0)
THIRD = 20_000 * MS


@pytest.mark.parametrize(
    ("bar", "path"),
    [
        ((100.0, 110.0, 60.0, 70.0, 4000.0), [100.0, 110.0, 60.0]),  # the high is nearer
        ((100.0, 140.0, 90.0, 120.0, 4000.0), [100.0, 90.0, 140.0]),  # the low is nearer
        ((100.0, 120.0, 80.0, 90.0, 4000.0), [100.0, 120.0, 80.0]),  # neither: the high first
    ],
)
def test_market_orders_meet_each_price_of_the_path(
    bar: tuple[float, float, float, float, float], path: list[float]
) -> None:
    """Arriving just after each step, a buy pays that step's price and half of a spread of 1 %."""
    for step, price in enumerate(path):
        venue = exchange(submit_latency_ms=step * THIRD / MS + 1.0)
        events = run(venue, bars(FLAT, bar), {0: [market(1, 1, 4)]})
        assert fills(events) == [(4, int(np.ceil(price * 1.005 / 0.5 - 1e-9)))]
        assert events[-1].ts_ns == T0 + step * THIRD + MS


def test_an_order_at_the_close_of_a_bar_meets_the_next_open() -> None:
    events = run(
        exchange(submit_latency_ms=1.0), bars(FLAT, (80.0, 90.0, 70.0, 75.0, 40.0)), {0: [market(1, -1, 4)]}
    )
    assert fills(events) == [(4, 159)]  # 80 less half a spread: 79.6, rounded down


@pytest.mark.parametrize(("after_s", "lots"), [(0.001, 4), (20.001, 4), (45.0, 4), (60.001, 41)])
def test_the_volume_of_a_bar_is_known_at_its_close(after_s: float, lots: int) -> None:
    """Until then a level holds a tenth of a quarter of 40, then of 40 and a sixty-fourth of what is more."""
    ticks = bars(*((100.0, 100.0, 100.0, 100.0, volume) for volume in (40.0, 24_040.0, 40.0)))
    events = run(exchange(submit_latency_ms=1000.0 * after_s), ticks, {0: [market(1, 1, 500)]})
    assert fills(events)[0][0] == lots


@kernel
def see(view: np.ndarray, ticks: np.ndarray) -> None:
    for i in range(len(ticks)):
        apply_tick(view[0], ticks[i])


def test_after_a_bar_the_view_is_what_features_see() -> None:
    ticks = bars(FLAT, (101.0, 140.0, 90.0, 120.0, 17.0), (119.0, 121.0, 90.0, 92.0, 3.0))
    venue, view = exchange(), new_view(PERP)
    run(venue, ticks)
    see(view, ticks)
    assert venue.view.tobytes() == view.tobytes()


@st.composite
def walks(draw: st.DrawFn) -> Ticks:
    """Bars that open where the last closed."""
    rows, last = [], draw(st.integers(180, 220)) * 0.5
    for _ in range(draw(st.integers(3, 8))):
        close = last + 0.5 * draw(st.integers(-20, 20))
        high = max(last, close) + 0.5 * draw(st.integers(0, 10))
        low = min(last, close) - 0.5 * draw(st.integers(0, 10))
        rows.append((last, high, low, close, float(draw(st.integers(0, 4000)))))
        last = close
    return bars(*rows)


@st.composite
def order_flow(draw: st.DrawFn) -> Actions:
    """After some rows, a market or a limit order."""
    actions: dict[int, list[object]] = {}
    for order_id in range(1, draw(st.integers(1, 10))):
        side, lots = draw(st.sampled_from([-1, 1])), draw(st.integers(1, 400))
        price = draw(st.integers(150, 250))
        order = market(order_id, side, lots) if draw(st.booleans()) else limit(order_id, side, lots, price)
        actions.setdefault(draw(st.integers(0, 7)), []).append(order)
    return actions  # type: ignore[return-value]


LIVE = {"submit_latency_ms": 15_000.0, "submit_jitter_ms": 15_000.0, "ack_latency_ms": 500.0}


@settings(max_examples=60, deadline=None)
@given(walks(), order_flow())
def test_fills_stay_within_the_bar_and_the_modelled_book(ticks: Ticks, actions: Actions) -> None:
    """Takers pay what the bar traded at, spread and levels aside; makers their own price, once crossed."""
    actions = {row: acts for row, acts in actions.items() if row < len(ticks)}
    for event in run(exchange(**LIVE), ticks, actions):
        if isinstance(event, Filled):
            bar = ticks[np.searchsorted(ticks["ts_ns"], event.ts_ns)]
            price, half_spread = event.price_ticks * 0.5, 0.005 * bar["high"]
            reach = half_spread + 0.5 + 64 * max(0.5, half_spread)
            if event.liquidity == "taker":
                assert bar["low"] - reach <= price <= bar["high"] + reach
            else:
                assert bar["low"] < price or price < bar["high"]


@settings(max_examples=60, deadline=None)
@given(walks(), walks(), order_flow(), st.integers(1, 7))
def test_later_rows_change_nothing_before_them(
    ticks: Ticks, other: Ticks, actions: Actions, cut: int
) -> None:
    cut = min(cut, len(ticks) - 1)
    actions = {row: acts for row, acts in actions.items() if row < cut}
    changed = ticks.copy()
    n = min(len(other), len(ticks) - cut)
    for field in ("open", "high", "low", "price", "size"):
        changed[field][cut : cut + n] = other[field][:n]
    first, second = exchange(**LIVE), exchange(**LIVE)
    limit_ns = int(ticks["ts_ns"][cut - 1])
    before = [e for e in run(first, ticks, actions) if e.ts_ns <= limit_ns]
    assert before == [e for e in run(second, changed, actions) if e.ts_ns <= limit_ns]
    assert run(exchange(**LIVE), ticks[:cut], actions) == run(exchange(**LIVE), changed[:cut], actions)
