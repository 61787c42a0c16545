"""The forecast finds what is there, weak or hidden in a product, and nothing where nothing is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from trading.markets import HOUR_NS, SPOT, bars
from ztb.execution.paper_config import PaperConfig
from ztb.features import FeatureSet, Normaliser
from ztb.learning import forecast
from ztb.learning.forecast import Forecast, fit_forecast
from ztb.learning.luck import Luck
from ztb.learning.rollouts import SimulatedEnvironments, simulated_rollouts
from ztb.trading.bridge import FACT_EQUITY, FACT_MID
from ztb.trading.decision_clock import DecisionClock, Every
from ztb.trading.episodes import Episodes
from ztb.trading.observation import ACCOUNT_SIZE
from ztb.trading.policy.weights import NetworkShape, initial_weights
from ztb.trading.recording import Recording, record
from ztb.trading.settings import BridgeConfig
from ztb.trading.simulation import Simulation

NAMES = ("return_1", "volatility_8")
COLUMNS, ROWS = 12, 6000


def made(
    weights: dict[tuple[int, int], float], seed: int, drift: float = 0.0, tails: float = 3.0
) -> Recording:
    """White columns; returns of deviation about 1 % with heavy tails (Student's t), plus the terms of `weights`."""
    rng = np.random.default_rng(seed)
    columns = rng.normal(0.0, 1.0, (ROWS, COLUMNS)).astype(np.float32)
    returns = drift + 0.006 * rng.standard_t(tails, ROWS)
    for (left, right), weight in weights.items():
        returns += weight * columns[:, left] * (columns[:, right] if right >= 0 else 1.0)
    return with_columns(columns, np.exp(np.append(0.0, np.cumsum(returns[:-1]))))


def with_columns(columns: NDArray[np.float32], mids: NDArray[np.float64]) -> Recording:
    """A recording that shows `columns` (K, F), at prices `mids` (K,)."""
    whole = plain(len(mids) + 200).window(0, len(mids))
    shared = whole.shared._replace(features=columns, mids=mids, tainted=np.zeros(len(mids), np.bool_))
    return Recording(whole.instrument, whole.period_ns, shared)


def plain(n: int) -> Recording:
    features = FeatureSet(SPOT, HOUR_NS, NAMES)
    clock = DecisionClock(Every.BAR, 0)
    return record(bars(n), SPOT, HOUR_NS, clock, features, Normaliser(features.size))


def terms_in_order(found: Forecast) -> list[tuple[int, int]]:
    return list(zip(found.left.tolist(), found.right.tolist(), strict=True))


def terms(found: Forecast) -> set[tuple[int, int]]:
    return set(terms_in_order(found))


PLANTED = {(3, -1): 0.0006, (5, 11): -0.0006}


def found_whole(seeds: int) -> list[Forecast]:
    """The forecasts that are of what is planted, and of nothing else."""
    found = [fit_forecast(made(PLANTED, seed)) for seed in range(seeds)]
    return [each for each in found if terms(each) == set(PLANTED)]


def test_a_weak_column_and_a_weak_product_are_found_under_heavy_tails(monkeypatch: pytest.MonkeyPatch):
    whole = found_whole(10)
    assert len(whole) >= 9
    monkeypatch.setattr(forecast, "_LEEWAY", np.inf)
    robust = found_whole(10)
    for key, weight in PLANTED.items():
        careful, sizes = (
            [each.weights[terms_in_order(each).index(key)] for each in of] for of in (whole, robust)
        )
        assert np.mean(sizes) == pytest.approx(weight, rel=0.15)
        assert 0.8 < np.mean(careful) / np.mean(sizes) < 1.0


def test_what_only_small_returns_show_is_believed_only_as_far_as_the_large_ones_bear_it_out(
    monkeypatch: pytest.MonkeyPatch,
):
    """A bounce: a column tells where a small return goes, and the opposite of where a large one does."""
    rng = np.random.default_rng(0)
    columns = rng.normal(0.0, 1.0, (ROWS, 4)).astype(np.float32)
    large = rng.random(ROWS) < 0.05
    returns = rng.normal(0.0, 1e-3, ROWS) + 2e-4 * columns[:, 1]
    returns[large] = -0.004 * columns[large, 1] + rng.normal(0.0, 1e-3, int(large.sum()))
    mids = np.exp(np.append(0.0, np.cumsum(returns[:-1])))
    assert np.corrcoef(columns[:, 1], np.clip(returns, -1e-3, 1e-3))[0, 1] > 0.1
    recording = with_columns(columns, mids)
    assert (1, -1) not in terms(fit_forecast(recording))
    monkeypatch.setattr(forecast, "_LEEWAY", np.inf)
    assert (1, -1) in terms(fit_forecast(recording))


def test_without_bounded_tails_such_are_missed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(forecast, "_TAIL", np.inf)
    assert len(found_whole(10)) <= 6


def test_where_nothing_is_to_be_found_nothing_is_found():
    wrong = sum(len(fit_forecast(made({}, seed)).weights) > 0 for seed in range(40))
    assert wrong <= 3, "each has a chance of 2 %"


def test_of_many_thresholds_the_lower_lets_in_what_carries_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(forecast, "FALSE_FIND", 1.0)
    assert sum(len(fit_forecast(made({}, seed)).weights) > 0 for seed in range(8)) >= 4


def test_clustered_volatility_that_a_column_tells_of_is_no_forecast():
    """A column large where the returns are: plain deviations would call its sum significant too often."""
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        columns = rng.normal(0.0, 1.0, (2000, 40)).astype(np.float32)
        calm = rng.random(2000) < 0.9
        columns[calm] *= 0.1
        returns = 0.01 * np.where(calm, 0.1, 1.0) * rng.normal(0.0, 1.0, 2000)
        mids = np.exp(np.append(0.0, np.cumsum(returns[:-1])))
        found += len(fit_forecast(with_columns(columns, mids)).weights) > 0
    assert found <= 2


def test_a_drift_counts_where_it_is_certain():
    assert fit_forecast(made({}, 1, drift=0.0002)).drift == 0.0
    assert fit_forecast(made({}, 1, drift=0.003)).drift == pytest.approx(0.003, rel=0.1)


def test_innovations_are_what_the_returns_have_beyond_the_forecast():
    recording = made({(3, -1): 0.002}, 0)
    found = fit_forecast(recording)
    innovations = found.innovations(recording)
    returns = np.diff(np.log(recording.shared.mids))
    assert innovations[-1] == 0.0 and len(innovations) == recording.decisions
    assert innovations[:-1] == pytest.approx(returns - found.of(recording.shared.features[:-1]))
    before, after = (
        np.corrcoef(recording.shared.features[:-1, 3], x)[0, 1] for x in (returns, innovations[:-1])
    )
    assert before > 0.1 and abs(after) < 0.03


def test_returns_across_gaps_are_left_out():
    recording = made({}, 0)
    returns = np.diff(np.log(recording.shared.mids))
    gaps = np.zeros(recording.decisions, np.bool_)
    gaps[1::10] = True
    returns[gaps[1:]] = 0.02 * recording.shared.features[:-1, 7][gaps[1:]]
    mids = np.exp(np.append(0.0, np.cumsum(returns)))
    shared = recording.shared._replace(mids=mids)
    whole = Recording(recording.instrument, recording.period_ns, shared)
    gapped = Recording(recording.instrument, recording.period_ns, shared._replace(tainted=gaps))
    assert (7, -1) in terms(fit_forecast(whole)) and not terms(fit_forecast(gapped))


@pytest.mark.parametrize("n", [2, 3, 30])
def test_a_short_span_gives_no_forecast(n: int):
    found = fit_forecast(plain(300).window(0, n))
    assert not terms(found) and found.drift == 0.0 and not found.of(plain(300).shared.features).any()


def test_more_rows_than_are_looked_at_are_spread_over_the_whole_span(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(forecast, "_MOST_ROWS", 1500)
    found = fit_forecast(made({(3, -1): 0.002}, 0))
    assert terms(found) == {(3, -1)} and found.weights[0] == pytest.approx(0.002, rel=0.25)


LADDER = (-1.0, 0.0, 1.0)
SHORT_SPOT = SPOT.__class__(
    *(getattr(SPOT, name) for name in ("symbol", "base", "quote", "venue", "tick_size", "lot_size", "min_notional",
                                       "maker_fee", "taker_fee", "spread_bps")), short=True,
)  # fmt: skip


def simulation(lanes: int) -> Simulation:
    features = FeatureSet(SHORT_SPOT, HOUR_NS, NAMES)
    clock = DecisionClock(Every.BAR, 0)
    recording = record(bars(400), SHORT_SPOT, HOUR_NS, clock, features, Normaliser(features.size))
    episodes = Episodes(64, random_start=True, random_account=True)
    return Simulation(recording, BridgeConfig(LADDER), PaperConfig(), 1000.0, episodes, lanes)


def test_luck_is_the_exposure_settled_before_the_return_times_what_was_not_foreseen():
    lanes = simulation(12)
    recording = lanes.recording
    innovations = np.append(np.diff(np.log(recording.shared.mids)), 0.0)
    luck = Luck(lanes, innovations)
    lanes.reset(np.arange(12))
    rng = np.random.default_rng(0)
    for _ in range(20):
        at = lanes.lanes.lane["decision"].copy()
        held, working = lanes.lanes.account["position"].copy(), lanes.lanes.lane["working"].copy()
        mid, equity = lanes.lanes.facts[:, FACT_MID].copy(), lanes.lanes.facts[:, FACT_EQUITY].copy()
        actions = np.stack([rng.integers(0, 3, 12), rng.integers(0, 3, 12)], axis=1)
        found = luck.step(actions)
        now = lanes.lanes.account["position"]
        exposures = np.where((actions[:, 1] == 2) & (working == 0), now, held) * mid / equity
        assert found == pytest.approx(exposures * innovations[at])


def test_luck_has_mean_zero_for_actions_that_know_nothing_and_takes_the_noise_with_it():
    lanes = simulation(64)
    innovations = np.append(np.diff(np.log(lanes.recording.shared.mids)), 0.0)
    innovations -= innovations.mean()
    luck = Luck(lanes, innovations)
    rng = np.random.default_rng(0)
    raw, less = [], []
    for key in range(30):
        lanes.reset(np.arange(64) + 1000 * key)
        for _ in range(16):
            actions = np.stack([rng.integers(0, 3, 64), rng.choice([0, 2], 64)], axis=1)
            found = luck.step(actions)
            raw.append(lanes.outcome.rewards.copy())
            less.append(lanes.outcome.rewards - found)
    difference = np.mean(raw) - np.mean(less)
    assert abs(difference) < 4.0 * np.std(np.subtract(raw, less)) / np.sqrt(np.size(raw))
    assert np.std(less) < 0.25 * np.std(raw)


def test_a_collector_takes_the_luck_out_of_what_it_scales():
    shape = NetworkShape(len(NAMES) + ACCOUNT_SIZE, (len(LADDER), 3), (8,))
    weights = initial_weights(shape, 0)
    plainly, without = simulation(4), simulation(4)
    innovations = np.append(np.diff(np.log(without.recording.shared.mids)), 0.0)
    one = simulated_rollouts(shape, weights, SimulatedEnvironments(plainly, 100.0), 16, 0).collect()
    other = simulated_rollouts(
        shape, weights, SimulatedEnvironments(without, 100.0, innovations=innovations), 16, 0
    ).collect()
    assert np.array_equal(one.actions, other.actions) and not np.array_equal(one.rewards, other.rewards)
    assert np.std(other.rewards) < np.std(one.rewards)
