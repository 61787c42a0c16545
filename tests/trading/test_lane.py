"""One lane at a venue that says nothing by itself: what it sends, what it hears, and what it does then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trading.markets import HOUR_NS, PERPETUAL, SPOT, bars
from trading.test_floor import BRIDGE, CASH, FEATURES, Elsewhere, Follows, Heard, floor
from ztb.errors import InvariantError
from ztb.execution.orders import (
    Accepted,
    Cancelled,
    CancelRejected,
    Expired,
    Filled,
    OpenOrder,
    OrderRequest,
    OrderType,
    Rejected,
    TimeInForce,
)
from ztb.execution.paper import PaperExchange
from ztb.execution.paper_config import PaperConfig
from ztb.execution.risk import RefusalReason, RiskLimits
from ztb.trading import lane_orders
from ztb.trading.bridge import Wanted
from ztb.trading.floor import TradingFloor
from ztb.trading.lane import Lane
from ztb.trading.lane_group import LaneGroup
from ztb.trading.order_replacement import AWAIT, CANCEL, KEEP, NOTHING, SEND, order_replacement, own_touch
from ztb.trading.settings import BridgeConfig
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMING_PASSIVE, TIMING_WAIT
from ztb.trading.strategy import Action

TICKS = bars(30, 4)
FREE = RiskLimits(max_exposure=2.0, max_order_fraction=3.0, max_repeated_side=100)


class Desk:
    """A lane with nothing but cash, after some bars; `want` is a decision."""

    def __init__(self, limits: RiskLimits = FREE, **account: float) -> None:
        self.venue, self.heard = Elsewhere(), Heard()
        for name, value in account.items():
            self.venue.account[name] = value
        self.lane = Lane(floor(1), self.venue, limits, Follows(Action(2)), self.heard)
        self.venue.advance(TICKS, 0, 20)
        self.now_ns = int(TICKS["ts_ns"][19])
        self.mid = self.venue.view["mid"].item()
        self.decision = 0

    def want(self, exposure: float, timing: int = TIMING_PASSIVE) -> None:
        self.decision += 1
        self.lane.pursue(self.now_ns, self.decision, np.zeros(FEATURES, np.float32), Wanted(exposure, timing))

    def hear(self, *events: Any) -> None:
        for event in events:
            self.lane.hear(event)

    def filled(self, number: int, lots: int, cumulative: int, fill_id: int = 0) -> Filled:
        price = self.venue.sent[-1].price_ticks
        return Filled(
            number, self.now_ns, fill_id or number * 100 + cumulative, lots, price, "maker", cumulative
        )

    @property
    def sent(self) -> list[OrderRequest]:
        return self.venue.sent

    @property
    def at_work(self) -> list[tuple[int, int]]:
        return [(order.order_id, order.remaining_lots) for order in self.lane.working]

    def told(self, kind: str) -> list[tuple[Any, ...]]:
        return [row[1:] for row in self.heard.told if row[0] == kind]


@pytest.mark.parametrize(
    ("working", "cancelling", "wanted", "verdict"),
    [
        ((0, 1, 70), 0, (0, 1, 70), NOTHING),
        ((0, 1, 70), 0, (3, 1, 70), SEND),
        ((0, 1, 70), 0, (-3, 1, 70), SEND),
        ((3, 1, 70), 0, (3, 1, 70), KEEP),
        ((3, 1, 70), 1, (3, 1, 70), AWAIT),
        ((3, 1, 70), 1, (4, 1, 70), AWAIT),
        ((3, 1, 70), 0, (4, 1, 70), CANCEL),
        ((3, 1, 70), 0, (3, 0, 70), CANCEL),
        ((3, 1, 70), 0, (3, 1, 71), CANCEL),
        ((3, 1, 70), 0, (0, 1, 70), CANCEL),
        ((1, 1, 70), 0, (1, 1, 70), KEEP),
        ((-1, 1, 70), 0, (1, 1, 70), CANCEL),
    ],
)
def test_one_order_at_a_time(working, cancelling, wanted, verdict):
    assert order_replacement(*working, cancelling, *wanted) == verdict


def test_our_own_touch_is_rounded_away_from_the_other_side():
    assert (own_touch(10.04, 10.06, 0.1, 1), own_touch(10.04, 10.06, 0.1, -1)) == (100, 101)
    assert (own_touch(0.3, 0.7, 0.1, 1), own_touch(0.3, 0.7, 0.1, -1)) == (3, 7)
    assert 0.07 / 0.01 > 7.0 and own_touch(0.06, 0.07, 0.01, -1) == 7, "rounding is no tick"


def test_an_order_is_what_was_wanted_told_before_it_is_sent_and_counted():
    desk = Desk()
    desk.want(0.5)
    lots = int(0.5 * CASH / desk.mid / 0.001)
    price = int(np.floor(desk.venue.view["bid"].item() / 0.1))
    assert desk.sent == [
        OrderRequest(1, 1, lots, OrderType.LIMIT, price, TimeInForce.GTC, post_only=True, reduce_only=False)
    ]
    assert desk.told("intent") == [(desk.sent[0], 1, desk.now_ns)]
    assert desk.lane.working == [OpenOrder(desk.sent[0], lots)] and desk.lane.resting
    assert desk.lane.gate.memory.orders_today == desk.lane.gate.memory.last_side == 1


def test_a_market_order_may_not_rest():
    desk = Desk()
    desk.want(-0.5, TIMING_AGGRESSIVE)
    (order,) = desk.sent
    assert (order.side, order.order_type, order.price_ticks, order.post_only) == (
        -1,
        OrderType.MARKET,
        0,
        False,
    )


def test_waiting_sends_nothing_and_leaves_what_works():
    desk = Desk()
    desk.want(0.5, TIMING_WAIT)
    assert not desk.sent
    desk.want(0.5)
    desk.want(-1.0, TIMING_WAIT)
    assert len(desk.sent) == 1 and not desk.venue.ending


def test_what_is_wanted_already_is_kept_and_what_is_not_is_asked_to_end_once():
    desk = Desk()
    desk.want(0.5)
    desk.want(0.5)
    assert len(desk.sent) == 1 and not desk.venue.ending
    desk.want(0.75)
    desk.want(1.0)
    assert desk.venue.ending == [1] and len(desk.sent) == 1 and not desk.lane.resting
    desk.hear(Cancelled(1, desk.now_ns, desk.sent[0].lots))
    assert [order.order_id for order in desk.sent] == [1, 2] and desk.at_work == [(2, desk.sent[1].lots)]
    assert desk.sent[1].lots == int(1.0 * CASH / desk.mid / 0.001)
    desk.hear(Cancelled(2, desk.now_ns, desk.sent[1].lots))
    assert len(desk.sent) == 2  # what was to follow is not sent a second time


def test_nothing_follows_an_order_in_whose_place_nothing_is_wanted():
    desk = Desk()
    desk.want(0.5)
    desk.want(0.0)
    assert desk.venue.ending == [1]
    desk.hear(Cancelled(1, desk.now_ns, desk.sent[0].lots))
    assert len(desk.sent) == 1 and desk.at_work == []


@pytest.mark.parametrize("end", [Cancelled, Expired, Rejected])
def test_an_end_takes_the_order_away_and_a_rejection_is_counted(end):
    desk = Desk()
    desk.want(0.5)
    desk.hear(end(1, desk.now_ns, "no" if end is Rejected else 5))
    assert desk.at_work == [] and desk.lane.rejects == (end is Rejected)
    assert desk.told("event") == [(end(1, desk.now_ns, "no" if end is Rejected else 5), 1)]


def test_fills_take_from_what_works_and_a_fill_told_twice_is_told_once():
    desk = Desk()
    desk.want(0.5)
    lots = desk.sent[0].lots
    fill = desk.filled(1, 5, 5)
    desk.hear(Accepted(1, desk.now_ns), fill, fill)
    assert desk.at_work == [(1, lots - 5)] and len(desk.told("event")) == 2
    desk.hear(desk.filled(1, 3, 8), desk.filled(1, 2, 7, 999))  # an older one comes late
    assert desk.at_work == [(1, lots - 8)]
    desk.hear(desk.filled(1, lots - 8, lots))
    assert desk.at_work == [] and desk.told("event")[-1][1] == 1
    desk.hear(Cancelled(1, desk.now_ns, 0))
    assert desk.told("event")[-1][1] == 0  # none of ours works


def test_a_refused_cancel_lets_the_order_stand_and_another_may_be_asked_for():
    desk = Desk()
    desk.want(0.5)
    desk.want(0.75)
    desk.hear(CancelRejected(1, desk.now_ns, "busy"))
    assert desk.lane.resting and desk.at_work == [(1, desk.sent[0].lots)]
    desk.want(0.75)
    assert desk.venue.ending == [1, 1]


def test_who_cancels_all_asks_for_each_end_once():
    desk = Desk()
    left = [OpenOrder(OrderRequest(n, 1, 10, OrderType.LIMIT, 1000), 10) for n in (3, 4)]
    desk.lane.resume(5, [], left)
    desk.lane.cancel_all(desk.now_ns)
    desk.lane.cancel_all(desk.now_ns)
    assert desk.venue.ending == [3, 4] and not desk.lane.resting and len(desk.at_work) == 2


def test_with_several_at_work_each_ends_by_itself_and_the_next_is_sent_after_the_last():
    desk = Desk()
    left = [OpenOrder(OrderRequest(n, 1, 10, OrderType.LIMIT, 1000), 10 - n) for n in (3, 4, 5)]
    desk.lane.resume(6, [], left)
    assert desk.lane.working == left
    desk.want(0.5)
    assert desk.venue.ending == [3, 4, 5]
    desk.hear(Cancelled(4, desk.now_ns, 6))
    assert desk.at_work == [(3, 7), (5, 5)]
    desk.hear(Cancelled(3, desk.now_ns, 7))
    assert desk.at_work == [(5, 5)] and not desk.sent
    desk.hear(Cancelled(5, desk.now_ns, 5))
    assert [order.order_id for order in desk.sent] == [6]


def test_a_lane_goes_on_with_what_was_left_and_not_with_more_than_it_can_hold():
    desk = Desk()
    left = OrderRequest(8, -1, 10, OrderType.LIMIT, 1000, TimeInForce.IOC, post_only=True, reduce_only=True)
    desk.lane.resume(9, [7, 808], [OpenOrder(left, 4)])
    assert desk.lane.working == [OpenOrder(left, 4)] and desk.lane.resting
    desk.hear(Filled(8, desk.now_ns, 808, 1, 1000, "maker", 7))
    assert desk.at_work == [(8, 4)] and not desk.told("event")  # known from before
    most = [OpenOrder(OrderRequest(n, 1, 10, OrderType.LIMIT, 1000), 10) for n in range(9)]
    desk.lane.resume(99, [], most[1:])
    with pytest.raises(InvariantError, match="9 orders were left open; a lane has 8 at most"):
        desk.lane.resume(99, [], most)


def test_of_fills_the_latest_are_remembered():
    desk = Desk()
    desk.lane.resume(1, range(5000), [])
    told = [Filled(1, 0, number, 1, 1, "maker", 1) for number in (904, 4999, 903, 905, 903, 904)]
    desk.hear(*told)
    assert [event.fill_id for event, _ in desk.told("event")] == [903, 904]  # as many as are remembered


LOTS = 1000  # of the position


def turning(exposure: float, limits: RiskLimits, timing: int = TIMING_AGGRESSIVE) -> Desk:
    desk = Desk(limits, position=LOTS * 0.001, cash=CASH - 5000.0)
    desk.want(exposure, timing)
    return desk


def test_a_turn_small_enough_is_one_order():
    desk = turning(-0.5, FREE)
    assert len(desk.sent) == 1 and desk.sent[0].lots > LOTS and not desk.sent[0].reduce_only


def test_a_turn_too_large_for_one_is_what_closes_and_what_opens_and_nothing_more():
    desk = turning(-0.5, RiskLimits(max_order_fraction=0.7, max_exposure=0.7))
    whole = turning(-0.5, FREE).sent[0].lots
    assert [(order.side, order.lots, order.reduce_only) for order in desk.sent] == [
        (-1, LOTS, False), (-1, whole - LOTS, False),
    ]  # fmt: skip
    assert [order.order_id for order in desk.sent] == [1, 2] and len(desk.told("intent")) == 2


def test_what_closes_goes_alone_and_only_reduces_where_what_opens_may_not_go():
    desk = turning(-1.0, RiskLimits(max_order_fraction=0.7, max_exposure=2.0))
    assert [(order.lots, order.reduce_only) for order in desk.sent] == [(LOTS, True)]
    ((proposal, lots, reason, decision, ts_ns),) = desk.told("refusal")
    assert reason is RefusalReason.ORDER_SIZE and (decision, ts_ns) == (1, desk.now_ns)
    assert proposal.side == -1 and proposal.quantity == pytest.approx(lots * 0.001)
    assert proposal.price == desk.mid and lots == turning(-1.0, FREE).sent[0].lots - LOTS


def test_of_an_order_that_the_gate_refuses_the_part_that_closes_is_sent():
    desk = turning(-1.0, RiskLimits(max_order_fraction=3.0, max_exposure=0.7))
    assert [(order.side, order.lots, order.reduce_only) for order in desk.sent] == [(-1, LOTS, True)]
    assert [row[2] for row in desk.told("refusal")] == [RefusalReason.EXPOSURE]
    assert desk.lane.gate.memory.orders_today == 1


def test_a_refused_limit_order_is_told_with_its_own_price_and_nothing_is_sent():
    desk = Desk(RiskLimits(max_exposure=0.4, max_order_fraction=3.0))
    desk.want(-0.5, TIMING_PASSIVE)
    ((proposal, _, reason, _, _),) = desk.told("refusal")
    assert reason is RefusalReason.EXPOSURE and not desk.sent and desk.at_work == []
    assert proposal.price == pytest.approx(np.ceil(desk.venue.view["ask"].item() / 0.1) * 0.1)


def test_nothing_is_refused_that_is_too_little_to_be_sent():
    desk = Desk(FREE)
    desk.want(0.0004)  # below the smallest order, 5 of quote currency
    assert not desk.heard.told


def test_a_market_that_is_crossed_holds_new_risk_back():
    desk = Desk()
    desk.venue.view["bid"] = desk.venue.view["ask"].item() + 0.1
    desk.want(0.5, TIMING_AGGRESSIVE)
    assert [row[2] for row in desk.told("refusal")] == [RefusalReason.CROSSED_MARKET]


def test_flattening_closes_all_whatever_is_wanted_and_says_when_it_is_done():
    desk = Desk(position=0.5, cash=CASH)
    assert desk.lane.flatten(desk.now_ns) is False and desk.lane.flattening
    (order,) = desk.sent
    assert (order.side, order.lots, order.order_type) == (-1, 500, OrderType.MARKET)
    assert desk.lane.flatten(desk.now_ns) is False and len(desk.sent) == 1
    desk.venue.account["position"] = 0.0
    desk.hear(desk.filled(1, 500, 500))
    assert desk.lane.flatten(desk.now_ns) is True and len(desk.sent) == 1
    desk.lane.flattening = False
    assert not desk.lane.flattening


def test_before_there_is_a_price_nothing_can_be_closed_but_nothing():
    venue = Elsewhere()
    unseen = Lane(floor(1), venue, FREE, Follows(Action(2)))
    assert unseen.flatten(1) is True
    unseen.flattening = False
    venue.account["position"] = 0.5
    assert unseen.flatten(1) is False and not venue.sent
    assert unseen.flattening, "once there is a price it is closed"


def test_a_lane_says_what_it_has():
    desk = Desk(position=0.5, cash=1000.0)
    assert desk.lane.position == 0.5 and desk.lane.equity == 1000.0 + 0.5 * desk.mid
    desk.want(0.25, TIMING_AGGRESSIVE)
    assert desk.lane.marked == desk.lane.equity and desk.lane.timing == TIMING_AGGRESSIVE
    assert desk.lane.told and not desk.lane.on_paper and not desk.lane.guarded
    decided = desk.lane.decided()
    assert (decided.decision, decided.ts_ns, decided.target) == (1, desk.now_ns, 0.25)
    assert (decided.cash, decided.position, decided.mid) == (1000.0, 0.5, desk.mid)
    assert decided.equity == desk.lane.equity and decided.reward == 0.0 and decided.verdict == "passed"


def test_what_works_is_part_of_what_is_observed():
    desk = Desk()
    place = desk.lane.place
    desk.want(0.5)
    desk.want(0.5)
    assert desk.lane.floor.lanes.scalars[place, 0] == pytest.approx(desk.sent[0].lots * 0.001)
    seen = desk.lane.floor.choices.observations[place].copy()
    desk.hear(Cancelled(1, desk.now_ns, 5))
    desk.want(0.5)
    assert not np.array_equal(desk.lane.floor.choices.observations[place], seen)  # nothing works any more
    short = Desk()
    short.want(-0.5)
    short.want(-0.5)
    assert short.lane.floor.lanes.scalars[place, 0] == pytest.approx(-short.sent[0].lots * 0.001)


def test_a_price_of_an_earlier_start_is_the_last_one_known():
    venue = Elsewhere()
    made = Lane(floor(1), venue, FREE, Follows(Action(2)))
    made.remember_price(7, 4000.0)
    assert venue.view["mid"].item() == 4000.0 and venue.view["ts_ns"].item() == 7
    assert made.floor.lanes.lane["in_step"][made.place] == 0


def test_what_stands_at_the_ends_of_the_ladder_is_the_bridges():
    made = floor(1).lanes
    assert made.ladder.tolist() == list(BRIDGE.ladder) and made.lane["band"][0] == BRIDGE.band_fraction
    assert made.exchange["lot_size"][0] == float(PERPETUAL.lot_size)


def test_flattening_asks_for_the_end_of_what_is_in_the_way_at_once():
    desk = Desk(position=0.5, cash=CASH)
    desk.want(0.5)
    assert len(desk.sent) == 1
    assert desk.lane.flatten(desk.now_ns) is False and desk.venue.ending == [1]
    desk.hear(Cancelled(1, desk.now_ns, desk.sent[0].lots))
    assert [(order.side, order.lots, order.order_type) for order in desk.sent[1:]] == [
        (-1, 500, OrderType.MARKET)
    ]


def test_what_is_said_of_an_order_that_is_not_ours_sends_nothing():
    desk = Desk()
    desk.want(0.5)
    desk.want(1.0)
    desk.hear(Cancelled(99, desk.now_ns, 5), Rejected(98, desk.now_ns, "no"), desk.filled(97, 1, 1))
    assert len(desk.sent) == 1 and desk.at_work == [(1, desk.sent[0].lots)] and desk.lane.rejects == 1


def test_a_partial_fill_of_one_of_several_leaves_the_others_as_they_were():
    desk = Desk()
    left = [OpenOrder(OrderRequest(n, 1, 10, OrderType.LIMIT, 1000), 10) for n in (3, 4, 5)]
    desk.lane.resume(6, [], left)
    desk.hear(Filled(4, desk.now_ns, 1, 3, 1000, "maker", 3))
    assert desk.at_work == [(3, 10), (4, 7), (5, 10)]
    desk.hear(Filled(4, desk.now_ns, 2, 7, 1000, "maker", 10))
    assert desk.at_work == [(3, 10), (5, 10)]
    desk.hear(CancelRejected(5, desk.now_ns, "busy"), Accepted(3, desk.now_ns), Expired(3, desk.now_ns, 10))
    assert desk.at_work == [(5, 10)]


@pytest.mark.parametrize("side", [1, -1])
def test_of_a_turn_the_second_order_is_judged_with_the_first_one_open(side):
    """Exposure may be 0.7 at the worst: what closes and what opens come to 0.5 and 0.5 of equity."""
    limits = RiskLimits(max_order_fraction=0.7, max_exposure=0.45)
    desk = Desk(limits, position=-side * LOTS * 0.001, cash=CASH + side * 5000.0)
    desk.want(side * 0.5, TIMING_AGGRESSIVE)
    assert [(order.side, order.lots, order.reduce_only) for order in desk.sent] == [(side, LOTS, True)]
    assert [row[2] for row in desk.told("refusal")] == [RefusalReason.EXPOSURE]
    wide = Desk(RiskLimits(max_order_fraction=0.7, max_exposure=0.6), position=-side * LOTS * 0.001, cash=CASH + side * 5000.0)  # fmt: skip
    wide.want(side * 0.5, TIMING_AGGRESSIVE)
    assert [(order.side, order.reduce_only) for order in wide.sent] == [(side, False)] * 2


def test_an_order_may_be_sent_at_the_time_that_a_report_was_heard_and_no_earlier():
    desk = Desk()
    desk.want(0.5)
    desk.want(1.0)
    later = desk.now_ns + 7
    desk.hear(Cancelled(1, later, desk.sent[0].lots))
    assert [row[2] for row in desk.told("intent")] == [desk.now_ns, later]
    desk.want(0.5)
    desk.hear(Cancelled(2, 5, desk.sent[1].lots))  # of long ago: what the market showed is known
    assert desk.told("intent")[-1][2] == desk.venue.view["ts_ns"].item()


def test_nothing_follows_though_some_of_the_order_was_filled_before_its_end():
    desk = Desk()
    desk.want(0.5)
    desk.want(0.0)
    desk.venue.account["position"] = 0.4
    desk.hear(desk.filled(1, 400, 400), Cancelled(1, desk.now_ns, desk.sent[0].lots - 400))
    assert len(desk.sent) == 1
    desk.want(0.0)
    assert [(order.side, order.lots) for order in desk.sent[1:]] == [(-1, 400)]


def test_an_order_that_is_too_large_and_turns_nothing_is_refused_whole():
    desk = Desk(RiskLimits(max_order_fraction=0.4))
    desk.want(0.5, TIMING_AGGRESSIVE)
    ((proposal, lots, reason, _, _),) = desk.told("refusal")
    assert reason is RefusalReason.ORDER_SIZE and lots == int(0.5 * CASH / desk.mid / 0.001) and not desk.sent
    assert proposal.quantity == pytest.approx(lots * 0.001)


def test_verdicts_are_told_apart_from_each_other_and_from_the_gates():
    verdicts = {lane_orders.NO_ORDER, lane_orders.REPLACING, lane_orders.OFFERING}
    assert len(verdicts) == 3 and all(verdict < 0 for verdict in verdicts)


def test_who_buys_for_all_its_cash_keeps_back_what_that_costs():
    """The taker's fee, the spread and the reserve; as much as fits is bought."""
    heard = Heard()
    on = TradingFloor(SPOT, BridgeConfig((0.0, 0.5, 1.0)), FEATURES, HOUR_NS, 1, 1)
    group = LaneGroup(
        [Lane(on, PaperExchange(SPOT, PaperConfig(), 1, CASH), FREE, Follows(Action(2)), heard)]
    )
    group.advance(TICKS, 0, 20)
    group.decide(int(TICKS["ts_ns"][19]), 0, np.zeros(FEATURES), np.zeros(FEATURES, np.float32))
    ((_, order, _, _),) = heard.told
    costs = 0.001 + 2e-4 + BridgeConfig((1.0,)).cost_reserve_fraction
    spent = order.lots * 1e-5 * group.lanes[0].decided().mid * (1.0 + costs)
    assert CASH - 2e-5 * group.lanes[0].decided().mid < spent <= CASH
