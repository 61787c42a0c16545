"""Forecasts as evidence: they speak for an account in so far as it lives on them, and by what they are worth after costs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ztb.features.forecast import Foreseen
from ztb.learning.allocation import GrowthEvidence, evidence

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
        path.append(evidence.foreseen)
    return evidence, np.array(path)


def test_the_hurdle_is_what_is_paid_of_what_is_claimed():
    evidence, _ = told(1.0, 2_000, 1, paid=0.5)
    assert evidence.hurdle == pytest.approx(0.5, abs=0.02)


def test_who_holds_something_for_other_reasons_claims_nothing():
    """A position that never changes is on the forecast's side half of the time, and now and then a little more."""
    rng, evidence, counted = np.random.default_rng(9), GrowthEvidence(0.9995), 0
    for _ in range(8_000):
        forecast = SIGMA * SHARE * rng.normal()
        change = forecast + SIGMA * rng.normal()
        evidence.foresee(Foreseen(100.0, forecast, SIGMA, change, COST), 1.0, change)
        counted += evidence.hurdle < 1.0
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
    assert evidence.log_e <= 0.0 + 1e-9 or evidence.hurdle >= 1.0


def test_where_returns_are_no_more_than_the_hurdle_it_seldom_speaks():
    """Wald: the sum ever exceeds log x with probability 1 / x at most. Here each excursion from the bound may."""
    highest = [told(0.5, 4_000, seed)[1].max() for seed in range(60)]
    assert np.mean(np.array(highest) > math.log(20.0) + 3.0) < 0.1


def test_forecasts_that_stop_coming_true_stop_speaking():
    rng = np.random.default_rng(5)
    evidence, _ = told(1.0, 20_000, 4)
    before = evidence.foreseen
    for _ in range(8_000):
        forecast = SIGMA * SHARE * rng.normal()
        change = SIGMA * rng.normal()
        exposure = math.copysign(1.0, forecast)
        evidence.foresee(
            Foreseen(100.0, forecast, SIGMA, change, COST), exposure, exposure * change - 0.5 * abs(forecast)
        )
    assert evidence.foreseen < before - 10.0 and evidence.log_e < 1.0


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
            count, claims = count + (found.claims != claims), found.claims
        return count

    calm = turns()
    monkeypatch.setattr(evidence, "_NO_MORE", evidence._BY_CHANCE)
    # Compiled code has its constants in it.
    monkeypatch.setattr(evidence, "_claim", getattr(evidence._claim, "py_func", evidence._claim))
    assert 0 < calm < 0.2 * turns()
