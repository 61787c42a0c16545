"""A few decisions of lanes on one floor, looked at closely: who decides, who is told, who sees what, who makes way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trading.markets import HOUR_NS, PERPETUAL, bars, depth, quoted, trades
from trading.test_floor import (
    BRIDGE,
    FEATURES,
    LADDER,
    LATE,
    SEED,
    TIGHT,
    Asks,
    Elsewhere,
    Follows,
    Heard,
    Swings,
    alone,
    floor,
    lane,
    policy,
    same,
    through,
)
from ztb.errors import InvariantError, StrategyError
from ztb.execution.order_states import OrderProgress, OrderState, progress_after
from ztb.execution.orders import Accepted, Cancelled, Filled, Rejected
from ztb.execution.paper import PaperExchange
from ztb.execution.paper_config import PaperConfig
from ztb.execution.risk import RiskLimits
from ztb.market.ticks import empty_ticks
from ztb.trading.bridge import Wanted
from ztb.trading.decided import Decided
from ztb.trading.floor import GIVEN, PURSUES, TradingFloor
from ztb.trading.kernel_rule import KernelRule, choice
from ztb.trading.lane import Lane
from ztb.trading.lane_group import LaneGroup
from ztb.trading.lane_state import LOG_ROWS
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMING_PASSIVE, TIMING_WAIT, TIMINGS
from ztb.trading.strategy import Action, Moment

MARKETS = {
    "bars": (bars(40, 1), 1), "trades": (trades(160, 2), 4), "quotes": (quoted(160, 3), 4), "depth": (depth(120, 4), 6),
}  # fmt: skip
WIDE = RiskLimits(max_order_fraction=3.0, max_exposure=2.0, max_repeated_side=1000)
NOTHING = np.zeros(FEATURES, np.float32)


def notes(state: Any, moment: Any, features: Any, ladder: Any) -> int:
    """Keeps all that it is told, and chooses by its second draw."""
    state[0] += moment[0]["uniforms"][0] + 10.0 * moment[0]["uniforms"][1]
    state[1] += moment[0]["mid"] * (1.0 + moment[0]["exposure"]) + features[2]
    state[2] = moment[0]["ts_ns"] + moment[0]["decision"]
    rung = int(moment[0]["uniforms"][1] * len(ladder))
    return choice(rung, moment[0]["decision"] % 3)


class Notes:
    def __init__(self) -> None:
        self.state = np.zeros(3)

    def decide(self, moment: Moment) -> Action:
        self.state[0] += moment.uniforms[0] + 10.0 * moment.uniforms[1]
        self.state[1] += moment.mid * (1.0 + moment.exposure) + moment.features[2]
        self.state[2] = moment.ts_ns + moment.decision
        return Action(int(moment.uniforms[1] * len(moment.ladder)), moment.decision % TIMINGS)


def everybody() -> list[Any]:
    return [
        Follows(Action(4)), Swings(), Follows(policy(1, True)), Follows(policy(2, False)), Notes(),
        Follows(KernelRule(notes, np.zeros(3))),
    ]  # fmt: skip


@pytest.mark.parametrize("market", MARKETS)
def test_a_few_lanes_together_do_what_each_does_alone(market):
    ticks, every = MARKETS[market]
    on = floor(6)
    lanes = [lane(on, strategy, limits=WIDE) for strategy in everybody()]
    group, found = LaneGroup(lanes), [[] for _ in lanes]

    def decide(*given: Any) -> None:
        group.decide(*given)
        for each, told in zip(lanes, found, strict=True):
            told.append(each.decided())

    through(ticks, every, group.advance, decide)
    for strategy, each, told in zip(everybody(), lanes, found, strict=True):
        by_itself = lane(floor(1), strategy, limits=WIDE)
        assert all(map(same, told, alone(ticks, every, by_itself))) and len(told) > 15
        for name in ("account", "view", "exchange", "orders"):
            assert getattr(each.broker, name).tobytes() == getattr(by_itself.broker, name).tobytes(), name
    assert len({each.broker.account["n_fills"].item() for each in lanes}) >= 3
    assert all(map(same, found[4], found[5])), "a rule that is a kernel is the rule"


@pytest.mark.parametrize("market", MARKETS)
def test_who_listens_and_who_is_asked_change_nothing(market):
    ticks, every = MARKETS[market]
    heard, asked_heard, asked = Heard(), Heard(), []
    plain = alone(ticks, every, lane(floor(1), Swings()))
    assert all(map(same, alone(ticks, every, lane(floor(1), Swings(), heard)), plain))
    guarded = lane(floor(1), Swings(), asked_heard, guard=lambda _gate: asked.append(len(asked_heard.told)))
    assert all(map(same, alone(ticks, every, guarded), plain))
    assert heard.told == asked_heard.told and {what for what, *_ in heard.told} >= {"intent", "event"}
    assert len(asked) >= sum(what == "intent" for what, *_ in heard.told)


@pytest.mark.parametrize("market", ["trades", "quotes"])
def test_what_is_told_of_the_paper_exchange_is_a_legal_life_of_every_order(market):
    ticks, every = MARKETS[market]
    heard = Heard()
    alone(ticks, every, lane(floor(1), Swings(), heard, WIDE))
    sent = {told[1].order_id: told[1] for told in heard.told if told[0] == "intent"}
    lives = {number: OrderProgress(number, order.lots) for number, order in sent.items()}
    fills = []
    for _, event, side in (told for told in heard.told if told[0] == "event"):
        assert side in (0, sent[event.order_id].side)
        lives[event.order_id] = progress_after(lives[event.order_id], event)
        if isinstance(event, Filled):
            fills.append(event.fill_id)
            assert abs(event.price_ticks * 0.1 - 5000.0) < 5.0 and side != 0
        elif isinstance(event, Rejected):
            assert event.reason in ("venue_busy", "would_cross")
    assert sorted(set(fills)) == list(range(1, len(set(fills)) + 1)) and len(fills) > 3
    assert any(life.state is OrderState.CANCELLED for life in lives.values())


def test_a_block_may_bring_more_reports_than_the_log_holds_and_all_are_told():
    heard = Heard()
    at_once = PaperConfig(**{f"{name}_{what}_ms": 0.0 for name in ("feed", "submit", "ack", "cancel")
                             for what in ("latency", "jitter")})  # fmt: skip
    made = Lane(floor(1), PaperExchange(PERPETUAL, at_once, SEED, 1e9), WIDE, Swings(), heard)
    group = LaneGroup([made])
    ticks = empty_ticks(2200)
    ticks["ts_ns"], ticks["price"] = 1 + np.arange(2200) * 1_000_000, 5000.0
    ticks["size"], ticks["side"] = 0.001, -1
    ticks["size"][:2] = 0.5
    ticks["price"][2:] = 4990.0  # through our price: each brings a lot
    group.advance(ticks, 0, 2)
    made.pursue(int(ticks["ts_ns"][1]), 0, NOTHING, Wanted(0.5, TIMING_PASSIVE))
    group.advance(ticks, 2, 2200)
    fills = [told[1] for told in heard.told if told[0] == "event" and isinstance(told[1], Filled)]
    assert len(fills) == 2198 > LOG_ROWS and [fill.fill_id for fill in fills] == list(range(1, 2199))
    assert made.position == pytest.approx(0.001 * len(fills))
    assert sum(isinstance(told[1], Accepted) for told in heard.told) == 1  # each report is told once


def test_who_comes_later_has_seen_nothing_before_and_lives_by_itself():
    ticks = MARKETS["trades"][0]
    on = floor(2)
    first = lane(on, Swings())
    group = LaneGroup([first])
    group.advance(ticks, 0, 40)
    late = lane(on, Follows(Action(4)))
    assert on.lanes.lane["in_step"].tolist() == [1, 0] and late.broker.view["mid"].item() == 0.0
    both = LaneGroup([first, late])
    both.advance(ticks, 40, 41)
    by_itself = lane(floor(1), Follows(Action(4)))
    LaneGroup([by_itself]).advance(ticks, 40, 41)
    assert late.broker.view.tobytes() == by_itself.broker.view.tobytes() != first.broker.view.tobytes()


def test_reports_that_were_lost_are_an_error_whoever_lost_them():
    on = floor(2)
    lanes = [lane(on, Swings()) for _ in range(2)]
    group = LaneGroup(lanes)
    group.advance(MARKETS["trades"][0], 0, 4)
    for each in lanes:
        each.broker.exchange["overflowed"] = 1
        with pytest.raises(InvariantError, match="more than 1024 reports of orders at once: some were lost"):
            group.advance(MARKETS["trades"][0], 4, 8)
        each.broker.exchange["overflowed"] = 0
    group.advance(MARKETS["trades"][0], 8, 12)


def test_places_are_given_in_order_and_are_new_each_time():
    on = TradingFloor(PERPETUAL, BRIDGE, FEATURES, HOUR_NS, SEED, 3)
    assert [on.enter() for _ in range(3)] == [0, 1, 2]
    on.lanes.lane["rejects"], on.lanes.scalars[:], on.choices.values[:] = 7, 7.0, 7.0
    on.lanes.reward.view(np.uint8)[:] = 7
    on.deciders.decides[:] = PURSUES
    on.leave(1)
    on.leave(2)
    assert [on.enter(), on.enter()] == [2, 1]
    assert on.lanes.lane["rejects"].tolist() == [7, 0, 0] and on.deciders.decides.tolist() == [
        PURSUES,
        GIVEN,
        GIVEN,
    ]
    assert (on.lanes.scalars[1:] == 0.0).all() and np.isnan(on.choices.values[1:]).all()
    blank = TradingFloor(PERPETUAL, BRIDGE, FEATURES, HOUR_NS, SEED, 1).lanes
    assert on.lanes.reward[1].tobytes() == blank.reward[0].tobytes()
    with pytest.raises(InvariantError, match="has 3 places, and all are taken"):
        on.enter()


def test_a_fresh_floor_has_decided_nothing_and_knows_its_features_by_name():
    on = TradingFloor(PERPETUAL, BRIDGE, 2, HOUR_NS, SEED, 1, names=("a", "b"))
    assert (on.decision, on.ts_ns, dict(on.index)) == (0, 0, {"a": 0, "b": 1})
    assert on.raw.tolist() == [0.0, 0.0] and on.ladder == LADDER
    assert on.choices.targets.tolist() == [0.0] and on.choices.verdicts.tolist() == [0]


def closing(strategy: Any) -> Lane:
    """A lane that holds something, is to close it, and has decided once."""
    made = lane(floor(1), strategy, limits=WIDE)
    made.broker.account["position"] = 1.0
    LaneGroup([made]).advance(MARKETS["bars"][0], 0, 5)
    made.flattening = True
    LaneGroup([made]).decide(int(MARKETS["bars"][0]["ts_ns"][4]), 0, np.zeros(FEATURES), NOTHING)
    return made


@pytest.mark.parametrize(
    "strategy", [Follows(Action(4)), Swings(), Follows(policy(1, True)), Asks(policy(1, False))]
)
def test_while_the_position_is_to_be_closed_the_choice_is_to_close_it(strategy):
    made = closing(strategy)
    decided = made.decided()
    assert decided.target == 0.0 == made.aim and made.timing == TIMING_AGGRESSIVE
    assert decided.action.size == LADDER.index(0.0) and decided.action.logprob is None is decided.action.value
    (order,) = made.working
    assert (order.side, order.request.lots) == (-1, 1000)


def test_what_another_wants_is_pursued_unless_the_position_is_to_be_closed():
    made = lane(floor(1), Swings(), limits=WIDE)
    LaneGroup([made]).advance(MARKETS["bars"][0], 0, 5)
    now_ns = int(MARKETS["bars"][0]["ts_ns"][4])
    made.pursue(now_ns, 0, NOTHING, Wanted(0.3, TIMING_WAIT))
    assert made.aim == 0.3 == made.decided().target and made.working == []
    made.pursue(now_ns, 1, NOTHING, Wanted(0.4, TIMING_PASSIVE))
    assert made.aim == 0.4 and len(made.working) == 1 and made.timing == TIMING_PASSIVE
    made.flattening = True
    made.pursue(now_ns, 2, NOTHING, Wanted(0.4, TIMING_PASSIVE))
    assert made.aim == 0.0 == made.decided().target and made.timing == TIMING_AGGRESSIVE


def test_waiting_leaves_the_aim_as_it_was():
    made = lane(floor(1), Swings(), limits=WIDE)
    group = LaneGroup([made])
    group.advance(MARKETS["bars"][0], 0, 5)
    seen = []
    for decision in range(6):  # by turns: wait, passive, aggressive
        group.decide(int(MARKETS["bars"][0]["ts_ns"][4]), decision, np.zeros(FEATURES), NOTHING)
        seen.append((made.timing, made.aim))
    rungs = [LADDER[decision * 7 % 5] for decision in range(6)]
    assert seen == [(0, 0.0), (1, rungs[1]), (2, rungs[2]), (0, rungs[2]), (1, rungs[4]), (2, rungs[5])]


def test_what_our_own_fills_cost_more_is_charged_in_the_place_of_what_was_charged_before():
    made = lane(floor(2), Swings())
    fee, costs = float(PERPETUAL.taker_fee), made.floor.lanes.lane["costs"][made.place]
    for correction in (0.003, 0.001, 0.0):
        made.charge(correction)
        assert made.broker.exchange["taker_fee"].item() == pytest.approx(fee + correction)
        assert made.floor.lanes.lane["costs"][made.place] == pytest.approx(costs + correction)
    assert made.floor.lanes.exchange["taker_fee"][1 - made.place] == fee


class Answers:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def decide(self, moment: Moment) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [(Action(5), "decision 3"), (Action(-1), "decision 3"), (7, "decision 3"), (ValueError("odd"), "odd"),
     (InvariantError("ours"), "ours")],
)  # fmt: skip
def test_an_answer_that_is_no_choice_ends_the_run_by_name(answer, said):
    made = lane(floor(1), Answers(answer))
    group = LaneGroup([made])
    group.advance(MARKETS["bars"][0], 0, 5)
    expected = InvariantError if isinstance(answer, InvariantError) else StrategyError
    with pytest.raises(expected, match=said):
        group.decide(int(MARKETS["bars"][0]["ts_ns"][4]), 3, np.zeros(FEATURES), NOTHING)


@pytest.mark.parametrize("answer", [-1, len(LADDER) * TIMINGS])
def test_a_rule_whose_answer_is_no_choice_is_named_and_the_last_that_is_one_is_taken(answer):
    def odd(state: Any, moment: Any, features: Any, ladder: Any) -> int:
        return int(state[0])

    made = lane(floor(1), Follows(KernelRule(odd, np.array([float(answer)]))))
    group = LaneGroup([made])
    group.advance(MARKETS["bars"][0], 0, 5)
    with pytest.raises(StrategyError, match=r"decide must answer choice\(rung, timing\)"):
        group.decide(int(MARKETS["bars"][0]["ts_ns"][4]), 0, np.zeros(FEATURES), NOTHING)
    made.rule.state[0] = abs(answer) - 1 if answer > 0 else 0  # type: ignore[union-attr]
    group.decide(int(MARKETS["bars"][0]["ts_ns"][4]), 1, np.zeros(FEATURES), NOTHING)
    assert made.decided().action.size == (len(LADDER) - 1 if answer > 0 else 0)


def test_groups_say_whether_kernels_do_it_all():
    def group(*lanes: Lane) -> LaneGroup:
        return LaneGroup(lanes)

    on = floor(8)
    quiet, told, other = (
        lane(on, Follows(Action(2))),
        lane(on, Follows(Action(2)), Heard()),
        lane(on, Swings(), Heard()),
    )
    guarded = lane(on, Follows(Action(2)), guard=lambda _gate: None)
    elsewhere = Lane(on, Elsewhere(), TIGHT, Follows(Action(2)))
    assert group(quiet).in_one_call and group(quiet, told).in_one_call and not group(told, other).in_one_call
    assert not group(guarded).in_one_call and not group(elsewhere).in_one_call
    assert group(quiet, other).asks and not group(quiet, told).asks
    assert group(quiet, told).floor is on and group(quiet, told).places.tolist() == [quiet.place, told.place]
    assert LaneGroup([]).lanes == ()
    LaneGroup([]).decide(0, 0, np.zeros(FEATURES), NOTHING)
    LaneGroup([]).advance(MARKETS["bars"][0], 0, 1)


def test_the_choice_to_be_told_of_may_be_somebody_elses():
    made = lane(floor(1), Follows(policy(1, True)), limits=WIDE)
    group = LaneGroup([made])
    group.advance(MARKETS["bars"][0], 0, 5)
    group.decide(int(MARKETS["bars"][0]["ts_ns"][4]), 3, np.ones(FEATURES), NOTHING)
    own = made.decided()
    assert own.action.logprob is not None and own.decision == 3 and own.reward == 0.0
    seen = Decided(**{name: getattr(own, name) for name in Decided.__struct_fields__} | {
        "action": Action(0), "observation": own.observation + 1.0, "uniforms": own.uniforms + 1.0, "target": 9.0,
    })  # fmt: skip
    told = made.decided(seen)
    assert told.action == Action(0) and told.target == own.target and told.equity == own.equity
    assert np.array_equal(told.observation, seen.observation) and np.array_equal(told.uniforms, seen.uniforms)


class Rewarded(Swings):
    """Rewards itself with a hundred times what it won."""

    @staticmethod
    def reward(before: Any, after: Any) -> Any:
        return 100.0 * (after - before)


def test_a_strategy_that_rewards_itself_is_told_its_own_reward_from_the_second_decision_on():
    ticks, _ = MARKETS["bars"]
    made, plain = lane(floor(1), Rewarded(), limits=WIDE), lane(floor(1), Swings(), limits=WIDE)
    own, other = alone(ticks, 1, made), alone(ticks, 1, plain)
    equities = [decided.equity for decided in own]
    assert equities == [decided.equity for decided in other] and len(set(equities)) > 20
    expected = [
        0.0,
        *(100.0 * (after - before) for before, after in zip(equities, equities[1:], strict=False)),
    ]
    assert [decided.reward for decided in own] == expected
    assert made.decided(other[-1]).reward == other[-1].reward != expected[-1]
    assert not LaneGroup([made]).in_one_call


class Answering(Elsewhere):
    """A venue that confirms cancels, once somebody collects."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []

    def cancel(self, order_id: int, now_ns: int) -> None:
        super().cancel(order_id, now_ns)
        lots = next(order.lots for order in self.sent if order.order_id == order_id)
        self.told.append(Cancelled(order_id, now_ns, lots))

    def events(self) -> list[Any]:
        told, self.told = self.told, []
        return told


def test_what_a_venue_says_is_heard_as_the_market_goes_on():
    venue, ticks = Answering(), MARKETS["bars"][0]
    made = Lane(floor(1), venue, WIDE, Swings())
    group = LaneGroup([made])
    group.advance(ticks, 0, 5)
    for decision, exposure in enumerate((0.5, -0.5)):
        made.pursue(int(ticks["ts_ns"][4]), decision, NOTHING, Wanted(exposure, TIMING_PASSIVE))
    assert len(venue.sent) == 1 and venue.view["last"].item() == ticks["price"][4]
    group.advance(ticks, 5, 6)
    assert [order.order_id for order in venue.sent] == [1, 2] and venue.view["last"].item() == ticks["price"][
        5
    ]


def test_a_lane_that_leaves_makes_room():
    on = floor(1)
    lane(on, Swings()).leave()
    assert lane(on, Swings()).place == 0


def test_an_exchange_that_trades_here_is_kept_on_the_floor():
    made = Lane(floor(1), PaperExchange(PERPETUAL, LATE, SEED, 5.0), TIGHT, Swings())
    assert made.on_paper and not made.told and not made.guarded
    lanes, place = made.floor.lanes, made.place
    for name, array in (("exchange", lanes.exchange), ("account", lanes.account), ("view", lanes.market)):
        assert np.shares_memory(getattr(made.broker, name), array[place : place + 1]), name
    assert lanes.account["cash"][place] == 5.0 and np.shares_memory(made.gate.row, lanes.gate)
    flags = lanes.lane[place]
    assert (flags["venue"], flags["gated"], flags["guarded"], flags["told"]) == (1, 1, 0, 0)
    away = Lane(floor(1), Elsewhere(), TIGHT, Swings(), guard=lambda _gate: None)
    flags = away.floor.lanes.lane[away.place]
    assert (flags["venue"], flags["gated"], flags["guarded"], flags["told"]) == (0, 1, 1, 1)
    assert np.shares_memory(away.broker.account, away.floor.lanes.account)


@pytest.mark.parametrize("pursues", [True, False])
def test_a_limit_on_losses_that_is_reached_at_a_decision_closes_at_that_decision(pursues):
    made = lane(floor(1), Follows(Action(4)), limits=WIDE)
    made.broker.account["position"] = 1.0
    group, ticks = LaneGroup([made]), MARKETS["bars"][0]
    group.advance(ticks, 0, 5)
    now_ns = int(ticks["ts_ns"][4])

    def decide(decision: int) -> None:
        if pursues:
            made.pursue(now_ns, decision, NOTHING, Wanted(0.9, TIMING_PASSIVE))
        else:
            group.decide(now_ns, decision, np.zeros(FEATURES), NOTHING)

    decide(0)
    assert made.decided().target > 0.0
    made.broker.account["cash"] -= 2000.0
    decide(1)
    assert made.decided().target == 0.0 and made.timing == TIMING_AGGRESSIVE


def test_lanes_in_step_live_through_the_very_last_row():
    on, ticks = floor(2), bars(30, 1)
    both = [lane(on, Follows(Action(2))) for _ in range(2)]
    LaneGroup(both).advance(ticks, 0, len(ticks))
    assert [each.broker.view["ts_ns"].item() for each in both] == [ticks["ts_ns"][-1]] * 2
