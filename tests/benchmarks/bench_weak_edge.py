"""How much of a weak edge the default training finds: shares of what the optimum earns on the same exchange.

`PYTHONPATH=daemon:tests python tests/benchmarks/bench_weak_edge.py [--rho R ...] [--markets N ...] [--seeds N ...]`.

The market: r' = ρ r + noise, the noise being the shipped hourly bars with their order and their signs shuffled, scaled
so that a return has the standard deviation SIGMA; bars keep their wicks and volumes. Costs are those of Binance's
USD-margined futures. Trained as a run trains by default, every shipped feature shown, on BARS bars, then traded on the
next BARS by the most probable action. The optimum sees the last return and its own exposure (dynamic programming).
A share is of mean log growth, less what the noise of the path brought to either, which has mean 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache

import numpy as np
from numpy.typing import NDArray

from trading.markets import HOUR_NS, START_NS
from ztb.execution.paper_config import PaperConfig
from ztb.features import SHIPPED, FeatureSet, Normaliser
from ztb.market.history import open_history
from ztb.market.instrument import Instrument
from ztb.market.ticks import BAR, Ticks, empty_ticks
from ztb.trading.bridge import FACT_EQUITY, FACT_EXPOSURE, FACT_MID, BridgeConfig
from ztb.trading.decision_clock import DecisionClock, Every
from ztb.trading.episodes import Episodes
from ztb.trading.recording import Recording, record
from ztb.trading.simulation import Simulation
from ztb.trading.sizing import TIMING_AGGRESSIVE

SIGMA = 0.006
BARS = 10_000
WARM = 300
"""Bars before those, for the features to warm up on."""
LADDER = (-1.0, -0.5, 0.0, 0.5, 1.0)
CASH = 1e6
FUTURES = Instrument(
    "BTC/USDT:USDT", "BTC", "USDT", "binance", Decimal("0.01"), Decimal("0.0001"), Decimal("5"),
    Decimal("0.0002"), Decimal("0.0005"), 0.5, short=True,
)  # fmt: skip
TURN_COST = 5.25e-4
"""Of a unit of turnover: the taker's fee and half the spread."""
BRIDGE = BridgeConfig(LADDER)
_VOLUME = 1e6
_CELLS, _REACH = 241, 6.0


@cache
def _real_bars() -> NDArray[np.float64]:
    """(n, 2) of the shipped history: log return, volume."""
    parts = list(open_history(None).blocks(65_536))
    ticks = np.concatenate([part[part["kind"] == BAR] for part in parts])
    return np.stack([np.log(ticks["price"] / ticks["open"]), ticks["size"]], axis=1)


@dataclass(frozen=True, slots=True)
class Market:
    """Bars, and the noise in the return of each, in logs."""

    ticks: Ticks
    noise: NDArray[np.float64]


def make_market(rho: float, seed: int, bars: int = WARM + 2 * BARS) -> Market:
    """One path of the market."""
    rng = np.random.default_rng(seed)
    real = _real_bars()
    real = np.concatenate([rng.permutation(real) for _ in range(1 + bars // len(real))])[:bars]
    signs = rng.choice([-1.0, 1.0], bars)
    scale = SIGMA * np.sqrt(1.0 - rho * rho) / np.sqrt(np.mean(_real_bars()[:, 0] ** 2))
    noise = signs * real[:, 0] * scale
    returns, r = np.empty(bars), 0.0
    for i, shock in enumerate(noise):
        returns[i] = r = rho * r + shock
    prices = np.round(50_000.0 * np.exp(np.cumsum(np.append(0.0, returns))), 2)
    ticks = empty_ticks(bars)
    ticks["kind"], ticks["span_ns"], ticks["buy_volume"] = BAR, HOUR_NS, np.nan
    ticks["ts_ns"] = START_NS + (1 + np.arange(bars)) * HOUR_NS
    ticks["open"], ticks["price"] = prices[:-1], prices[1:]
    ticks["high"] = np.maximum(prices[:-1], prices[1:])
    ticks["low"] = np.minimum(prices[:-1], prices[1:])
    ticks["size"] = np.round(real[:, 1] * _VOLUME, 4) + 1.0
    return Market(ticks, noise)


def best_table(rho: float) -> tuple[NDArray[np.int64], float]:
    """(R, C): the rung of the largest mean log growth at rung R after a return in cell C, and that growth, in SIGMA.

    Relative value iteration over (return, exposure), the noise being that of the shipped bars.
    """
    middles = np.linspace(-_REACH, _REACH, _CELLS)
    shocks = np.sort(_real_bars()[:, 0])
    shocks = np.concatenate([shocks, -shocks])
    shocks = np.quantile(shocks, (np.arange(2000) + 0.5) / 2000)
    shocks *= np.sqrt(1.0 - rho * rho) / np.sqrt(np.mean(shocks**2))
    after = rho * middles[:, None] + shocks
    place = np.clip((after + _REACH) / (2 * _REACH) * (_CELLS - 1), 0, _CELLS - 1 - 1e-9)
    low = place.astype(int)
    moves = np.zeros((_CELLS, _CELLS))
    rows = np.repeat(np.arange(_CELLS), len(shocks))
    np.add.at(moves, (rows, low.ravel()), 1.0 - (place - low).ravel())
    np.add.at(moves, (rows, low.ravel() + 1), (place - low).ravel())
    moves /= len(shocks)
    ladder = np.array(LADDER)
    growth = np.log1p(ladder[:, None, None] * np.expm1(after * SIGMA)).mean(axis=2) / SIGMA
    costs = TURN_COST / SIGMA * np.abs(ladder[:, None] - ladder[None, :])
    values = choices = np.zeros((len(LADDER), _CELLS))
    gain = 0.0
    for _ in range(400):
        choices = (growth + values @ moves.T)[None, :, :] - costs[:, :, None]
        values = choices.max(axis=1)
        gain = float(values[2, _CELLS // 2])
        values -= gain
    return choices.argmax(axis=1), gain


def record_market(market: Market, features: tuple[str, ...] = SHIPPED) -> Recording:
    """Every decision of it."""
    made = FeatureSet(FUTURES, HOUR_NS, features)
    return record(
        market.ticks, FUTURES, HOUR_NS, DecisionClock(Every.BAR, 0), made, Normaliser(len(features))
    )


class Trial:
    """The second half of a market, on which policies are compared."""

    def __init__(self, market: Market, recording: Recording, first: int) -> None:
        self.recording = recording.window(first, recording.decisions)
        self.simulation = Simulation(self.recording, BRIDGE, PaperConfig(), CASH, Episodes(), 1)
        # Decision k is made after row rows[k] and lives through row rows[k + 1].
        self._noise = market.noise[self.recording.shared.rows]
        self.raw = 0.0
        self.turnover = 0.0

    def run(self, choose) -> float:
        """Log growth a decision in SIGMA, less luck; `raw` is with it, `turnover` a decision."""
        simulation = self.simulation
        simulation.reset(np.zeros(1, np.int64))
        lanes, total, luck = simulation.lanes, 0.0, 0.0
        steps = self.recording.decisions - 1
        for k in range(steps):
            mid, equity = lanes.facts[0, FACT_MID], lanes.facts[0, FACT_EQUITY]
            held, working = float(lanes.account["position"][0]), int(lanes.lane["remaining"][0])
            action = choose(simulation.outcome.observations, k)
            outcome = simulation.step(action)
            total += float(outcome.rewards[0])
            if working == 0 and action[0, 1] == TIMING_AGGRESSIVE:
                held = float(lanes.account["position"][0])
            luck += held * mid / equity * self._noise[k + 1]
            if outcome.terminated[0]:
                break
        self.raw = total / steps / SIGMA
        self.turnover = float(lanes.account["traded_notional"][0]) / CASH / steps
        return (total - luck) / steps / SIGMA

    def best(self, table: NDArray[np.int64]) -> float:
        """Of the policy in `table`."""
        ladder = np.array(LADDER)
        returns = np.diff(np.log(self.recording.shared.mids), prepend=np.nan) / SIGMA
        returns[0] = 0.0
        cells = np.clip(np.round((returns + _REACH) / (2 * _REACH) * (_CELLS - 1)), 0, _CELLS - 1).astype(int)

        def choose(_, k):
            at = int(np.abs(ladder - self.simulation.lanes.facts[0, FACT_EXPOSURE]).argmin())
            return np.array([[table[at, cells[k]], TIMING_AGGRESSIVE]])

        return self.run(choose)
