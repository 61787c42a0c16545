"""Markets whose best policy is known: autoregressive returns at a cost, solved by dynamic programming.

r' = ρ r + noise, where r has the standard deviation SIGMA; a unit of turnover costs COST standard deviations.
Prices are hourly bars traded on the paper exchange: a decision after a close trades at the next bar's open, which
is the same price, so that it earns the next return.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from math import erf

import numpy as np
from numpy.typing import NDArray

from ztb.execution.paper_config import PaperConfig
from ztb.features import FeatureSet, Normaliser
from ztb.learning.rollouts import episode_keys, new_actor
from ztb.market.instrument import Instrument
from ztb.market.ticks import BAR, Ticks, empty_ticks
from ztb.testing.made_market import HOUR_NS, START_NS, autoregressive_prices
from ztb.trading.bridge import FACT_EXPOSURE
from ztb.trading.decision_clock import DecisionClock, Every
from ztb.trading.episodes import Episodes
from ztb.trading.observation import ACCOUNT_SIZE
from ztb.trading.policy.weights import NetworkShape, Weights
from ztb.trading.recording import Recording, record
from ztb.trading.settings import BridgeConfig
from ztb.trading.simulation import Simulation
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMINGS

SIGMA = 1e-4
COST = 0.2
CASH = 1e7
LADDER = (-1.0, -0.5, 0.0, 0.5, 1.0)
FEATURES = ("return_1", "return_2", "volatility_8")
_FEE = Decimal(repr(COST * SIGMA)).quantize(Decimal("1e-9"))
MARKET = Instrument(
    "MADE/USDT:USDT", "MADE", "USDT", "test", Decimal("0.001"), Decimal("0.0001"), Decimal("1"), _FEE, _FEE, 0.0,
    short=True,
)  # fmt: skip
BRIDGE = BridgeConfig(LADDER, cost_reserve_fraction=0.0)
SHAPE = NetworkShape(len(FEATURES) + 1 + ACCOUNT_SIZE, (len(LADDER), TIMINGS))
CELLS = 121
REACH = 4.5

Choose = Callable[[NDArray[np.float32], NDArray[np.float64]], NDArray[np.int64]]
"""Observations (N, D) and uniforms (N, 2) to actions (N, 2)."""
Table = NDArray[np.int64]
"""(R, C) the rung that is best when at rung R after a return in cell C."""


def closes(regimes: Sequence[tuple[float, int]], seed: int) -> NDArray[np.float64]:
    """Prices after each return of `regimes`, (ρ, how many) in order, and before the first."""
    return autoregressive_prices(regimes, seed, SIGMA)


def bars_of(prices: NDArray[np.float64]) -> Ticks:
    """An hourly bar from each price to the next, without a detour."""
    n = len(prices) - 1
    ticks = empty_ticks(n)
    ticks["kind"] = BAR
    ticks["ts_ns"] = START_NS + (1 + np.arange(n)) * HOUR_NS
    ticks["span_ns"] = HOUR_NS
    ticks["open"], ticks["price"] = prices[:-1], prices[1:]
    ticks["high"] = np.maximum(prices[:-1], prices[1:])
    ticks["low"] = np.minimum(prices[:-1], prices[1:])
    ticks["size"] = 1e9
    ticks["buy_volume"] = np.nan
    return ticks


def made_normaliser() -> Normaliser:
    """A fresh one, with the forecast that a policy that learns is told."""
    return Normaliser.with_forecast(len(FEATURES), MARKET.turnover_cost)


def record_bars(ticks: Ticks, normaliser: Normaliser | None = None) -> Recording:
    """Ready to be traded on; the normaliser is a fresh one, or goes on from where it is."""
    features = FeatureSet(MARKET, HOUR_NS, FEATURES)
    return record(
        ticks, MARKET, HOUR_NS, DecisionClock(Every.BAR, 0), features, normaliser or made_normaliser()
    )


def best_policy(rho: float) -> tuple[Table, float]:
    """The policy of the largest mean reward a decision, and that reward: relative value iteration over
    (return, exposure); Puterman 1994, "Markov Decision Processes", section 8.5.
    """
    edges = np.linspace(-REACH, REACH, CELLS + 1)
    middles = 0.5 * (edges[1:] + edges[:-1])
    bounds = np.concatenate([[-np.inf], edges[1:-1], [np.inf]])
    scale = np.sqrt(1.0 - rho * rho)
    below = np.vectorize(lambda z: 0.5 * (1.0 + erf(z / np.sqrt(2.0))))
    moves = np.diff(below((bounds[None, :] - rho * middles[:, None]) / scale), axis=1)
    ladder = np.array(LADDER)
    gains, gain = ladder[:, None] * rho * middles[None, :], 0.0
    costs = COST * np.abs(ladder[:, None] - ladder[None, :])
    values = choices = np.zeros((len(LADDER), CELLS))
    for _ in range(400):
        ahead = gains + values @ moves.T
        choices = ahead[None, :, :] - costs[:, :, None]
        values = choices.max(axis=1)
        gain = float(values[0, 0])
        values -= gain
    return choices.argmax(axis=1), gain


class Examination:
    """Fresh paths of one regime, on which policies are compared: the same moments, the same random numbers."""

    def __init__(self, rho: float, seed: int, lanes: int = 40, steps: int = 1500) -> None:
        warm = 2000
        recording = record_bars(bars_of(closes([(rho, warm + lanes * steps // 2)], seed)))
        self.recording = recording.window(warm, recording.decisions)
        episodes = Episodes(steps, random_start=True)
        self.simulation = Simulation(self.recording, BRIDGE, PaperConfig(), CASH, episodes, lanes)
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._keys = episode_keys(self._generator, lanes)
        self._uniforms = self._generator.random((steps, lanes, 2))
        mids = self.recording.shared.mids
        self._returns = np.diff(np.log(mids), prepend=np.log(mids[0])) / SIGMA
        self._noise = self._returns - rho * np.append(0.0, self._returns[:-1])
        self.turnover = 0.0

    def run(self, choose: Choose) -> float:
        """The mean reward a decision, in standard deviations of the return; `turnover` is set, a decision.

        What the noise of the path brought is taken out: its mean is 0, whatever the exposure was before it came.
        """
        simulation = self.simulation
        lanes = simulation.lanes
        simulation.reset(self._keys)
        total = 0.0
        for uniforms in self._uniforms:
            rewards = simulation.step(choose(simulation.outcome.observations, uniforms)).rewards
            luck = lanes.facts[:, FACT_EXPOSURE] * self._noise[lanes.lane["decision"]]
            total += float((rewards / SIGMA - luck).mean())
        decisions = len(self._uniforms)
        self.turnover = float(lanes.account["traded_notional"].mean()) / CASH / decisions
        return total / decisions

    def greedy(self, weights: Weights) -> float:
        return self.run(self._chooser(weights, True))

    def sampled(self, weights: Weights) -> float:
        return self.run(self._chooser(weights, False))

    def random(self) -> float:
        return self.run(lambda _, uniforms: (uniforms * (len(LADDER), TIMINGS)).astype(np.int64))

    def best(self, table: Table) -> float:
        """Of the policy in `table`, which sees the last return and the present exposure."""
        ladder = np.array(LADDER)

        def choose(_: NDArray[np.float32], __: NDArray[np.float64]) -> NDArray[np.int64]:
            lanes = self.simulation.lanes
            r = self._returns[lanes.lane["decision"]]
            cell = np.clip(((r + REACH) * CELLS / (2 * REACH)).astype(np.int64), 0, CELLS - 1)
            at = np.abs(lanes.facts[:, FACT_EXPOSURE][:, None] - ladder).argmin(axis=1)
            rungs = table[at, cell]
            return np.stack([rungs, np.full_like(rungs, TIMING_AGGRESSIVE)], axis=1)

        return self.run(choose)

    def _chooser(self, weights: Weights, greedy: bool) -> Choose:
        lanes = self.simulation.num_lanes
        actor = new_actor(SHAPE, weights, lanes)
        actions, logprobs = np.zeros((lanes, 2), np.int64), np.zeros(lanes, np.float32)

        def choose(seen: NDArray[np.float32], uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
            actor.act(seen, uniforms, actions, logprobs, greedy=greedy)
            return actions

        return choose
