"""What is rewarded, against the papers' formulas written down a second time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from trading.markets import SPOT, bars
from ztb.trading.environment import TradingEnvironment, VectorTradingEnvironment
from ztb.trading.sizing import TIMING_AGGRESSIVE

ETA = 0.05
TICKS = bars(400, volatility=0.02)


def episode(**options: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rewards, equities, traded notional) of random actions; the last two have one entry more."""
    env = TradingEnvironment(TICKS, SPOT, reward_rate=ETA, **options)
    account = env.simulation.lanes.account
    rng = np.random.default_rng(1)
    equities, traded, rewards = [env.reset(seed=0)[1]["equity"]], [0.0], []
    for _ in range(300):
        _, reward, _, _, info = env.step(rng.integers(0, (5, 3)))
        rewards.append(reward)
        equities.append(info["equity"])
        traded.append(float(account["traded_notional"][0]))
    return np.array(rewards), np.array(equities), np.array(traded)


def log_returns(equities: np.ndarray) -> list[float]:
    return [math.log(after / before) for before, after in zip(equities, equities[1:], strict=False)]


def moody_saffell_sharpe(returns: list[float]) -> list[float]:
    """Equation 14 of Moody and Saffell (2001), times the rate: the first-order change of the Sharpe ratio."""
    a = b = 0.0
    found = []
    for r in returns:
        da, db = r - a, r**2 - b
        found.append(ETA * (b * da - a * db / 2) / (b - a**2) ** 1.5 if b - a**2 > 1e-8 else 0.0)
        a, b = a + ETA * da, b + ETA * db
    return found


def moody_saffell_downside(returns: list[float]) -> list[float]:
    """Equation 19 of Moody and Saffell (2001), times the rate."""
    a = dd2 = 0.0
    found = []
    for r in returns:
        dd = math.sqrt(dd2)
        if dd2 <= 1e-8:
            found.append(0.0)
        elif r > 0:
            found.append(ETA * (r - a / 2) / dd)
        else:
            found.append(ETA * (dd**2 * (r - a / 2) - a * r**2 / 2) / dd**3)
        a, dd2 = a + ETA * (r - a), dd2 + ETA * (min(r, 0.0) ** 2 - dd2)
    return found


FORMULAS = {
    "log_return": lambda returns: returns,
    "differential_sharpe": moody_saffell_sharpe,
    "sortino": moody_saffell_downside,
}


@pytest.mark.parametrize("kind", FORMULAS)
def test_rewards_are_the_papers(kind):
    rewards, equities, _ = episode(reward=kind)
    expected = FORMULAS[kind](log_returns(equities))
    assert rewards == pytest.approx(np.array(expected), rel=1e-9, abs=1e-12)
    assert np.count_nonzero(rewards) > 250


@pytest.mark.parametrize("kind", FORMULAS)
def test_drawdown_and_turnover_are_taken_off(kind):
    plain, equities, traded = episode(reward=kind)
    risky, same_equities, _ = episode(reward=kind, drawdown_weight=0.7, turnover_weight=0.03)
    assert np.array_equal(equities, same_equities)
    drawdown = 1.0 - equities / np.maximum.accumulate(equities)
    rises = np.maximum(np.diff(drawdown), 0.0)
    turnover = np.diff(traded) / equities[:-1]
    assert plain - risky == pytest.approx(0.7 * rises + 0.03 * turnover, abs=1e-12)
    assert (rises > 0).any() and (turnover > 0).any()


def test_rewards_sum_to_the_log_change_of_equity():
    rewards, equities, _ = episode()
    assert rewards.sum() == pytest.approx(math.log(equities[-1] / equities[0]), abs=1e-12)


def test_doing_nothing_earns_exactly_nothing():
    env = TradingEnvironment(TICKS, SPOT, drawdown_weight=1.0, turnover_weight=1.0)
    env.reset(seed=0)
    assert {env.step(np.array([4, 0]))[1] for _ in range(200)} == {0.0}


@pytest.mark.parametrize("exposure", [0.25, 0.5, 1.0])
def test_the_rewards_of_a_fixed_long_position_rise_with_the_final_price(exposure):
    totals = []
    for final in np.linspace(0.8, 1.25, 10):
        ticks = bars(150)
        ticks["price"][-1] = round(float(ticks["open"][-1]) * final, 2)
        ticks["high"][-1] = max(ticks["open"][-1], ticks["price"][-1])
        ticks["low"][-1] = min(ticks["open"][-1], ticks["price"][-1])
        env = TradingEnvironment(ticks, SPOT, ladder=(0.0, exposure))
        env.reset(seed=0)
        total, truncated, action = 0.0, False, TIMING_AGGRESSIVE
        while not truncated:
            _, reward, _, truncated, _ = env.step(np.array([1, action]))
            total, action = total + reward, 0
        totals.append(total)
    assert np.all(np.diff(totals) > 0.0)


def test_turning_over_costs_fees_and_half_the_spread():
    """Prices stand still: what is lost is the venue's."""
    ticks = bars(150, volatility=0.0)
    for name in ("open", "high", "low", "price"):
        ticks[name] = 5000.0
    env = VectorTradingEnvironment(ticks, 1, SPOT, start_cash=1000.0)
    env.reset(seed=0)
    for rung in (4, 0) * 20:
        infos = env.step(np.array([[rung, TIMING_AGGRESSIVE]]))[4]
    spread = 2e-4 * 5000.0
    lots = env.simulation.lanes.account["traded_notional"][0] / 5000.0
    lost = infos["fees"][0] + lots * spread / 2
    assert infos["equity"][0] == pytest.approx(1000.0 - lost, rel=1e-4)
