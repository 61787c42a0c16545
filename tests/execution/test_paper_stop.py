"""The stop of a paper account: where it stands, what lets it sell, at what price, and that nobody else has one."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from execution.exchange_cases import SPOT as CASE_SPOT
from execution.exchange_cases import exchange as new_venue
from execution.exchange_cases import limit, market, run
from execution.exchange_cases import quotes as case_quotes
from trading.markets import HOUR_NS, PERPETUAL, SPOT, START_NS, bars
from trading.test_floor import FEATURES
from ztb.execution.account import new_account
from ztb.execution.orders import PROTECTIVE_FROM, is_protective
from ztb.execution.paper import PaperExchange, new_exchange
from ztb.execution.paper_config import PaperConfig
from ztb.execution.paper_stop import move_stop
from ztb.execution.risk import RiskLimits, unbounded
from ztb.execution.risk_gate import RiskGate
from ztb.market.instrument import Instrument
from ztb.market.ticks import QUOTE, TRADE, Ticks, empty_ticks
from ztb.market.view import new_view
from ztb.trading.bridge import Wanted
from ztb.trading.floor import TradingFloor
from ztb.trading.lane import Lane
from ztb.trading.lane_group import LaneGroup
from ztb.trading.settings import BridgeConfig
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMING_PASSIVE, TIMING_WAIT
from ztb.trading.strategy import Action
from ztb.utils.kernel import kernel

CASH, FRACTION, PRICE = 10_000.0, 0.1, 5000.0
VENUE = replace(SPOT, venue="binance")
PLENTY, THIN = PaperConfig(), PaperConfig(level_typical_sizes=0.05, walk_levels=2)
LIMITS = RiskLimits(max_order_fraction=2.0, protective_stop_fraction=FRACTION)


class Told:
    """Keeps what a lane does."""

    def __init__(self) -> None:
        self.orders: list[Any] = []
        self.events: list[Any] = []

    def intent(self, order: Any, decision: int, ts_ns: int) -> None:
        self.orders.append(order)

    def refusal(self, *_told: Any, **_named: Any) -> None:
        """Nothing is refused here that matters."""

    def event(self, event: Any, side: int) -> None:
        self.events.append(event)


class Holds:
    follows = Action(1)

    def decide(self, moment: Any) -> Action:
        raise AssertionError


class Desk:
    """A lane on paper that wants half of its equity held once `held()` is called."""

    def __init__(
        self, instrument: Instrument = VENUE, limits: RiskLimits = LIMITS, config: PaperConfig = PLENTY
    ) -> None:
        self.told = Told()
        floor = TradingFloor(instrument, BridgeConfig((0.0, 0.5, 1.0)), FEATURES, HOUR_NS, 0, 1)
        exchange = PaperExchange(instrument, config, 0, CASH)
        self.lane = Lane(floor, exchange, limits, Holds(), self.told)
        self.group = LaneGroup([self.lane])
        self.now_ns = START_NS

    def happen(self, ticks: Ticks) -> None:
        self.group.advance(ticks, 0, len(ticks))
        self.now_ns = int(ticks["ts_ns"][-1])

    def held(self) -> float:
        """Buy, and hear of it; the price of the stop."""
        self.happen(last_prices(self.now_ns, *[PRICE] * 3))
        self.lane.pursue(self.now_ns, 0, np.zeros(FEATURES, np.float32), Wanted(0.5, TIMING_AGGRESSIVE))
        self.happen(last_prices(self.now_ns, *[PRICE] * 3))
        return self.stop

    @property
    def stop(self) -> float:
        return int(self.lane.broker.exchange["stop_ticks"][0]) * 0.01  # type: ignore[attr-defined]

    @property
    def sold(self) -> list[float]:
        """Prices of what stops have sold."""
        fills = (event for event in self.told.events if hasattr(event, "fill_id"))
        return [event.price_ticks * 0.01 for event in fills if is_protective(event.order_id)]


def last_prices(after_ns: int, *prices: float, kind: int = TRADE) -> Ticks:
    """Trades, or quotes around them, a second apart, of plenty."""
    ticks = empty_ticks(len(prices))
    ticks["kind"], ticks["price"] = kind, prices
    ticks["ts_ns"] = after_ns + 1_000_000_000 * (1 + np.arange(len(prices)))
    if kind == TRADE:
        ticks["size"] = 50.0
        return ticks
    for name, away in (("bid", -0.01), ("ask", 0.01)):
        ticks[name], ticks[f"{name}_size"] = ticks["price"] + away, 50.0
    return ticks


def test_it_stands_where_the_account_would_have_lost_the_fraction():
    desk = Desk()
    account = desk.lane.broker.account
    stop = desk.held()
    assert account["cash"][0] + account["position"][0] * stop == pytest.approx(
        CASH * (1.0 - FRACTION), rel=1e-5
    )


def test_the_last_price_lets_it_sell_all_at_once_and_a_higher_one_nothing():
    desk = Desk()
    stop = desk.held()
    desk.happen(last_prices(desk.now_ns, stop + 0.01, stop + 0.02))
    assert desk.sold == []
    desk.happen(last_prices(desk.now_ns, stop, stop + 5.0, stop + 5.0))
    assert desk.sold and stop * 0.999 < min(desk.sold) <= max(desk.sold) <= stop
    assert desk.lane.position == 0.0 and desk.stop == 0.0
    (order,) = [order for order in desk.told.orders if is_protective(order.order_id)]
    assert order.order_type.name == "STOP" and order.reduce_only and order.price_ticks == round(stop * 100)
    assert desk.lane.equity == pytest.approx(CASH * (1.0 - FRACTION), rel=2e-3)


def test_on_bars_it_sells_where_the_path_passes_it_and_below_a_gap_at_the_open():
    for gap in (False, True):
        desk = Desk()
        stop = desk.held()
        bar = bars(1)
        bar["ts_ns"] = desk.now_ns // HOUR_NS * HOUR_NS + 2 * HOUR_NS
        opened = 0.9 * stop if gap else PRICE
        bar["open"], bar["high"], bar["low"], bar["price"] = opened, PRICE + 1.0, 0.8 * stop, PRICE
        bar["size"] = 10_000.0
        desk.happen(bar)
        desk.happen(last_prices(desk.now_ns, PRICE))
        assert max(desk.sold) == pytest.approx(0.9 * stop if gap else stop, rel=1e-3)
        assert desk.lane.position == 0.0


def test_where_there_are_quotes_alone_the_bid_is_the_last_price():
    desk = Desk()
    desk.happen(last_prices(desk.now_ns, *[PRICE] * 3, kind=QUOTE))
    desk.lane.pursue(desk.now_ns, 0, np.zeros(FEATURES, np.float32), Wanted(0.5, TIMING_AGGRESSIVE))
    desk.happen(last_prices(desk.now_ns, *[PRICE] * 3, kind=QUOTE))
    stop = desk.stop
    desk.happen(last_prices(desk.now_ns, stop + 0.02, kind=QUOTE))
    assert desk.sold == [] and stop > 0.0
    desk.happen(last_prices(desk.now_ns, stop, stop, kind=QUOTE))
    assert desk.sold and desk.lane.position == 0.0


@pytest.mark.parametrize(
    ("instrument", "limits"),
    [
        (SPOT, LIMITS),
        (replace(PERPETUAL, venue="binance"), LIMITS),
        (VENUE, replace(LIMITS, protective_stop_fraction=0.0)),
        (VENUE, unbounded(LIMITS)),
        (replace(VENUE, min_notional=Decimal(4500)), LIMITS),
    ],
)
def test_there_is_none_where_the_venue_has_none_or_takes_none_or_none_is_wanted(instrument, limits):
    desk = Desk(instrument, limits)
    assert desk.held() == 0.0 and desk.lane.position > 0.9
    desk.happen(last_prices(desk.now_ns, 0.5 * PRICE, 0.4 * PRICE))
    assert desk.sold == []


def test_what_one_price_does_not_take_goes_with_the_next():
    desk = Desk(config=THIN)
    stop = desk.held()
    held = desk.lane.position
    thin = last_prices(desk.now_ns, *[PRICE] * 300, *[stop] * 300)
    thin["size"] = 1e-3
    desk.happen(thin)
    numbers = {event.order_id for event in desk.told.events if is_protective(event.order_id)}
    assert len(numbers) > 1 and len({order.order_id for order in desk.told.orders}) == len(desk.told.orders)
    assert held > 0.5 and 0.1 < desk.lane.position < held and desk.stop > 0.0
    desk.happen(last_prices(desk.now_ns, *[desk.stop] * 40))
    assert desk.lane.position == 0.0 == desk.stop


@kernel
def _move(exchange: Any, gate: Any, account: Any, view: Any) -> None:
    move_stop(exchange[0], gate[0], account[0], view[0])


class Stop:
    """The stop of an account of 100 in the morning: half of it held at a price of 10."""

    def __init__(self, instrument: Instrument = VENUE) -> None:
        self.exchange = new_exchange(instrument, PLENTY, 0, 50.0)
        self.gate = RiskGate(replace(LIMITS, protective_stop_fraction=0.2)).row
        self.gate["day_start_equity"] = 100.0
        self.account, self.view = new_account(50.0), new_view(instrument)
        self.account["position"], self.view["mid"] = 5.0, 10.0

    def follow(self, **changes: float) -> tuple[int, float, float]:
        """(price in ticks, the equity that it keeps, counted from) after the changes."""
        for name, value in changes.items():
            held = next(
                each
                for each in (self.account, self.view, self.gate, self.exchange)
                if name in each.dtype.names
            )
            held[name] = value
        _move(self.exchange, self.gate, self.account, self.view)
        return tuple(self.exchange[name].item() for name in ("stop_ticks", "stop_floor", "stop_reference"))


def test_it_keeps_the_floor_of_the_day_and_the_price_follows_what_is_held():
    stop = Stop()
    assert stop.follow() == (600, 80.0, 100.0) and stop.exchange["stop_lots"].item() == 500_000
    assert stop.follow(mid=9.0) == (600, 80.0, 100.0)  # less is left: no other floor
    assert stop.follow(position=4.0, mid=10.0) == (750, 80.0, 100.0)
    assert stop.follow(day_start_equity=90.0) == (550, 72.0, 90.0)  # half the mid is 5
    assert stop.follow(cash=71.0) == (500, 72.0, 90.0)


@pytest.mark.parametrize(
    "without",
    [{"position": 0.0}, {"position": -5.0}, {"mid": 0.0}, {"stop_fraction": 0.0}, {"keeps_stops": 0}],
)
def test_where_nothing_is_to_be_kept_it_goes_and_is_counted_anew_when_it_comes_again(without):
    stop = Stop()
    stop.follow()
    before = {
        name: next(
            each for each in (stop.account, stop.view, stop.gate, stop.exchange) if name in each.dtype.names
        )[name].item()
        for name in without
    }
    assert stop.follow(**without)[::2] == (0, 0.0)
    assert stop.follow(**before, cash=30.0) == (680, 64.0, 100.0)  # 80 are left, and a fifth may be lost


def test_one_that_could_not_stand_sells_nothing_at_once_when_it_can():
    stop = Stop(replace(VENUE, min_notional=Decimal(25)))
    assert stop.follow(position=3.0, cash=70.0) == (0, 80.0, 100.0)  # three at 5 are too little
    assert stop.follow(position=5.0, cash=32.0) == (672, pytest.approx(65.6), 100.0)  # of 82 that are left
    assert stop.follow(cash=20.0) == (912, pytest.approx(65.6), 100.0)


def test_what_waits_to_be_sold_is_not_sold_twice():
    """A sell that rests has locked what it is about."""
    desk = Desk()
    stop = desk.held()
    held = round(desk.lane.position / 0.00001)
    desk.lane.pursue(desk.now_ns, 0, np.zeros(FEATURES, np.float32), Wanted(0.25, TIMING_PASSIVE))
    desk.happen(last_prices(desk.now_ns, *[PRICE - 1.0] * 3))
    (rests,) = desk.lane.working
    desk.happen(last_prices(desk.now_ns, stop, stop, stop))
    (order,) = [order for order in desk.told.orders if is_protective(order.order_id)]
    assert order.lots == held - rests.request.lots > 0


def test_a_new_day_counts_its_stop_from_its_own_first_decision_on():
    desk = Desk()
    desk.held()
    row, exchange = desk.lane.gate.row, desk.lane.broker.exchange  # type: ignore[attr-defined]
    morning = row["day_start_equity"].item()
    desk.happen(last_prices(desk.now_ns + 24 * HOUR_NS, PRICE * 1.01))
    desk.lane.pursue(desk.now_ns, 1, np.zeros(FEATURES, np.float32), Wanted(0.5, TIMING_WAIT))
    assert row["day_start_equity"].item() == exchange["stop_reference"].item() > morning


def falling(instrument: Instrument, locked: int, **settings: float) -> PaperExchange:
    """Eight lots are held, a sell of `locked` rests, and the price falls through the stop of all eight."""
    venue = new_venue(instrument, **settings)
    run(venue, case_quotes((0, 100.0, 101.0, 9.0, 9.0)), {0: [market(1, 1, 8)]})
    run(venue, case_quotes((1, 100.0, 101.0, 9.0, 9.0)), {0: [limit(2, -1, locked, 400)]} if locked else {})
    run(venue, case_quotes((2, 100.0, 101.0, 9.0, 9.0)))
    venue.exchange["stop_ticks"], venue.exchange["stop_lots"] = 190, 8
    run(venue, case_quotes((3, 94.0, 95.0, 9.0, 9.0)))
    return venue


@pytest.mark.parametrize(("locked", "sold"), [(0, 8), (6, 2), (7, 0), (8, 0)])
def test_it_sells_what_is_not_locked_if_that_is_enough_to_be_taken(locked, sold):
    """One lot at the stop is worth 23.75."""
    venue = falling(replace(CASE_SPOT, min_notional=Decimal(30)), locked)
    assert venue.exchange["position_lots"][0] == 8 - sold
    assert venue.exchange["stops"][0] == (sold > 0)


def test_stops_are_numbered_from_one_beyond_all_orders():
    venue = falling(CASE_SPOT, 0)
    assert [row["order_id"] for row in venue.reports if is_protective(row["order_id"])] == [
        PROTECTIVE_FROM + 1
    ] * 2
    assert venue.reports["price_ticks"][venue.reports["order_id"] == PROTECTIVE_FROM + 1].tolist() == [
        190,
        188,
    ]


def test_that_it_was_reached_is_told_once_whatever_comes_twice():
    desk = Desk(config=replace(PLENTY, duplicate_probability=1.0))
    stop = desk.held()
    desk.happen(last_prices(desk.now_ns, stop, stop, stop))
    assert len([order for order in desk.told.orders if is_protective(order.order_id)]) == 1
    assert desk.lane.position == 0.0


def test_where_the_table_is_full_it_waits_and_takes_the_place_of_nobody():
    venue = new_venue(CASE_SPOT)
    run(venue, case_quotes((0, 100.0, 101.0, 9.0, 9.0)), {0: [market(1, 1, 8)]})
    venue.exchange["stop_ticks"], venue.exchange["stop_lots"] = 190, 8
    rest = [limit(number, 1, 4, 20) for number in range(2, 66)]
    run(venue, case_quotes((1, 100.0, 101.0, 9.0, 9.0), (2, 94.0, 95.0, 9.0, 9.0)), {0: rest})
    assert [order.order_id for order in venue.open_orders()] == list(range(2, 66))
    assert (venue.exchange["stops"][0], venue.exchange["position_lots"][0]) == (0, 8)
