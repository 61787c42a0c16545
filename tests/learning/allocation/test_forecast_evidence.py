"""Forecasts as evidence: they speak for an account in so far as it lives on them, and by what they are worth after costs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ztb.features.forecast import Foreseen
from ztb.learning.allocation import GrowthEvidence, evidence
from ztb.learning.gate.evidence import log_mixture

SIGMA, COST = 0.002, 1e-4
SHARE = 0.1
"""Of a return's deviation, that of the forecast."""


def told(slope, decisions, seed, held=1.0, paid=0.5):
    """The evidence after returns of `slope` times the forecast, for an account that holds `held` in its direction.

    It pays the part `paid` of what it claims.
    """
    rng = np.random.default_rng(seed)
    evidence, path = GrowthEvidence(0.9995), []
    for _ in range(decisions):
        forecast = SIGMA * SHARE * rng.normal()
        change = slope * forecast + SIGMA * rng.normal()
        exposure = held * math.copysign(1.0, forecast)
        growth = exposure * change - paid * abs(exposure * forecast)
        evidence.foresee(Foreseen(100.0, forecast, SIGMA, change, COST), exposure, growth)
        path.append(evidence.state()["foreseen"])
    return evidence, np.array(path)


def test_the_hurdle_is_what_is_paid_of_what_is_claimed():
    evidence, _ = told(1.0, 2_000, 1, paid=0.5)
    assert evidence.state()["hurdle"] == pytest.approx(0.5, abs=0.02)


def test_who_holds_something_for_other_reasons_claims_nothing():
    """A position that never changes is on the forecast's side half of the time, and now and then a little more."""
    rng, evidence, counted = np.random.default_rng(9), GrowthEvidence(0.9995), 0
    for _ in range(8_000):
        forecast = SIGMA * SHARE * rng.normal()
        change = forecast + SIGMA * rng.normal()
        evidence.foresee(Foreseen(100.0, forecast, SIGMA, change, COST), 1.0, change)
        counted += evidence.state()["hurdle"] < 1.0
    assert counted < 200


def test_who_holds_the_same_always_claims_nothing_of_a_market_that_falls_and_recovers_a_little_each_time():
    """Forecasts of recoveries that come true: their sum is a part of how far it fell, which the holder has lost."""

    def highest(held):
        rng, evidence, last, most = np.random.default_rng(10), GrowthEvidence(0.9995), 0.0, -math.inf
        for decision in range(12_000):
            forecast = -SHARE * last
            last = forecast + SIGMA * rng.normal() - (0.0002 if decision > 6_000 else 0.0)
            exposure = held(forecast)
            evidence.foresee(Foreseen(100.0, forecast, SIGMA, last, COST), exposure, exposure * last)
            most = max(most, evidence.log_e)
        return most

    assert highest(lambda _: 1.0) <= 0.0
    assert highest(lambda forecast: float(forecast > 0.0)) > math.log(20.0)


def test_forecasts_that_come_true_and_pay_speak_for_an_account_within_a_few_thousand_decisions():
    evidence, _ = told(1.0, 8_000, 2)
    assert evidence.log_e > math.log(100.0)


def test_profit_of_the_same_decisions_says_much_less():
    """Why forecasts are looked at: the same market, seen by growth alone."""
    rng = np.random.default_rng(2)
    evidence = GrowthEvidence(0.9995)
    for _ in range(500):
        forecast = SIGMA * SHARE * rng.normal(size=16)
        change = forecast + SIGMA * rng.normal(size=16)
        evidence.add(float(np.sum(np.sign(forecast) * change - 0.5 * np.abs(forecast))))
    assert evidence.log_e < math.log(100.0)


@pytest.mark.parametrize(("held", "paid"), [(1.0, 1.1), (0.0, 0.5), (-1.0, 0.5)])
def test_who_does_not_live_on_the_forecast_has_nothing_of_it(held, paid):
    """Because it costs more than it brings, because nothing is held, because the other side is."""
    evidence, _ = told(1.0, 8_000, 3, held=held, paid=paid)
    assert evidence.log_e <= 0.0 + 1e-9 or evidence.state()["hurdle"] >= 1.0


def test_where_returns_are_no_more_than_the_hurdle_it_seldom_speaks():
    """Wald: the sum ever exceeds log x with probability 1 / x at most. Here each excursion from the bound may."""
    highest = [told(0.5, 4_000, seed)[1].max() for seed in range(60)]
    assert np.mean(np.array(highest) > math.log(20.0) + 3.0) < 0.1


def test_forecasts_that_stop_coming_true_stop_speaking():
    rng = np.random.default_rng(5)
    evidence, _ = told(1.0, 20_000, 4)
    before = evidence.state()["foreseen"]
    for _ in range(8_000):
        forecast = SIGMA * SHARE * rng.normal()
        change = SIGMA * rng.normal()
        exposure = math.copysign(1.0, forecast)
        evidence.foresee(
            Foreseen(100.0, forecast, SIGMA, change, COST), exposure, exposure * change - 0.5 * abs(forecast)
        )
    assert evidence.state()["foreseen"] < before - 10.0 and evidence.log_e < 1.0


def test_what_an_account_loses_speaks_against_what_the_market_says():
    evidence, _ = told(1.0, 12_000, 6)
    before = evidence.log_e
    rng = np.random.default_rng(7)
    for _ in range(400):
        evidence.add(float(rng.normal(-0.004, 0.008)))
    assert evidence.log_e < before - 5.0


def test_it_is_copied_and_told_whole():
    evidence, _ = told(1.0, 500, 8)
    assert GrowthEvidence(**evidence.state()) == evidence == evidence.copy()


def test_the_size_that_grows_fastest_is_known_from_claims_before_profits_tell_it():
    """Half of what is foreseen is paid: mean over variance, of an account that always holds all of it."""
    evidence, _ = told(1.0, 4_000, 5)
    expected = 0.5 * SHARE * math.sqrt(2 / math.pi) / SIGMA
    assert evidence.log_e > 0.0 and evidence.kelly == pytest.approx(expected, rel=0.1)


def test_without_forecasts_it_is_that_of_profits_and_without_anything_nothing_is_said():
    assert GrowthEvidence(1.0).kelly == math.inf
    evidence, rng = GrowthEvidence(1.0), np.random.default_rng(4)
    for growth in rng.normal(0.0004, 0.01, 50_000):
        evidence.add(growth)
    assert evidence.kelly == pytest.approx(4.0, rel=0.3)


def trade(found, market, positions, before, equities) -> None:
    """One account's decisions, as `foresee_all` takes them."""
    evidence.foresee_all(
        table=found.sums[None], rows=np.zeros(1, np.int64), market=market, cost=COST, positions=positions[None],
        before=np.array([before]), equities=equities[None],
    )  # fmt: skip


def test_what_is_claimed_now_and_then_does_not_come_and_go(monkeypatch):
    """An account that lives on the forecast now and then: its weight is not paid for at every turn of that."""

    def turns() -> int:
        rng, found, claims = np.random.default_rng(3), GrowthEvidence(0.9995), False
        count = 0
        for _ in range(40_000):
            forecast = SIGMA * SHARE * rng.normal()
            change = forecast + SIGMA * rng.normal()
            held = math.copysign(1.0, forecast) if rng.random() < 0.06 else rng.choice([-1.0, 1.0])
            found.foresee(Foreseen(100.0, forecast, SIGMA, change, COST), held, held * change)
            now = found.state()["claims"]
            count, claims = count + (now != claims), now
        return count

    calm = turns()
    monkeypatch.setattr(evidence, "_NO_MORE", evidence._BY_CHANCE)
    for name in ("_claim", "_claim_all"):  # compiled code has its constants in it
        kernel = getattr(evidence, name)
        monkeypatch.setattr(evidence, name, getattr(kernel, "py_func", kernel))
    assert 0 < calm < 0.2 * turns()


def test_the_sums_are_what_the_formulas_say():
    """Recomputed decision by decision, with returns beyond what counts and a hurdle that comes and goes."""
    rng, found = np.random.default_rng(15), GrowthEvidence(0.9995)
    fading = 1.0 - 1.0 / 2048
    seen = total = usual = claimed = squares = paid = risked = 0.0
    hurdle, claims, hurdles = 1.0, False, []
    for decision in range(4_000):
        forecast = SIGMA * 0.4 * rng.normal()
        change = forecast + SIGMA * rng.normal() * (5.0 if decision % 50 == 0 else 1.0)
        held = math.copysign(0.8, forecast if decision < 1_000 or decision > 2_200 else -forecast)
        growth = held * change - (0.5 if decision < 1_000 else 3.0) * abs(held * forecast)
        if hurdle < 1.0:
            f, r = forecast / SIGMA, float(np.clip(change / SIGMA, -3.0, 3.0))
            total = float(np.clip(total + (1.0 - hurdle) * f * (r - f * (1.0 + hurdle) / 2.0), -3.0, 16.0))
        seen += 1
        usual += (held - usual) / min(seen, 2048)
        claim = (held - usual) * forecast
        claimed, squares = fading * claimed + claim, fading * squares + claim**2
        paid = fading * paid + held * change - growth
        risked = fading * risked + (held * SIGMA) ** 2
        claims = claimed > (1.0 if claims else 3.0) * math.sqrt(squares)
        hurdle = max(0.0, (2.0 * COST + paid) / (2.0 * COST + claimed)) if claims else 1.0
        found.foresee(Foreseen(100.0, forecast, SIGMA, change, COST), held, growth)
        hurdles.append(hurdle)
        now = found.state()
        told = [now[name] for name in ("foreseen", "usual", "claimed", "claimed_squares", "paid", "risked")]
        assert told == pytest.approx((total, usual, claimed, squares, paid, risked))
        assert (now["followed"], now["claims"]) == (seen, claims) and now["hurdle"] == pytest.approx(hurdle)
    assert min(hurdles) < 0.6 and 1.0 in hurdles[100:] and max(hurdles) > 1.0


@pytest.mark.parametrize(
    ("claimed", "claims_before", "claims_after"),
    [(0.25, True, True), (0.25, False, False), (0.35, False, True), (0.05, True, False)],
)
def test_a_claim_begins_beyond_three_deviations_of_chance_and_ends_below_one(
    claimed, claims_before, claims_after
):
    """One decision on, of one whose exposure is known for long: everything but it fades by a 2048th."""
    found = GrowthEvidence(
        0.9995, hurdle=0.5, followed=5_000, usual=0.2, claimed=claimed, claimed_squares=0.01, paid=0.04,
        risked=0.05, claims=claims_before,
    )  # fmt: skip
    found.foresee(Foreseen(100.0, 0.001, SIGMA, 0.003, COST), 0.8, 0.002)
    fading, usual = 1.0 - 1.0 / 2048, 0.2 + 0.6 / 2048
    claim = (0.8 - usual) * 0.001
    expected = {
        "followed": 5_001, "usual": usual, "claimed": fading * claimed + claim,
        "claimed_squares": fading * 0.01 + claim**2, "paid": fading * 0.04 + 0.8 * 0.003 - 0.002,
        "risked": fading * 0.05 + (0.8 * SIGMA) ** 2, "claims": claims_after,
        "foreseen": 0.5 * 0.5 * (1.5 - 0.5 * 1.5 * 0.5),
    }  # fmt: skip
    paid = 2.0 * COST + expected["paid"]
    expected["hurdle"] = paid / (2.0 * COST + expected["claimed"]) if claims_after else 1.0
    now = found.state()
    assert {name: now[name] for name in expected} == pytest.approx(expected, rel=1e-12)


def test_of_a_return_far_out_three_deviations_count_either_way():
    for change, counted in ((10.0, 3.0), (2.9, 2.9), (-10.0, -3.0)):
        found = GrowthEvidence(0.9995, hurdle=0.5)
        found.learn(np.array([[100.0, 0.5 * SIGMA, SIGMA, change * SIGMA]]))
        assert found.state()["foreseen"] == pytest.approx(0.5 * 0.5 * (counted - 0.375), rel=1e-12)


def test_who_is_paid_for_what_it_claims_has_no_hurdle():
    found = GrowthEvidence(0.9995, hurdle=0.5, claimed=0.5, claimed_squares=0.01, paid=-0.1, claims=True)
    found.foresee(Foreseen(100.0, 0.001, SIGMA, 0.003, COST), 0.8, 0.002)
    assert found.state()["hurdle"] == 0.0


def test_blocks_count_in_units_of_those_before_and_for_eight_deviations_at_most():
    rng, found = np.random.default_rng(16), GrowthEvidence(0.9)
    blocks, s, v, square = rng.normal(0.0, 0.01, 80), 0.0, 0.0, 0.0
    blocks[[40, 60]] = 1.0, -1.0
    for number, growth in enumerate(blocks.tolist()):
        found.add(growth)
        if number >= 4:
            scaled = float(np.clip(growth / math.sqrt(square), -8.0, 8.0))
            s, v = 0.9 * s + scaled, 0.9 * v + scaled**2
        square += (growth**2 - square) / min(number + 1, 32)
        assert [found.state()[name] for name in ("s", "v", "square")] == pytest.approx([s, v, square])
    assert found.blocks == 80


def test_evidence_is_that_of_profit_or_of_forecasts_less_a_reserve_and_what_was_lost():
    profit, loss, forecasts = log_mixture(10.0, 20.0), log_mixture(10.0, 20.0), 9.0 - math.log(20.0)
    assert GrowthEvidence(1.0, s=10.0, v=20.0).log_e == pytest.approx(profit)
    assert GrowthEvidence(1.0, foreseen=9.0, hurdle=0.5).log_e == pytest.approx(forecasts)
    assert GrowthEvidence(1.0, s=-10.0, v=20.0, foreseen=9.0, hurdle=0.5).log_e == pytest.approx(
        forecasts - loss
    )
    assert GrowthEvidence(1.0, s=1.0, v=1.0, foreseen=9.0, hurdle=0.5).log_e == pytest.approx(forecasts)
    for silent in ({"hurdle": 1.0, "foreseen": 9.0}, {"hurdle": 0.5, "foreseen": math.log(20.0)}):
        assert GrowthEvidence(1.0, s=-3.0, v=20.0, **silent).log_e == log_mixture(-3.0, 20.0)


def test_the_size_that_grows_fastest_is_mean_over_variance_of_what_speaks():
    claims = {"foreseen": 16.0, "hurdle": 0.5, "claimed": 0.3, "paid": 0.1, "risked": 0.05}
    assert GrowthEvidence(1.0, **claims).kelly == pytest.approx(4.0)
    assert GrowthEvidence(1.0, **claims | {"paid": 0.5}).kelly == 0.0
    profits = {"s": 60.0, "v": 100.0, "square": 0.04}
    assert GrowthEvidence(1.0, **profits).kelly == pytest.approx(3.0)
    assert GrowthEvidence(1.0, **profits | claims).kelly == pytest.approx(3.0), "what says more counts"


def test_without_a_deviation_a_return_says_nothing_and_an_account_without_equity_claims_nothing():
    found = GrowthEvidence(1.0, hurdle=0.5)
    before = found.state()
    found.learn(np.array([[100.0, 0.1, 0.0, 0.2], [0.0, 0.1, SIGMA, 0.2]]))
    found.claim(np.array([[0.0, 0.1, SIGMA, 0.2]]), COST, np.ones(1), np.ones(1))
    market = np.array([[0.0, 0.1, SIGMA, 0.2], [100.0, 0.1, SIGMA, 0.2], [100.0, 0.1, SIGMA, 0.2]])
    trade(found, market, np.ones(3), 1.0, np.array([1.0, 0.0, 1.0]))
    assert found.state() == before
    trade(found, market[1:], np.ones(2), 0.0, np.array([100.0, 100.0]))
    now = found.state()
    assert now["followed"] == 1 and now["usual"] == 1.0, "of the second alone it is known where it began"


def test_each_account_is_told_of_what_it_alone_held():
    """Three, of which two are meant: they take what they would have taken one by one, the other takes nothing."""
    rng, apart = np.random.default_rng(21), [GrowthEvidence(0.9995, hurdle=0.5) for _ in range(3)]
    table = np.array([each.sums for each in apart])
    market = np.column_stack(
        [np.full(40, 100.0), *(SIGMA * rng.normal(size=(2, 40)) + [[0.0], [SIGMA]]), np.zeros(40)]
    )
    positions, equities = rng.random((2, 40)), rng.uniform(90.0, 110.0, (2, 40))
    rows, before = np.array([2, 0]), np.array([100.0, 50.0])
    evidence.foresee_all(
        table=table,
        rows=rows,
        market=market,
        cost=COST,
        positions=positions,
        before=before,
        equities=equities,
    )
    for j, row in enumerate(rows):
        trade(apart[row], market, positions[j], before[j], equities[j])
    assert [row.tolist() for row in table] == [each.sums.tolist() for each in apart]
    assert apart[0] != apart[2] and apart[1] == GrowthEvidence(0.9995, hurdle=0.5)
