"""The bridge: features and our own state to observations, actions to orders, fills to rewards."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ztb.execution.account import mark, new_account
from ztb.execution.orders import OrderRequest, OrderType
from ztb.market.instrument import Instrument
from ztb.market.view import new_view
from ztb.trading.observation import ACCOUNT_SIZE, observe_account
from ztb.trading.order_replacement import LIMIT, MARKET, own_touch
from ztb.trading.rewards import begin_reward, new_reward, next_reward
from ztb.trading.settings import BridgeConfig
from ztb.trading.sizing import TIMING_PASSIVE, TIMING_WAIT, order_lots
from ztb.trading.strategy import Action
from ztb.utils.kernel import entry, kernel

FACT_MID, FACT_CASH, FACT_POSITION, FACT_EQUITY, FACT_EXPOSURE, FACT_REWARD, FACT_TS = range(7)
FACTS = 8
WORKING, LAST_EXPOSURE, LAST_TIMING = range(3)
SCALARS = 3


class Wanted(NamedTuple):
    """A target `exposure` (position value over equity) and how it is to be reached, a timing of `trading.sizing`."""

    exposure: float
    timing: int


def purchase_costs(instrument: Instrument, config: BridgeConfig) -> float:
    """Cost of a purchase beyond the mid at most, as a fraction: kept back when it is sized."""
    return float(instrument.taker_fee) + instrument.spread_bps * 1e-4 + config.cost_reserve_fraction


@kernel
def order_towards(
    cash: float, position: float, mid: float, bid: float, ask: float, exposure: float, timing: int,
    tick_size: float, lot_size: float, min_quantity: float, min_notional: float, costs: float, band: float,
    short: int,
) -> tuple[int, int, int, int]:  # fmt: skip
    """(side, lots, order type, price in ticks) of the order that leads to `exposure`; 0 lots: nothing is to be done.

    See `order_lots` for units; `bid` and `ask` quote currency.
    """
    lots = order_lots(cash, position, mid, exposure, lot_size, min_quantity, min_notional, costs, band, short)
    side = 1 if lots > 0 else -1
    if timing == TIMING_PASSIVE:
        return side, abs(lots), LIMIT, int(own_touch(bid, ask, tick_size, side))
    return side, abs(lots), MARKET, 0


@kernel
def begin_decision(
    account: NDArray[np.void],
    view: NDArray[np.void],
    reward: NDArray[np.void],
    features: NDArray[np.float32],
    scalars: NDArray[np.float64],
    ts_ns: int,
    period_ns: int,
    observation: NDArray[np.float32],
    facts: NDArray[np.float64],
) -> None:
    """Reward of the decision before, observation and facts of this one; `scalars`: working, last exposure, timing."""
    own, mid = account[0], view[0]["mid"]
    mark(own, mid, ts_ns)
    equity = own["cash"] + own["position"] * mid
    facts[FACT_MID] = mid
    facts[FACT_CASH] = own["cash"]
    facts[FACT_POSITION] = own["position"]
    facts[FACT_EQUITY] = equity
    facts[FACT_EXPOSURE] = own["position"] * mid / equity if equity > 0.0 else 0.0
    if reward[0]["equity"] == 0.0:
        begin_reward(reward[0], equity, own["traded_notional"])
        facts[FACT_REWARD] = 0.0
    else:
        facts[FACT_REWARD] = next_reward(reward[0], equity, own["traded_notional"])
    n = features.shape[0]
    for i in range(n):
        observation[i] = features[i]
    observe_account(
        own,
        mid,
        ts_ns,
        period_ns,
        scalars[WORKING],
        scalars[LAST_EXPOSURE],
        int(scalars[LAST_TIMING]),
        observation[n:],
    )


class TradingBridge:
    """One account's bridge. `observation` (feature_size + ACCOUNT_SIZE,) float32 is written in place.

    `facts`: (FACTS,) what the last `observe` found, at the places FACT_MID to FACT_REWARD.
    """

    def __init__(
        self, instrument: Instrument, config: BridgeConfig, feature_size: int, period_ns: int
    ) -> None:
        self.instrument = instrument
        self.config = config
        self.period_ns = period_ns
        self.observation = np.zeros(feature_size + ACCOUNT_SIZE, np.float32)
        self.facts = [0.0] * FACTS
        self.reward_state = new_reward(config)
        self._facts = np.zeros(FACTS, np.float64)
        self._scalars = np.zeros(SCALARS, np.float64)
        self._tick_size = float(instrument.tick_size)
        self._lot_size = float(instrument.lot_size)
        self._min_quantity = float(instrument.min_quantity)
        self._min_notional = float(instrument.min_notional)
        self._short = int(instrument.short)
        self._costs = purchase_costs(instrument, config)
        self._entry = entry(
            begin_decision,
            new_account(0.0),
            new_view(instrument),
            self.reward_state.copy(),
            np.zeros(feature_size, np.float32),
            self._scalars,
            0,
            period_ns,
            self.observation,
            self._facts,
        )

    def observe(
        self,
        account: NDArray[np.void],
        view: NDArray[np.void],
        features: NDArray[np.float32],
        working: float,
        ts_ns: int,
    ) -> float:
        """Write `observation` and `facts`; returns the reward of the decision before (0 at the first).

        `features` (F,) normalised; `working` signed base currency of open orders.
        """
        self._scalars[WORKING] = working
        self._entry(
            account,
            view,
            self.reward_state,
            features,
            self._scalars,
            ts_ns,
            self.period_ns,
            self.observation,
            self._facts,
        )
        self.facts = self._facts.tolist()
        return self.facts[FACT_REWARD]

    def chosen(self, action: Action) -> Wanted:
        """Remember `action` for the next observation; returns what it asks for."""
        target = self.config.ladder[action.size]
        self._scalars[LAST_EXPOSURE] = target
        self._scalars[LAST_TIMING] = action.timing
        return Wanted(target, action.timing)

    def order(self, wanted: Wanted, view: NDArray[np.void], order_id: int) -> OrderRequest | None:
        """The order that leads to `wanted`, given the facts of the last `observe`; None if nothing is to be done."""
        if wanted.timing == TIMING_WAIT:
            return None
        facts = self.facts
        side, lots, order_type, price = order_towards(
            facts[FACT_CASH], facts[FACT_POSITION], facts[FACT_MID], view["bid"].item(), view["ask"].item(),
            wanted.exposure, wanted.timing, self._tick_size, self._lot_size, self._min_quantity, self._min_notional,
            self._costs, self.config.band_fraction, self._short,
        )  # fmt: skip
        if lots == 0:
            return None
        post_only = order_type == LIMIT
        return OrderRequest(order_id, side, lots, OrderType(order_type), price, post_only=post_only)
