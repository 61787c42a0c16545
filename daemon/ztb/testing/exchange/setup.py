"""An exchange as asked for: what is listed, the flow, balances, what happened before it opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ztb.ports import Clock
from ztb.testing.exchange.exchange import Exchange
from ztb.testing.exchange.flow import Flow, SyntheticFlow, past_candles
from ztb.testing.exchange.listing import LISTINGS, SCALE, Listing
from ztb.testing.exchange.venue import Credentials

_BALANCES = {"USDT": 100_000 * SCALE, "BTC": 1 * SCALE, "ETH": 10 * SCALE, "LTC": 100 * SCALE}
_PAST_MINUTES = 1_500
_WARM_UP_NS = 20_000_000_000


@dataclass(frozen=True, slots=True)
class Setup:
    """`balances` in units (1e-8) instead of the default ones; `flows` by symbol replace synthetic ones."""

    seed: int = 0
    listings: tuple[Listing, ...] = LISTINGS
    flows: Mapping[str, Flow] = field(default_factory=dict[str, Flow])
    balances: Mapping[str, int] = field(default_factory=dict[str, int])
    credentials: Credentials = field(default_factory=Credentials)


@dataclass(slots=True)
class _Shifted:
    """A clock that is read as `at_ns`."""

    at_ns: int

    def now_ns(self) -> int:
        return self.at_ns


def open_exchange(setup: Setup, clock: Clock) -> Exchange:
    """An exchange that has been open for 20 s, with a day of bars before that."""
    now_ns = clock.now_ns()
    start_ns = now_ns - _WARM_UP_NS
    flows = {**_synthetic(setup, start_ns), **setup.flows}
    exchange = Exchange(
        clock=_Shifted(start_ns),
        listings=setup.listings,
        flows=flows,
        balances={**_BALANCES, **setup.balances},
        credentials=setup.credentials,
    )
    for index, listing in enumerate(setup.listings):
        past = past_candles(
            seed=setup.seed + index,
            count=_PAST_MINUTES,
            end_ms=start_ns // 1_000_000,
            close=listing.start_price,
            tick=listing.tick,
        )
        exchange.state.candles[listing.symbol].minutes += past
    exchange.clock = clock
    while exchange.advance():
        pass
    return exchange


def _synthetic(setup: Setup, start_ns: int) -> dict[str, Flow]:
    return {
        listing.symbol: SyntheticFlow(
            setup.seed * 1_000 + index, start_ns + index, listing.start_price / SCALE
        )
        for index, listing in enumerate(setup.listings)
    }
