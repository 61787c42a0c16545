"""Live values equal those of a history bit for bit, however the rows are cut, and know nothing of later rows."""

from __future__ import annotations

from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray

from features.feature_ticks import INSTRUMENT, PERIOD, START, bars, depth, mixed, quotes, trades
from ztb.errors import ConfigError
from ztb.features import SHIPPED, FeatureSet
from ztb.market.ticks import BAR, DEPTH, GAP, LAST, QUOTE, SNAPSHOT, TRADE, Ticks, empty_ticks

MARKETS = {"bars": bars, "trades": trades, "quotes": quotes, "depth": depth, "mixed": mixed}
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

odd_numbers = st.sampled_from(
    [0.0, -1.0, float("nan"), float("inf"), 1e-9, 1e300, 29_999.5, 30_000.0, 30_000.5]
)


@st.composite
def nasty_ticks(draw: st.DrawFn) -> Ticks:
    """Rows that a broken feed could send: any kind, odd numbers, gaps, equal times, long silences."""
    n = draw(st.integers(1, 60))
    ticks = empty_ticks(n)
    spans = st.sampled_from([0, 0, 1, 10**6, PERIOD, 50 * PERIOD, 10**6 * PERIOD])
    steps = draw(st.lists(spans, min_size=n, max_size=n))
    ticks["ts_ns"] = START + np.cumsum(steps)
    ticks["kind"] = draw(st.lists(st.sampled_from([TRADE, QUOTE, DEPTH, BAR]), min_size=n, max_size=n))
    ticks["side"] = draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=n, max_size=n))
    flags = st.sampled_from([0, GAP, LAST, LAST | GAP, LAST | SNAPSHOT])
    ticks["flags"] = draw(st.lists(flags, min_size=n, max_size=n))
    for name in ("price", "size", "bid", "ask", "bid_size", "ask_size"):
        ticks[name] = draw(st.lists(odd_numbers, min_size=n, max_size=n))
    return ticks


def same(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    return a.tobytes() == b.tobytes()


def history(ticks: Ticks) -> NDArray[np.float64]:
    return FeatureSet(INSTRUMENT, PERIOD).batch(ticks)


@pytest.mark.parametrize("market", MARKETS)
def test_live_values_equal_the_history_bit_for_bit(market: str) -> None:
    ticks = MARKETS[market](400)
    expected, features = history(ticks), FeatureSet(INSTRUMENT, PERIOD)
    for i in range(len(ticks)):
        features.advance(ticks, i, i + 1)
        assert same(features.values, expected[i]), f"row {i}"
    assert np.isfinite(expected).all()


@QUICK
@given(
    market=st.sampled_from(sorted(MARKETS)),
    cuts=st.lists(st.integers(0, 150), max_size=8),
    seed=st.integers(0, 99),
)
def test_block_boundaries_change_nothing(market: str, cuts: list[int], seed: int) -> None:
    ticks = MARKETS[market](150, seed)
    expected, features = history(ticks), FeatureSet(INSTRUMENT, PERIOD)
    edges = sorted({0, len(ticks), *cuts})
    for i0, i1 in pairwise(edges):
        features.advance(ticks[i0:i1].copy(), 0, i1 - i0)
        assert same(features.values, expected[i1 - 1])
    parts = FeatureSet(INSTRUMENT, PERIOD)
    joined = [parts.batch(ticks[i0:i1]) for i0, i1 in pairwise(edges)]
    assert same(np.concatenate(joined), expected)


@QUICK
@given(market=st.sampled_from(sorted(MARKETS)), rows=st.sets(st.integers(0, 149)))
def test_values_at_chosen_rows_are_those_of_the_history(market: str, rows: set[int]) -> None:
    ticks = MARKETS[market](150)
    expected, features = history(ticks), FeatureSet(INSTRUMENT, PERIOD)
    chosen = np.array(sorted(rows), np.int64)
    assert same(features.batch_at(ticks, chosen), expected[chosen])
    assert same(features.values, expected[-1])


@QUICK
@given(market=st.sampled_from(sorted(MARKETS)), cut=st.integers(1, 149))
def test_later_rows_change_nothing_earlier(market: str, cut: int) -> None:
    ticks, other = MARKETS[market](150), MARKETS[market](150, 7)
    changed = ticks[: len(other)].copy()
    changed[cut:] = other[cut : len(changed)]
    changed["ts_ns"][cut:] += 7 * PERIOD
    changed["flags"][cut:] |= GAP
    assert same(history(changed)[:cut], history(ticks)[:cut])
    assert not same(history(changed)[cut:], history(ticks)[cut : len(changed)])


@QUICK
@given(market=st.sampled_from(sorted(MARKETS)), cut=st.integers(0, 150))
def test_a_restored_state_continues_bit_for_bit(market: str, cut: int) -> None:
    ticks = MARKETS[market](150)
    first, second = FeatureSet(INSTRUMENT, PERIOD), FeatureSet(INSTRUMENT, PERIOD)
    first.advance(ticks, 0, cut)
    kept = first.state()
    expected = first.batch(ticks[cut:])
    second.advance(ticks, 0, 10)
    second.load_state(kept)
    assert same(second.batch(ticks[cut:]), expected)
    assert (second.mid, second.ts_ns, second.ready) == (first.mid, first.ts_ns, first.ready)


def test_state_is_a_copy() -> None:
    features = FeatureSet(INSTRUMENT, PERIOD)
    kept = features.state()
    features.batch(trades(50))
    assert not kept["shipped"]["buckets"].any()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ticks=nasty_ticks())
def test_values_are_finite_and_live_equals_history_whatever_comes(ticks: Ticks) -> None:
    values, features = history(ticks), FeatureSet(INSTRUMENT, PERIOD)
    assert np.isfinite(values).all()
    for i in range(len(ticks)):
        features.advance(ticks, i, i + 1)
    assert same(features.values, values[-1])


@pytest.mark.parametrize("market", ["bars", "trades", "quotes"])
def test_a_market_that_stands_still_is_finite_and_says_nothing(market: str) -> None:
    ticks = MARKETS[market](2000)
    for name in ("price", "bid", "ask"):
        ticks[name] = 30_000.0
    if market == "bars":
        ticks["high"] = ticks["low"] = ticks["open"] = 30_000.0
        ticks["size"] = 0.0
    ticks["side"] = 0
    values = dict(zip(SHIPPED, history(ticks)[-1], strict=True))
    for name in (
        "return_64",
        "z_score_16",
        "rsi_14",
        "stochastic_16",
        "efficiency_16",
        "skewness_32",
        "atr_14",
    ):
        assert values[name] == 0.0, name


@pytest.mark.parametrize("name", SHIPPED)
def test_each_feature_is_zero_until_its_own_warm_up(name: str) -> None:
    features, ticks = FeatureSet(INSTRUMENT, PERIOD, [name]), bars(70)
    values = features.batch(ticks)[:, 0]
    assert (values[: max(0, features.warm_up - 1)] == 0.0).all()
    again = FeatureSet(INSTRUMENT, PERIOD, [name])
    again.advance(ticks, 0, features.warm_up)
    assert again.ready
    again.load_state(FeatureSet(INSTRUMENT, PERIOD, [name]).state())
    again.advance(ticks, 0, features.warm_up - 1)
    assert again.ready == (features.warm_up == 0)


def test_columns_are_selected_in_the_order_asked_for() -> None:
    ticks, names = mixed(200), ("spread", "return_4", "day_sine", "rsi_14")
    everything = dict(zip(SHIPPED, history(ticks).T, strict=True))
    selected = FeatureSet(INSTRUMENT, PERIOD, names).batch(ticks)
    assert same(selected, np.stack([everything[name] for name in names], axis=1))


def test_a_gap_keeps_the_return_and_empties_the_sums() -> None:
    ticks = trades(200, mean_ms=3000)
    flagged = ticks.copy()
    flagged["flags"][150] = GAP
    names = ("return_8", "volatility_8", "trade_imbalance_slow", "vwap_deviation_slow", "twap_deviation_slow")
    kept, emptied = (FeatureSet(INSTRUMENT, PERIOD, names).batch(rows)[150] for rows in (ticks, flagged))
    assert same(kept[:2], emptied[:2])
    assert emptied[2] == ticks["side"][150]  # one trade since the gap
    assert emptied[4] == 0.0


def test_a_gap_flagged_on_a_row_that_does_not_count_is_remembered() -> None:
    ticks = depth(100)
    inside = np.flatnonzero((ticks["flags"] & LAST) == 0)
    row = int(inside[len(inside) // 2])
    ticks["flags"][row] |= GAP
    values = FeatureSet(INSTRUMENT, PERIOD, ["order_flow_fast", "twap_deviation_slow"]).batch(ticks)
    last = row + int(np.flatnonzero(ticks["flags"][row:] & LAST)[0])
    assert values[last].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("change", ["read-only", "strided"])
def test_blocks_that_kernels_cannot_take_as_they_are(change: str) -> None:
    ticks = trades(100)
    given_ticks = np.repeat(ticks, 2)[::2] if change == "strided" else ticks.copy()
    given_ticks.flags.writeable = change == "strided"
    assert same(FeatureSet(INSTRUMENT, PERIOD).batch(given_ticks), history(ticks))


def test_rows_beyond_the_block_are_not_read() -> None:
    features, ticks = FeatureSet(INSTRUMENT, PERIOD), trades(10)
    features.advance(ticks, 0, 1000)
    assert same(features.values, history(ticks)[-1])
    with pytest.raises(ValueError, match="within the 10"):
        features.batch_at(ticks, np.array([3, 10]))
    with pytest.raises(TypeError, match="TICK"):
        features.advance(np.zeros(3, np.dtype([("ts_ns", "<i8")])), 0, 1)


def test_a_period_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="must be positive"):
        FeatureSet(INSTRUMENT, 0)
