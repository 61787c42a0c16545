"""The memory of lanes, as rows of arrays: many lanes lie side by side, and kernels take one by its place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ztb.execution.account import ACCOUNT
from ztb.execution.paper import new_orders
from ztb.execution.paper_state import REPORT
from ztb.execution.risk_gate import GATE
from ztb.market.instrument import Instrument
from ztb.market.view import new_view
from ztb.trading.bridge import FACTS, SCALARS, purchase_costs
from ztb.trading.rewards import new_reward
from ztb.trading.settings import BridgeConfig
from ztb.utils.kernel import inlined_kernel

LANE: np.dtype[np.void] = np.dtype(
    [
        # an episode's, see `episodes`
        ("key", "<i8"),  # of its random numbers
        ("episode", "<i8"),
        ("decision", "<i8"),  # the one it stands at
        ("last", "<i8"),  # the one that ends the episode
        # how it trades
        ("period_ns", "<i8"),
        ("costs", "<f8"),  # see order_lots
        ("band", "<f8"),
        ("gated", "<i8"),  # whether a risk gate stands before the venue
        ("venue", "<i8"),  # whether the venue is the paper exchange beside it
        ("told", "<i8"),  # whether somebody listens
        ("guarded", "<i8"),  # whether somebody is to be asked before each order
        ("in_step", "<i8"),  # whether it has seen the market from the first tick on, as others in step
        # where it stands
        ("orders", "<i8"),  # the last order's id
        ("working", "<i8"),  # orders that may still fill
        ("next_exposure", "<f8"),  # what is to follow a cancelled order
        ("next_timing", "<i8"),  # TIMING_WAIT: nothing
        ("aim", "<f8"),  # the exposure that it last wanted: waiting changes nothing
        ("rejects", "<i8"),
        ("logged", "<i8"),  # rows of the log
        ("stopped", "<i8"),  # the row to go on at once Python has looked, below 0: none
        # what is prepared to be offered to the gate, one after the other
        ("offers", "<i8"),  # left
        ("offer_lots", "<i8", (2,)),
        ("offer_reduces", "<i8", (2,)),
        ("offer_side", "<i8"),
        ("offer_type", "<i8"),
        ("offer_price", "<i8"),
        ("offer_ns", "<i8"),
        ("offered_lots", "<i8"),  # of the first of two
    ]
)

ORDER_AT_WORK: np.dtype[np.void] = np.dtype(
    [
        ("order_id", "<i8"),
        ("side", "<i8"),
        ("lots", "<i8"),
        ("remaining", "<i8"),  # lots that may still fill
        ("order_type", "<i8"),
        ("price_ticks", "<i8"),
        ("time_in_force", "<i8"),
        ("post_only", "<i8"),
        ("reduce_only", "<i8"),
        ("cancelling", "<i8"),  # its end was asked for
    ]
)
MOST_AT_WORK = 8
"""Two of a lane's own; others may be left from an earlier start."""

LOGGED: np.dtype[np.void] = np.dtype(
    [
        (
            "what",
            "<i8",
        ),  # REPORTED, SENT, REFUSED, CANCEL_ASKED, or DECIDED: a decision, after which so many `lots`
        # rows are what came of it at once
        ("kind", "<i8"),  # of a report: see paper_state
        ("order_id", "<i8"),
        ("ts_ns", "<i8"),
        ("side", "<i8"),
        ("lots", "<i8"),
        ("order_type", "<i8"),
        ("price_ticks", "<i8"),
        ("reduce_only", "<i8"),
        ("reason", "<i8"),  # of a refusal: see execution.risk; of a report: see paper_state
        ("fill_id", "<i8"),
        ("maker", "<i8"),
        ("cumulative_lots", "<i8"),
        ("price", "<f8"),  # of a refusal, quote currency
        ("amount", "<f8"),  # of funding, quote currency
    ]
)
REPORTED, SENT, REFUSED, CANCEL_ASKED, DECIDED = range(5)
LOG_ROWS = 2048


class Lanes(NamedTuple):
    """The memory of N lanes side by side."""

    ladder: NDArray[np.float64]
    """(R,) target exposures"""
    exchange: NDArray[np.void]
    """(N,) EXCHANGE"""
    orders: NDArray[np.void]
    """(N, S) ORDER"""
    events: NDArray[np.void]
    """(N, E) REPORT"""
    market: NDArray[np.void]
    """(N,) VIEW, and its bytes (N, …)"""
    market_bytes: NDArray[np.uint8]
    account: NDArray[np.void]
    """(N,) ACCOUNT"""
    lane: NDArray[np.void]
    """(N,) LANE"""
    working: NDArray[np.void]
    """(N, W) ORDER_AT_WORK, oldest first"""
    gate: NDArray[np.void]
    """(N,) GATE"""
    recent_ns: NDArray[np.int64]
    """(N, M) times of the last orders, see execution.risk"""
    log: NDArray[np.void]
    """(N, L) LOGGED"""
    reward: NDArray[np.void]
    """(N,) REWARD"""
    scalars: NDArray[np.float64]
    """(N, SCALARS) working, last exposure, last timing"""
    facts: NDArray[np.float64]
    """(N, FACTS) see ztb.trading.bridge"""


class LaneSizes(NamedTuple):
    """Room of each lane: orders at the venue, reports of it, rows of the log, orders that the gate remembers."""

    orders: int
    reports: int
    log: int
    recent: int


def new_lanes(
    instrument: Instrument,
    bridge: BridgeConfig,
    exchange: NDArray[np.void],
    period_ns: int,
    n: int,
    sizes: LaneSizes,
) -> Lanes:
    """Memory of `n` lanes before their first tick, each with an exchange like `exchange` (1,)."""
    view, lane = np.repeat(new_view(instrument), n), np.zeros(n, LANE)
    lane["period_ns"], lane["venue"], lane["band"] = period_ns, 1, bridge.band_fraction
    lane["costs"] = purchase_costs(instrument, bridge)
    reward = new_reward(bridge)
    return Lanes(
        ladder=np.array(bridge.ladder, np.float64),
        exchange=np.repeat(exchange, n),
        orders=np.tile(new_orders(sizes.orders), (n, 1)),
        events=np.zeros((n, sizes.reports), REPORT),
        market=view,
        market_bytes=view.view(np.uint8).reshape(n, -1),
        account=np.zeros(n, ACCOUNT),
        lane=lane,
        working=np.zeros((n, MOST_AT_WORK), ORDER_AT_WORK),
        gate=np.zeros(n, GATE),
        recent_ns=np.zeros((n, sizes.recent), np.int64),
        log=np.zeros((n, sizes.log), LOGGED),
        reward=np.repeat(reward, n),
        scalars=np.zeros((n, SCALARS)),
        facts=np.zeros((n, FACTS)),
    )


class Own(NamedTuple):
    """One lane's memory, for kernels alone."""

    exchange: np.void
    orders: NDArray[np.void]
    events: NDArray[np.void]
    market: np.void
    account: np.void
    lane: np.void
    working: NDArray[np.void]
    gate: np.void
    recent_ns: NDArray[np.int64]
    log: NDArray[np.void]


@inlined_kernel
def own_of(lanes: Lanes, i: int) -> Own:
    """The memory of lane `i`."""
    return Own(
        exchange=lanes.exchange[i],
        orders=lanes.orders[i],
        events=lanes.events[i],
        market=lanes.market[i],
        account=lanes.account[i],
        lane=lanes.lane[i],
        working=lanes.working[i],
        gate=lanes.gate[i],
        recent_ns=lanes.recent_ns[i],
        log=lanes.log[i],
    )
