"""Lanes that live and decide together do as each would alone; a guard, a log and a Python strategy change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trading.markets import HOUR_NS, PERPETUAL, bars, trades
from ztb.errors import ConfigError, InvariantError, StrategyError
from ztb.execution.orders import Cancelled, Filled, OrderEvent, OrderRequest
from ztb.execution.paper import PaperExchange
from ztb.execution.paper_config import PaperConfig
from ztb.execution.risk import RefusalReason, RiskLimits
from ztb.execution.risk_gate import Proposal, RiskGate
from ztb.learning.generations import GenerationInfo, ServedPolicy
from ztb.market.ticks import Ticks
from ztb.runtime.venue.broker import MarketViewBroker
from ztb.strategies.loader import load_strategy
from ztb.trading.bridge import TradingBridge, Wanted
from ztb.trading.decided import Decided
from ztb.trading.floor import TradingFloor
from ztb.trading.kernel_rule import KernelRule, choice, nearest
from ztb.trading.lane import Guard, Lane
from ztb.trading.lane_group import LaneGroup
from ztb.trading.observation import ACCOUNT_SIZE
from ztb.trading.policy.weights import NetworkShape, initial_weights
from ztb.trading.settings import BridgeConfig
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMING_PASSIVE, TIMINGS
from ztb.trading.strategy import Action, Moment, Strategy, StrategyContext, nearest_rung
from ztb.utils.kernel import COMPILED

LADDER = (-1.0, -0.5, 0.0, 0.5, 1.0)
BRIDGE = BridgeConfig(LADDER)
FEATURES, SEED, CASH = 3, 11, 10_000.0
SHAPE = NetworkShape(FEATURES + ACCOUNT_SIZE, (len(LADDER), TIMINGS), (8,), False)
LATE = PaperConfig(
    submit_latency_ms=150, submit_jitter_ms=100, cancel_latency_ms=120, ack_latency_ms=90, duplicate_probability=0.2,
    submit_rejected_probability=0.05,
)  # fmt: skip
TIGHT = RiskLimits(max_order_fraction=0.6, max_orders_per_minute=60, max_repeated_side=4)


def policy(seed: int, sample: bool) -> ServedPolicy:
    return ServedPolicy(SHAPE, GenerationInfo(seed, None, initial_weights(SHAPE, seed), str(seed)), sample)


class Swings:
    """From one end of the ladder to the other, by all timings."""

    def decide(self, moment: Moment) -> Action:
        return Action((moment.decision * 7) % len(LADDER), moment.decision % TIMINGS)


class Follows:
    def __init__(self, follows: Any) -> None:
        self.follows = follows

    def decide(self, moment: Moment) -> Action:
        raise AssertionError("nobody is to be asked")


class Asks:
    """A policy, or a strategy, by way of Python."""

    def __init__(self, asked: ServedPolicy | Strategy) -> None:
        self._asked = asked

    def decide(self, moment: Moment) -> Action:
        if isinstance(self._asked, ServedPolicy):
            return self._asked.act(moment.observation, moment.uniforms)
        return self._asked.decide(moment)


class Heard:
    """Notes everything a lane tells."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def intent(self, order: OrderRequest, decision: int, ts_ns: int) -> None:
        self.told.append(("intent", order, decision, ts_ns))

    def refusal(self, order: Proposal, lots: int, reason: RefusalReason, decision: int, ts_ns: int) -> None:
        self.told.append(("refusal", order, lots, reason, decision, ts_ns))

    def event(self, event: OrderEvent, side: int) -> None:
        self.told.append(("event", event, side))


def floor(places: int) -> TradingFloor:
    return TradingFloor(PERPETUAL, BRIDGE, FEATURES, HOUR_NS, SEED, places, SHAPE)


def lane(
    on: TradingFloor,
    strategy: Strategy,
    listener: Heard | None = None,
    limits: RiskLimits = TIGHT,
    guard: Guard | None = None,
) -> Lane:
    return Lane(on, PaperExchange(PERPETUAL, LATE, SEED, CASH), limits, strategy, listener, guard)


def through(
    ticks: Ticks, every: int, advance: Callable[[Ticks, int, int], None], decide: Callable[..., None]
) -> None:
    """Rows, and after every few of them a decision on features that are made up."""
    rng = np.random.default_rng(3)
    for decision, row in enumerate(range(every, len(ticks), every)):
        advance(ticks, row - every, row)
        raw = rng.standard_normal(FEATURES)
        decide(int(ticks["ts_ns"][row - 1]), decision, raw, raw.astype(np.float32))


def alone(ticks: Ticks, every: int, made: Lane) -> list[Decided]:
    found: list[Decided] = []
    group = LaneGroup([made])

    def decide(*given: Any) -> None:
        group.decide(*given)
        found.append(made.decided())

    through(ticks, every, group.advance, decide)
    return found


def same(one: Decided, other: Decided) -> bool:
    arrays = ("observation", "uniforms")
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        if name in arrays
        else getattr(one, name) == getattr(other, name)
        for name in Decided.__struct_fields__
    )


MARKETS = {"bars": (bars(500, 1), 1), "trades": (trades(4_000, 2), 5)}


def strategies() -> list[Strategy]:
    return [
        Follows(Action(4)), Swings(), Follows(policy(1, True)), Follows(policy(2, False)), Follows(Action(2)),
    ]  # fmt: skip


@pytest.mark.parametrize("market", MARKETS)
def test_lanes_together_do_what_each_does_alone(market):
    ticks, every = MARKETS[market]
    on = floor(8)
    lanes = [lane(on, strategy) for strategy in strategies()]
    group, found = LaneGroup(lanes), [[] for _ in lanes]

    def decide(*given: Any) -> None:
        group.decide(*given)
        for each, told in zip(lanes, found, strict=True):
            told.append(each.decided())

    through(ticks, every, group.advance, decide)
    for strategy, each, told in zip(strategies(), lanes, found, strict=True):
        by_itself = lane(floor(1), strategy)
        expected = alone(ticks, every, by_itself)
        assert len(expected) > 400 and all(map(same, told, expected))
        for name in ("account", "view", "exchange"):
            assert getattr(each.broker, name).tobytes() == getattr(by_itself.broker, name).tobytes(), name
    assert len({each.broker.account["n_fills"].item() for each in lanes}) >= 3


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("sample", [True, False])
def test_a_policy_decides_in_a_kernel_as_it_does_by_way_of_python(market, sample):
    ticks, every = MARKETS[market]
    in_kernel, asked = lane(floor(1), Follows(policy(5, sample))), lane(floor(1), Asks(policy(5, sample)))
    assert asked.asked and not in_kernel.asked
    assert all(map(same, alone(ticks, every, in_kernel), alone(ticks, every, asked)))


def test_another_generation_serves_from_the_next_decision_on():
    served = policy(1, False)
    changing, ticks = lane(floor(1), Follows(served)), MARKETS["bars"][0]
    other, group = policy(9, False), LaneGroup([changing])

    def decide(ts_ns: int, decision: int, *given: Any) -> None:
        if decision == 200:
            served.swap(other.info)
        group.decide(ts_ns, decision, *given)
        found = changing.decided()
        expected = served.act(found.observation, found.uniforms)
        assert found.action == expected

    through(ticks, 1, group.advance, decide)


@pytest.mark.parametrize("market", MARKETS)
def test_who_is_asked_before_each_order_and_who_is_told_trade_as_the_others_do(market):
    ticks, every = MARKETS[market]
    plain, heard, guarded_heard = lane(floor(1), Swings()), Heard(), Heard()
    asked: list[int] = []
    told = lane(floor(1), Swings(), heard)
    guarded = lane(
        floor(1), Swings(), guarded_heard, guard=lambda _gate: asked.append(len(guarded_heard.told))
    )
    expected = alone(ticks, every, plain)
    assert all(map(same, alone(ticks, every, told), expected))
    assert all(map(same, alone(ticks, every, guarded), expected))
    assert heard.told == guarded_heard.told
    kinds = [what for what, *_ in heard.told]
    intents, refusals = kinds.count("intent"), kinds.count("refusal")
    assert intents > 30 and refusals > 5
    assert (
        len(asked) >= intents
    )  # once an order that the gate sees; a part that closes is no order of its own
    bought = sum(e[1].lots * e[2] for e in heard.told if isinstance(e[1], Filled))
    assert bought * float(PERPETUAL.lot_size) == pytest.approx(
        plain.broker.account["position"].item(), abs=1e-9
    )
    reasons = {e[3] for e in heard.told if e[0] == "refusal"}
    assert RefusalReason.ORDER_SIZE in reasons or RefusalReason.ORDER_RATE in reasons


def test_a_guard_may_stop_an_order():
    ticks = MARKETS["bars"][0]
    heard = Heard()

    def halt(gate: RiskGate) -> None:
        gate.memory.permission.halted = True

    stopped = lane(floor(1), Swings(), heard, RiskLimits(), guard=halt)
    alone(ticks, 1, stopped)
    assert heard.told and {e[3] for e in heard.told} == {RefusalReason.HALTED}


def test_a_turn_that_is_too_large_for_one_order_goes_out_as_two():
    ticks = MARKETS["bars"][0]
    heard = Heard()
    turning = lane(floor(1), Swings(), heard, RiskLimits(max_order_fraction=1.2, max_exposure=1.5))
    alone(ticks, 1, turning)
    times = [e[3] for e in heard.told if e[0] == "intent"]
    assert len(times) - len(set(times)) > 10


def test_a_place_is_given_to_somebody_else_as_new_and_there_are_no_more_than_there_are():
    ticks = MARKETS["bars"][0]
    on = floor(1)
    first = lane(on, Swings())
    expected = alone(ticks, 1, first)
    with pytest.raises(InvariantError, match="1 places"):
        lane(on, Swings())
    first.leave()
    again = lane(on, Swings())
    assert all(map(same, alone(ticks, 1, again), expected))


@pytest.mark.parametrize("timing", [TIMING_PASSIVE, TIMING_AGGRESSIVE])
def test_the_bridge_wants_the_order_that_a_lane_sends(timing):
    ticks = MARKETS["bars"][0]
    heard = Heard()
    sending = lane(floor(1), Follows(Action(4, timing)), heard, RiskLimits())
    group = LaneGroup([sending])
    group.advance(ticks, 0, 10)
    bridge = TradingBridge(PERPETUAL, BRIDGE, FEATURES, HOUR_NS)
    features = np.zeros(FEATURES, np.float32)
    bridge.observe(sending.broker.account, sending.broker.view, features, 0.0, int(ticks["ts_ns"][9]))
    wanted = bridge.order(Wanted(1.0, timing), sending.broker.view, 1)
    group.decide(int(ticks["ts_ns"][9]), 0, np.zeros(FEATURES), features)
    assert heard.told[0][1] == wanted


class Elsewhere(MarketViewBroker):
    """A venue that takes orders and cancels, and says nothing by itself."""

    def __init__(self) -> None:
        super().__init__(PERPETUAL)
        self.account["cash"] = CASH
        self.sent: list[OrderRequest] = []
        self.ending: list[int] = []

    def submit(self, order: OrderRequest, now_ns: int) -> None:
        self.sent.append(order)

    def cancel(self, order_id: int, now_ns: int) -> None:
        self.ending.append(order_id)

    def events(self) -> list[OrderEvent]:
        return []


@pytest.mark.parametrize(("stopped", "sent"), [(False, 2), (True, 1)])
def test_who_cancels_everything_also_gives_up_what_was_to_replace_it(stopped: bool, sent: int):
    ticks, venue = MARKETS["trades"][0], Elsewhere()
    made = Lane(floor(1), venue, RiskLimits(), Swings())
    LaneGroup([made]).advance(ticks, 0, 50)
    now_ns, features = int(ticks["ts_ns"][49]), np.zeros(FEATURES, np.float32)
    for decision, exposure in enumerate((0.5, -0.5)):
        made.pursue(now_ns, decision, features, Wanted(exposure, TIMING_PASSIVE))
    assert [order.order_id for order in venue.sent] == venue.ending == [1]
    if stopped:
        made.cancel_all(now_ns)
    made.hear(Cancelled(1, now_ns, venue.sent[0].lots))
    assert len(venue.sent) == sent


class Crosses:
    """`ema_cross`, written in Python."""

    def __init__(self, ladder: tuple[float, ...], fast: float, slow: float) -> None:
        self._weights = 2.0 / (fast + 1.0), 2.0 / (slow + 1.0)
        self._averages: tuple[float, float] | None = None
        self._warm_up, self._rungs = int(slow), len(ladder)

    def decide(self, moment: Moment) -> Action:
        fast, slow = self._averages or (moment.mid, moment.mid)
        fast += self._weights[0] * (moment.mid - fast)
        slow += self._weights[1] * (moment.mid - slow)
        self._averages = fast, slow
        if self._warm_up > 0:
            self._warm_up -= 1
            return Action(moment.ladder.index(0.0))
        return Action(self._rungs - 1 if fast > slow else 0)


@pytest.mark.parametrize("market", MARKETS)
def test_a_rule_that_is_a_kernel_trades_as_the_same_rule_in_python(market):
    ticks, every = MARKETS[market]
    given = StrategyContext("BTC/USDT", LADDER, SEED, {"fast": 3, "slow": 8})
    make = load_strategy("ema_cross").make
    kernel, python = lane(floor(1), make(given)), lane(floor(1), Crosses(LADDER, 3.0, 8.0))
    assert python.asked and not kernel.asked
    expected = alone(ticks, every, python)
    assert all(map(same, alone(ticks, every, kernel), expected))
    assert len({decided.action.size for decided in expected}) == 3
    asked = make(given)  # its `decide`, from Python
    by_hand = lane(floor(1), Asks(asked))
    assert all(map(same, alone(ticks, every, by_hand), expected))


def sees_all(state: Any, moment: Any, features: Any, ladder: Any) -> int:
    """Notes what it is told, and chooses by it."""
    state[0] += moment[0]["decision"] + moment[0]["exposure"] + features[1]
    state[1] = moment[0]["ts_ns"]
    return choice(nearest(ladder, 2.0 * moment[0]["uniforms"][0] - 1.0), TIMING_PASSIVE)


class SeesAll:
    def __init__(self) -> None:
        self.state = np.zeros(2)

    def decide(self, moment: Moment) -> Action:
        self.state[0] += moment.decision + moment.exposure + moment.features[1]
        self.state[1] = moment.ts_ns
        return Action(nearest_rung(moment.ladder, 2.0 * moment.uniforms[0] - 1.0), TIMING_PASSIVE)


def test_a_rule_that_is_a_kernel_is_told_what_a_strategy_in_python_is():
    ticks, every = MARKETS["trades"]
    rule, python = KernelRule(sees_all, np.zeros(2)), SeesAll()
    in_kernel = alone(ticks, every, lane(floor(2), Follows(rule)))
    assert all(map(same, in_kernel, alone(ticks, every, lane(floor(1), python))))
    assert rule.state.tolist() == python.state.tolist() and rule.state[0] != 0.0


def test_a_rule_is_compiled_once_whoever_follows_it_and_each_keeps_its_own_numbers():
    first, second = KernelRule(sees_all, np.zeros(2)), KernelRule(sees_all, np.ones(2))
    assert not COMPILED or first.address == second.address
    assert first.state.tolist() == [0.0, 0.0] and second.state.tolist() == [1.0, 1.0]


def answers_nonsense(state: Any, moment: Any, features: Any, ladder: Any) -> int:
    return len(ladder) * 3


def test_a_rule_that_answers_what_is_no_choice_is_named_with_its_line():
    made = lane(floor(1), Follows(KernelRule(answers_nonsense, np.zeros(1))))
    with pytest.raises(StrategyError, match=r"test_floor.py:\d+: decide must answer choice\(rung, timing\)"):
        alone(MARKETS["bars"][0], 1, made)


def answers_a_fraction(state: Any, moment: Any, features: Any, ladder: Any) -> int:
    return 0.5  # type: ignore[return-value]


@pytest.mark.skipif(not COMPILED, reason="needs the compiler")
def test_a_rule_that_does_not_compile_is_named_with_its_line():
    def prints(state: Any, moment: Any, features: Any, ladder: Any) -> int:
        return open("somewhere")  # type: ignore[return-value]

    with pytest.raises(ConfigError, match=r"test_floor.py:\d+: decide does not compile"):
        KernelRule(prints, np.zeros(1))
    with pytest.raises(ConfigError, match="decide does not compile: it returns float64"):
        KernelRule(answers_a_fraction, np.zeros(1))
    with pytest.raises(ConfigError, match="keeps 1024 numbers at most"):
        KernelRule(answers_nonsense, np.zeros(1025))
