"""A market with a weak edge and everything else real: planted autoregression on shuffled bars, and its optimum.

r' = ρ r + noise. The noise is that of the shipped hourly bars, their order and their signs shuffled, scaled so that a
return has the standard deviation SIGMA; volumes are theirs too, made so large that nobody has an impact. Costs are those
of Binance's USD-margined futures. Bars go from open to close without a detour, so that a resting order is filled only
where it loses: the optimum trades at once, sees the last return and its own exposure, and comes from dynamic programming.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from trading.markets import HOUR_NS, START_NS
from ztb.config import Config
from ztb.execution.paper_config import PaperConfig
from ztb.features import SHIPPED, FeatureSet
from ztb.learning.luck import Luck
from ztb.learning.rollouts import new_actor
from ztb.learning.training import Training, split
from ztb.learning.training_settings import PretrainSettings
from ztb.market.history import open_history
from ztb.market.instrument import Instrument
from ztb.market.ticks import BAR, Ticks, empty_ticks
from ztb.runtime.build.assembly import assemble
from ztb.runtime.build.pretraining import training_settings
from ztb.trading.bridge import FACT_EXPOSURE
from ztb.trading.episodes import Episodes
from ztb.trading.policy.weights import Weights
from ztb.trading.recording import Recording, record
from ztb.trading.settings import BridgeConfig
from ztb.trading.simulation import Simulation
from ztb.trading.sizing import TIMING_AGGRESSIVE

SIGMA = 0.006
BARS = 10_000
"""To train on, and as many more to trade."""
LADDER = (-1.0, -0.5, 0.0, 0.5, 1.0)
FUTURES = Instrument(
    "BTC/USDT:USDT", "BTC", "USDT", "binance", Decimal("0.01"), Decimal("0.0001"), Decimal("5"),
    Decimal("0.0002"), Decimal("0.0005"), 0.5, short=True,
)  # fmt: skip
TURNOVER_COST = 5.25e-4
"""Of a unit of turnover: the taker's fee and half the spread."""
BRIDGE = BridgeConfig(LADDER)
_WARM = 300
_CASH = 1e6
_VOLUME = 1e6
_CELLS, _REACH, _SHOCKS = 241, 6.0, 2000

Choose = Callable[[int, NDArray[np.float32]], NDArray[np.int64]]
"""The number of a decision and observations (1, D) to actions (1, 2)."""


@cache
def real_bars() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log returns and volumes of the shipped history, (n,) each."""
    parts = list(open_history(None).blocks(65_536))
    bars = np.concatenate([part[part["kind"] == BAR] for part in parts])
    return np.log(bars["price"] / bars["open"]), bars["size"].astype(np.float64)


def noise_of(rho: float, returns: NDArray[np.float64]) -> NDArray[np.float64]:
    """`returns` of the shipped history scaled so that r' = ρ r + noise has the deviation SIGMA."""
    return returns * (SIGMA * float(np.sqrt((1.0 - rho * rho) / np.mean(real_bars()[0] ** 2))))


def weak_market(rho: float, seed: int) -> tuple[Ticks, NDArray[np.float64]]:
    """One path: bars to warm up, train and trade on, and the noise in the log return of each."""
    rng, n = np.random.default_rng(seed), _WARM + 2 * BARS
    real, volumes = real_bars()
    order = np.concatenate([rng.permutation(len(real)) for _ in range(1 + n // len(real))])[:n]
    noise = noise_of(rho, real[order] * rng.choice([-1.0, 1.0], n))
    returns, r = np.zeros(n + 1), 0.0
    for i, shock in enumerate(noise):
        returns[i + 1] = r = rho * r + shock
    prices = np.round(50_000.0 * np.exp(np.cumsum(returns)), 2)
    ticks = empty_ticks(n)
    ticks["kind"], ticks["span_ns"], ticks["buy_volume"] = BAR, HOUR_NS, np.nan
    ticks["ts_ns"] = START_NS + (1 + np.arange(n)) * HOUR_NS
    ticks["open"], ticks["price"] = prices[:-1], prices[1:]
    ticks["high"] = np.maximum(prices[:-1], prices[1:])
    ticks["low"] = np.minimum(prices[:-1], prices[1:])
    ticks["size"] = np.round(volumes[order] * _VOLUME, 4) + 1.0
    return ticks, noise


@cache
def optimum(rho: float) -> tuple[NDArray[np.int64], float]:
    """(R, C) the rung of the largest mean log growth at rung R after a return in cell C; and that growth a decision.

    Relative value iteration over (return, exposure); Puterman 1994, "Markov Decision Processes", section 8.5.
    """
    shocks = np.concatenate([real_bars()[0], -real_bars()[0]])
    noise = noise_of(rho, np.quantile(shocks, (np.arange(_SHOCKS) + 0.5) / _SHOCKS))
    after = rho * SIGMA * np.linspace(-_REACH, _REACH, _CELLS)[:, None] + noise
    place = np.clip((after / SIGMA + _REACH) / (2 * _REACH) * (_CELLS - 1), 0, _CELLS - 1 - 1e-9)
    below, rows = place.astype(np.int64), np.repeat(np.arange(_CELLS), _SHOCKS)
    moves = np.zeros((_CELLS, _CELLS))
    np.add.at(moves, (rows, below.ravel()), (1.0 - (place - below).ravel()) / _SHOCKS)
    np.add.at(moves, (rows, below.ravel() + 1), (place - below).ravel() / _SHOCKS)
    ladder = np.array(LADDER)
    growth = np.log1p(ladder[:, None, None] * np.expm1(after)).mean(axis=2)
    costs = TURNOVER_COST * np.abs(ladder[:, None] - ladder[None, :])
    values, choices, gain = np.zeros((len(LADDER), _CELLS)), np.zeros(0), 0.0
    for _ in range(400):
        choices = (growth + values @ moves.T)[None, :, :] - costs[:, :, None]
        values = choices.max(axis=1)
        gain = float(values[2, _CELLS // 2])
        values = values - gain
    return choices.argmax(axis=1), gain


def weak_settings(features: tuple[str, ...] = SHIPPED) -> PretrainSettings:
    """What a run with default settings trains with, shown `features`."""
    settings = training_settings(assemble(Config(), FUTURES, HOUR_NS, 0))
    return replace(settings, features=partial(FeatureSet, FUTURES, HOUR_NS, features))


@dataclass(frozen=True, slots=True)
class Result:
    """Mean log growth a decision, less what the noise of the path brought, and with it; turnover a decision."""

    growth: float
    with_luck: float
    turnover: float


class Trial:
    """A path of the market: its first half to train on, its second to trade from the most probable action."""

    def __init__(self, rho: float, seed: int, features: tuple[str, ...] = SHIPPED) -> None:
        ticks, noise = weak_market(rho, seed)
        made = weak_settings(features)
        whole = record(ticks, FUTURES, HOUR_NS, made.clock(), made.features(), made.normaliser(len(features)))
        first = whole.decisions - BARS
        self.rho = rho
        self.seen = whole.window(first - BARS, first)
        self._ahead = whole.window(first, whole.decisions)
        self._noise = np.append(noise[self._ahead.shared.rows[1:]], 0.0)
        """After each decision to the next: nobody can know it."""

    def train(self, seed: int, settings: PretrainSettings) -> Weights:
        """What training as `settings` say keeps."""
        training = Training(*split(self.seen, settings), settings, seed)
        while not training.over:
            training.update()
        return training.best.weights

    def best(self) -> Result:
        """Of the optimum."""
        table, _ = optimum(self.rho)
        mids = np.log(self._ahead.shared.mids)
        cells = np.round((np.diff(mids, prepend=mids[0]) / SIGMA + _REACH) / (2 * _REACH) * (_CELLS - 1))
        cells = np.clip(cells, 0, _CELLS - 1).astype(np.int64)
        simulation = self._simulation()
        ladder = np.array(LADDER)

        def choose(at: int, _: NDArray[np.float32]) -> NDArray[np.int64]:
            rung = np.abs(ladder - simulation.lanes.facts[0, FACT_EXPOSURE]).argmin()
            return np.array([[table[rung, cells[at]], TIMING_AGGRESSIVE]])

        return self._run(simulation, choose)

    def greedy(self, weights: Weights, settings: PretrainSettings) -> Result:
        """Of the most probable action of `weights`."""
        simulation = self._simulation()
        actor = new_actor(settings.shape(self._ahead.feature_size), weights, 1)
        actions, uniforms, logprobs = np.zeros((1, 2), np.int64), np.zeros((1, 2)), np.zeros(1, np.float32)

        def choose(_: int, seen: NDArray[np.float32]) -> NDArray[np.int64]:
            actor.act(seen, uniforms, actions, logprobs, greedy=True)
            return actions

        return self._run(simulation, choose)

    def _simulation(self) -> Simulation:
        return Simulation(self._ahead, BRIDGE, PaperConfig(), _CASH, Episodes(), 1)

    def _run(self, simulation: Simulation, choose: Choose) -> Result:
        simulation.reset(np.zeros(1, np.int64))
        luck, total, lucky, steps = Luck(simulation, self._noise), 0.0, 0.0, self._ahead.decisions - 1
        for at in range(steps):
            lucky += float(luck.step(choose(at, simulation.outcome.observations))[0])
            total += float(simulation.outcome.rewards[0])
            if simulation.outcome.terminated[0]:
                break
        traded = float(simulation.lanes.account["traded_notional"][0])
        return Result((total - lucky) / steps, total / steps, traded / _CASH / steps)


def share(trial: Trial, weights: Weights, settings: PretrainSettings) -> float:
    """Of the optimum's growth on the same path, luck taken out of both: else, at ρ = 0.05, it were luck alone."""
    return trial.greedy(weights, settings).growth / trial.best().growth


def seen_only(recording: Recording, columns: NDArray[np.int64]) -> Recording:
    """The same recording with nothing in all other columns."""
    features = np.zeros_like(recording.shared.features)
    features[:, columns] = recording.shared.features[:, columns]
    return Recording(recording.instrument, recording.period_ns, recording.shared._replace(features=features))
