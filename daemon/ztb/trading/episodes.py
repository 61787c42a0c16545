"""The beginning of an episode: its place in the recording, its account, its costs. Kernels and their rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ztb.errors import ConfigError
from ztb.execution.account import book_fill, reset_account
from ztb.trading.bridge import LAST_EXPOSURE, LAST_TIMING, WORKING
from ztb.trading.lane_kernels import see_market
from ztb.trading.lane_state import Lanes
from ztb.trading.recording import Shared
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMING_WAIT, whole_lots
from ztb.utils.kernel import kernel
from ztb.utils.rng import STREAM_EPISODE, uniform

_DRAWS = 16
_START, _RUNG, _ENTRY, _FEES, _LATENCY, _SEED, _FALL = range(7)
_ENTRY_AGE = 50
_SEEDS = 2.0**53


@dataclass(frozen=True, slots=True)
class Episodes:
    """Rules by which episodes begin and end. Ranges are of factors, one drawn uniformly for each episode."""

    length: int | None = None
    """Decisions an episode; None: to the end of the recording."""
    random_start: bool = False
    """Begin at a decision drawn uniformly among those that leave room for the whole episode; else at the first."""
    random_account: bool = False
    """Begin with a position: a rung of the ladder drawn uniformly, entered up to 50 decisions before."""
    most_drawdown: float = 0.0
    """Begin in a drawdown, drawn uniformly up to this: no episode falls as far by itself as an account in a year."""
    fee_factors: tuple[float, float] = (1.0, 1.0)
    """Maker and taker fees are multiplied by this."""
    latency_factors: tuple[float, float] = (1.0, 1.0)
    """All latencies and their jitters are multiplied by this."""

    def __post_init__(self) -> None:
        if self.length is not None and self.length < 1:
            raise ConfigError(f"episode length is {self.length}: give 1 or more decisions, or None")
        if not 0.0 <= self.most_drawdown < 1.0:
            raise ConfigError(f"most_drawdown is {self.most_drawdown}: give a share from 0 to below 1")
        for name in ("fee_factors", "latency_factors"):
            low, high = getattr(self, name)
            if not 0.0 <= low <= high < float("inf"):
                raise ConfigError(
                    f"{name} is ({low}, {high}): give a range of factors, low to high, from 0 up"
                )


RULES: np.dtype[np.void] = np.dtype(
    [
        ("length", "<i8"),  # at most the decisions there are, less one
        ("random_start", "<i8"),
        ("random_account", "<i8"),
        ("most_drawdown", "<f8"),
        ("fee_factors", "<f8", (2,)),
        ("latency_factors", "<f8", (2,)),
        ("start_cash", "<f8"),
        ("costs", "<f8"),
        ("band", "<f8"),
    ]
)


def new_rules(
    episodes: Episodes, decisions: int, start_cash: float, costs: float, band: float
) -> NDArray[np.void]:
    """The rules of a recording of `decisions`, shape (1,)."""
    rules = np.zeros(1, RULES)
    rules["length"] = min(episodes.length or decisions - 1, decisions - 1)
    for name in ("random_start", "random_account", "most_drawdown", "fee_factors", "latency_factors"):
        rules[name] = getattr(episodes, name)
    rules["start_cash"], rules["costs"], rules["band"] = start_cash, costs, band
    return rules


class Beginnings(NamedTuple):
    """The beginnings of lanes' episodes."""

    rules: NDArray[np.void]
    """(1,) RULES"""
    template: NDArray[np.uint8]
    """The bytes of an exchange before the first tick"""
    blank: NDArray[np.void]
    """(S,) ORDER: an empty table"""
    exchange_bytes: NDArray[np.uint8]
    """(N, …) bytes of the lanes' exchanges"""


@kernel
def _draw(lane: np.void, draw: int) -> float:
    """The `draw`-th random number of the lane's present episode, in [0, 1)."""
    return uniform(lane["key"], STREAM_EPISODE, lane["episode"] * _DRAWS + draw)


@kernel
def _between(bounds: NDArray[np.float64], u: float) -> float:
    return float(bounds[0] + (bounds[1] - bounds[0]) * u)


@kernel
def _place(lane: np.void, rules: np.void, decisions: int) -> None:
    """Set the first and the last decision of the episode."""
    lane["decision"] = 0
    if rules["random_start"] == 1:
        lane["decision"] = int(_draw(lane, _START) * (decisions - rules["length"]))
    lane["last"] = lane["decision"] + rules["length"]


@kernel
def _vary(exchange: np.void, lane: np.void, rules: np.void) -> None:
    """The episode's costs, latencies and random numbers of the exchange."""
    fees = _between(rules["fee_factors"], _draw(lane, _FEES))
    latency = _between(rules["latency_factors"], _draw(lane, _LATENCY))
    taker = exchange["taker_fee"]
    exchange["maker_fee"] *= fees
    exchange["taker_fee"] *= fees
    lane["costs"] = rules["costs"] + (exchange["taker_fee"] - taker)
    lane["band"] = rules["band"]
    for part in range(2):
        exchange["feed_ns"][part] *= latency
        exchange["submit_ns"][part] *= latency
        exchange["ack_ns"][part] *= latency
        exchange["cancel_ns"][part] *= latency
    exchange["seed"] = int(_draw(lane, _SEED) * _SEEDS)


@kernel
def _endow(
    exchange: np.void,
    account: np.void,
    lane: np.void,
    ladder: NDArray[np.float64],
    mids: NDArray[np.float64],
    times_ns: NDArray[np.int64],
) -> float:
    """A position entered some decisions ago, without fees, worth start cash today with the cash left.

    Returns the rung of `ladder` that was meant, 0 if it comes to no lot.
    """
    k: int = lane["decision"]
    exposure = ladder[int(_draw(lane, _RUNG) * len(ladder))]
    entry: int = k - int(_draw(lane, _ENTRY) * (min(k, _ENTRY_AGE) + 1))
    lots = whole_lots(abs(exposure) * account["cash"] / mids[k], exchange["lot_size"])
    if lots == 0:
        return 0.0
    side = 1 if exposure > 0.0 else -1
    quantity = lots * exchange["lot_size"]
    reset_account(account, account["cash"] + side * quantity * (mids[entry] - mids[k]))
    book_fill(
        account=account,
        side=side,
        price=float(mids[entry]),
        quantity=quantity,
        fee=0.0,
        ts_ns=int(times_ns[entry]),
    )
    account["traded_notional"] = 0.0
    account["n_fills"] = 0
    exchange["position_lots"] = side * lots
    exchange["cash"] = account["cash"]
    return float(exposure)


@kernel
def _fall(account: np.void, lane: np.void, rules: np.void) -> None:
    """Let the account have been worth more than it is."""
    worth_once: float = rules["start_cash"] / (1.0 - rules["most_drawdown"] * _draw(lane, _FALL))
    account["peak_equity"] = max(account["peak_equity"], worth_once)


@kernel
def _forget(beginnings: Beginnings, lanes: Lanes, i: int) -> None:
    """Exchange, orders, account, reward and order flow as before the first tick."""
    template, blank = beginnings.template, beginnings.blank
    for b in range(len(template)):
        beginnings.exchange_bytes[i, b] = template[b]
    for slot in range(len(blank)):
        lanes.orders[i, slot]["status"] = blank[slot]["status"]
        lanes.orders[i, slot]["arrival_ns"] = blank[slot]["arrival_ns"]
        lanes.orders[i, slot]["cancel_ns"] = blank[slot]["cancel_ns"]
    reset_account(lanes.account[i], beginnings.rules[0]["start_cash"])
    lanes.reward[i]["equity"] = 0.0
    lane = lanes.lane[i]
    lane["orders"] = 0
    lane["working"] = 0
    lane["next_timing"] = TIMING_WAIT


@kernel
def begin_episode(shared: Shared, beginnings: Beginnings, lanes: Lanes, i: int) -> None:
    """Start lane `i` anew, at the first decision of its next episode."""
    _forget(beginnings, lanes, i)
    lane, rules, exchange = lanes.lane[i], beginnings.rules[0], lanes.exchange[i]
    lane["episode"] += 1
    _place(lane, rules, len(shared.rows))
    _vary(exchange, lane, rules)
    k: int = lane["decision"]
    see_market(shared.markets[k], int(shared.on_bars[k]), exchange, lanes.market_bytes[i])
    exposure = 0.0
    if rules["random_account"] == 1:
        exposure = _endow(
            exchange=exchange,
            account=lanes.account[i],
            lane=lane,
            ladder=lanes.ladder,
            mids=shared.mids,
            times_ns=shared.times_ns,
        )
    _fall(lanes.account[i], lane, rules)
    scalars = lanes.scalars[i]
    scalars[WORKING] = 0.0
    scalars[LAST_EXPOSURE] = exposure
    scalars[LAST_TIMING] = TIMING_AGGRESSIVE if exposure != 0.0 else TIMING_WAIT
