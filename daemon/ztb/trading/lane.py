"""A lane: one account trading one strategy on the shared ticks and features.

What happens in it is `lane_kernels`', its memory a place on the trading floor; here is what Python alone can do: ask a
strategy written in Python, send to a venue, tell whoever listens. The live lane is journaled; shadow lanes (`hold`,
generation 0, candidates at the gate) are the same with accounts of their own and nobody listening.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.errors import ZtbError
from ztb.execution.orders import (
    Cancelled,
    CancelRejected,
    Expired,
    Filled,
    OrderEvent,
    Rejected,
)
from ztb.execution.paper import PaperExchange
from ztb.execution.paper_state import CANCEL_REJECTED, CANCELLED, EXPIRED, FILLED, REJECTED
from ztb.execution.risk import RiskLimits
from ztb.execution.risk_gate import RiskGate
from ztb.market.ticks import Ticks
from ztb.ports import Broker
from ztb.trading import lane_kernels, lane_orders
from ztb.trading.bridge import (
    FACT_CASH,
    FACT_EQUITY,
    FACT_MID,
    FACT_POSITION,
    FACT_REWARD,
    Wanted,
)
from ztb.trading.decided import Decided, action_of, verdict_text
from ztb.trading.floor import ASKED, NETWORK, RULE, TradingFloor
from ztb.trading.kernel_rule import MOST_STATE, KernelRule
from ztb.trading.lane_log import LaneListener, order_sent, refused, reported
from ztb.trading.lane_orders import OFFERING
from ztb.trading.lane_place import LanePlace
from ztb.trading.lane_state import CANCEL_ASKED, REPORTED, SENT, Lanes, own_of
from ztb.trading.sizing import TIMING_AGGRESSIVE
from ztb.trading.strategy import (
    Action,
    Moment,
    NetworkPolicy,
    OwnReward,
    Strategy,
    checked_action,
    checked_reward,
    raised,
)
from ztb.utils.kernel import kernel
from ztb.utils.linkage import PythonCallee

Guard = Callable[[RiskGate], None]
"""Called with a gate before that judges an order."""

_KINDS: dict[type[Any], int] = {
    Filled: FILLED, CancelRejected: CANCEL_REJECTED, Rejected: REJECTED, Cancelled: CANCELLED, Expired: EXPIRED,
}  # fmt: skip


# From Python, kernels get arrays: a lane's own memory passes only between kernels.
@kernel
def _prepare(lanes: Lanes, i: int, exposure: float, timing: int, now_ns: int) -> int:
    return int(lane_orders.prepare(own_of(lanes, i), exposure, timing, now_ns))


@kernel
def _prepare_next(lanes: Lanes, i: int, known_ns: int) -> int:
    return int(lane_orders.prepare_next(own_of(lanes, i), known_ns))


@kernel
def _offer(lanes: Lanes, i: int) -> int:
    return int(lane_orders.offer(own_of(lanes, i)))


@kernel
def _hear(lanes: Lanes, i: int, kind: int, order_id: int, cumulative_lots: int) -> bool:
    return bool(lane_kernels.hear(own_of(lanes, i), kind, order_id, cumulative_lots))


@kernel
def _cancel_all(lanes: Lanes, i: int, now_ns: int) -> None:
    lane_orders.cancel_all(own_of(lanes, i), now_ns)


class Lane(LanePlace):
    """One account and its strategy.

    It takes a place on `floor`, and whatever changes in `broker` is kept there from now on.

    While `flattening`, the position is closed whatever the strategy says. `guard` is called before the gate judges an
    order, and may change what the gate remembers.
    """

    def __init__(
        self,
        floor: TradingFloor,
        broker: Broker,
        limits: RiskLimits,
        strategy: Strategy,
        listener: LaneListener | None = None,
        guard: Guard | None = None,
    ) -> None:
        super().__init__(floor, broker)
        self.strategy = strategy
        self.gate = RiskGate(limits)
        self._listener = listener
        self._guard = guard
        self._served: object = None
        self._move_in()
        follows: object = getattr(strategy, "follows", None)
        self.policy = (
            follows if isinstance(follows, NetworkPolicy) and follows.parameters is not None else None
        )
        self.rule = follows if isinstance(follows, KernelRule) else None
        self.asked = self.policy is None and self.rule is None and not isinstance(follows, Action)
        if self.rule is not None:
            self._give_rule(self.rule)
        if isinstance(follows, Action):
            self._choose(checked_action(follows, len(floor.ladder), 0))
        self._callee = PythonCallee(self._answer, (int, int, float, float)) if self.asked else None
        if self._callee is not None:
            floor.deciders.addresses[self.place] = self._callee.address
            floor.deciders.decides[self.place] = ASKED
        reward: OwnReward | None = getattr(strategy, "reward", None)
        self._own_reward = None if reward is None else checked_reward(reward)
        self._equity_before: float | None = None  # until it has decided, there is nothing to be rewarded
        self._rewarded = 0.0
        self._here = np.array([self.place])
        self._nothing = np.zeros(floor.feature_size)

    def _move_in(self) -> None:
        lanes, place, broker = self.floor.lanes, self.place, self.broker
        here = slice(place, place + 1)
        self.gate.move(lanes.gate[here], lanes.recent_ns[place])
        if isinstance(broker, PaperExchange):
            broker.move(
                lanes.exchange[here],
                lanes.orders[place],
                lanes.events[place],
                lanes.market[here],
                lanes.account[here],
            )
        else:
            lanes.market[here], lanes.account[here] = broker.view, broker.account
            broker.view, broker.account = lanes.market[here], lanes.account[here]
        guarded = self._guard is not None
        told = guarded or self._listener is not None or not self.on_paper
        self._lane["venue"], self._lane["gated"] = self.on_paper, 1
        self._lane["guarded"], self._lane["told"] = guarded, told

    def charge(self, correction: float) -> None:
        """Have the paper exchange charge the fraction `correction` of turnover beyond the taker's fee."""
        exchange, fee = self.floor.lanes.exchange[self.place], float(self.floor.instrument.taker_fee)
        self._lane["costs"] += correction - (exchange["taker_fee"].item() - fee)
        exchange["taker_fee"] = fee + correction

    def leave(self) -> None:
        """Give the place on the floor to somebody else; the lane is of no use any more."""
        self.floor.leave(self.place)

    @property
    def flattening(self) -> bool:
        """True if an operator wants the position closed."""
        return self.gate.memory.permission.flattening

    @flattening.setter
    def flattening(self, flattening: bool) -> None:
        self.gate.memory.permission.flattening = flattening

    def collect(self) -> None:
        """Take note of what a venue has said of our orders."""
        for event in self.broker.events():
            self.hear(event)

    def cancel_all(self, ts_ns: int) -> None:
        """Ask for the end of every order that works, and forget what was to replace it."""
        _cancel_all(self.floor.lanes, self.place, ts_ns)
        self._tell()

    def flatten(self, ts_ns: int) -> bool:
        """Close the position, from now on at each decision too; True once nothing is left that could be sold.

        What is below the venue's smallest order stays.
        """
        self.flattening = True
        if self.broker.account["position"].item() and not self.broker.view["mid"].item():
            return False  # no price yet, and so no telling what could be sold
        lanes, i = self.floor.lanes, self.place
        verdict = _prepare(lanes, i, exposure=0.0, timing=TIMING_AGGRESSIVE, now_ns=ts_ns)
        if verdict == lane_orders.NO_ORDER and not self._lane["working"][0]:
            return True
        self._offer_all(verdict)
        return False

    def pursue(self, ts_ns: int, decision: int, features: NDArray[np.float32], wanted: Wanted) -> None:
        """Pass the gate and send what leads to `wanted`, whoever wanted it.

        `features` (F,) normalised. No strategy is asked, and nothing is drawn.
        """
        floor = self.floor
        floor.want(self.place, wanted.exposure, wanted.timing)
        floor.observe(self._here, self._nothing, features, ts_ns, decision)
        floor.act(self._here)
        if self.told:
            self.finish_decision()

    def decided(self, seen: Decided | None = None) -> Decided:
        """The last decision; of one that pursued what another wanted, the choice to be told of is `seen`."""
        floor, place = self.floor, self.place
        choices, facts = floor.choices, floor.lanes.facts[place].tolist()
        if seen is None:
            observation, uniforms = choices.observations[place].copy(), choices.uniforms[place].copy()
            action = action_of(choices.actions[place].tolist(), *choices.values[place].tolist())
        else:
            observation, uniforms, action = seen.observation, seen.uniforms, seen.action
        own = self._own_reward is not None and seen is None
        reward = self._rewarded if own else facts[FACT_REWARD]
        return Decided(
            ts_ns=floor.ts_ns,
            decision=floor.decision,
            observation=observation,
            uniforms=uniforms,
            action=action,
            target=choices.targets.item(place),
            cash=facts[FACT_CASH],
            position=facts[FACT_POSITION],
            mid=facts[FACT_MID],
            equity=facts[FACT_EQUITY],
            reward=reward,
            verdict=verdict_text(choices.verdicts.item(place)),
        )

    def serve(self) -> None:
        """See that the kernels have the policy that serves; called before each decision."""
        policy = self.policy
        if policy is None or policy.info is self._served:
            return
        self._served = policy.info
        deciders, place = self.floor.deciders, self.place
        deciders.parameters[place], deciders.greedy[place] = policy.parameters, policy.greedy
        deciders.decides[place] = NETWORK

    def _give_rule(self, rule: KernelRule) -> None:
        """Let the kernels decide by `rule`, whose numbers are kept on the floor from now on."""
        deciders, place, size = self.floor.deciders, self.place, len(rule.state)
        kept = deciders.states[place * MOST_STATE :][:size]
        kept[:] = rule.state
        rule.state = kept
        deciders.addresses[place], deciders.sizes[place], deciders.decides[place] = rule.address, size, RULE

    def _answer(self, ts_ns: int, decision: int, exposure: float, mid: float) -> int:
        """Have the strategy choose, given what was observed; kernels call it."""
        floor, place = self.floor, self.place
        moment = Moment(
            ts_ns=ts_ns,
            decision=decision,
            features=floor.raw,
            index=floor.index,
            observation=floor.choices.observations[place],
            ladder=floor.ladder,
            exposure=exposure,
            mid=mid,
            uniforms=floor.choices.uniforms[place],
        )
        try:
            answer: object = self.strategy.decide(moment)
        except ZtbError:
            raise
        except Exception as error:
            raise raised(error, f"decision {decision}") from error
        self._choose(checked_action(answer, len(floor.ladder), decision))
        return 0

    def complain(self) -> None:
        """StrategyError if the strategy's last answer was no choice, or its code raised."""
        if self.rule is not None and self.floor.choices.actions[self.place, 0] < 0:
            raise self.rule.wrong(self.floor.decision, len(self.floor.ladder))
        if self._callee is not None:
            self._callee.complain()

    def _choose(self, action: Action) -> None:
        choices, place = self.floor.choices, self.place
        choices.actions[place] = action.size, action.timing
        choices.values[place] = (
            np.nan if action.logprob is None else action.logprob,
            np.nan if action.value is None else action.value,
        )

    def reward(self) -> None:
        """Reward the decision before as the strategy does, if it does."""
        if self._own_reward is not None:
            before, self._equity_before = self._equity_before, self.marked
            self._rewarded = 0.0 if before is None else self._own_reward(before, self._equity_before)

    def finish_decision(self) -> None:
        """Do the part of a decision that is left to Python: ask before each order, and tell."""
        floor, place = self.floor, self.place
        if self._guard is not None:
            target, timing = floor.choices.targets.item(place), self.timing
            verdict = _prepare(lanes=floor.lanes, i=place, exposure=target, timing=timing, now_ns=floor.ts_ns)
            floor.choices.verdicts[place] = self._offer_all(verdict)
        elif self.told:
            self._tell()

    def _offer_all(self, verdict: int) -> int:
        """Offer the gate what is prepared, one after the other; the first reason, or `verdict` if there is none."""
        found = verdict
        while self._lane["offers"].item():
            if self._guard is not None:
                self._guard(self.gate)
            reason = int(_offer(self.floor.lanes, self.place))
            self._tell()
            found = reason if found == OFFERING else found
        self._tell()
        return found

    def settle(self, ticks: Ticks, i1: int) -> None:
        """Look at what the kernels came back for, the log and what is to be offered, and go on to row `i1`."""
        self._tell()
        while (row := self._lane["stopped"].item()) >= 0:
            if self._lane["offers"].item():
                self._offer_all(OFFERING)
            self.floor.live(ticks, row, i1, self._here)
            self._tell()

    def _tell(self) -> None:
        """Send, and tell whoever listens, what the kernels have logged."""
        if self._lane["logged"].item():
            for row in self.take_log().tolist():
                self.pass_on(row)

    def pass_on(self, row: tuple[Any, ...]) -> None:
        """Send or tell one row of the log."""
        listener, floor = self._listener, self.floor
        what, ts_ns = row[0], row[3]
        if what == SENT:
            order = order_sent(row)
            if listener is not None:
                listener.intent(order, floor.decision, ts_ns)
            if not self.on_paper:
                self.broker.submit(order, ts_ns)
        elif what == CANCEL_ASKED:
            self.broker.cancel(row[2], ts_ns)
        elif listener is not None and what == REPORTED:
            listener.event(*reported(row))
        elif listener is not None:
            proposal, lots, reason = refused(row, float(floor.instrument.lot_size))
            listener.refusal(proposal, lots, reason, decision=floor.decision, ts_ns=ts_ns)

    def hear(self, event: OrderEvent) -> None:
        """Take note of a venue's word; what the last decision wanted is sent once the order in its way is gone."""
        if isinstance(event, Filled) and self._known(event):
            return
        order_id = getattr(event, "order_id", 0)
        if self._listener is not None:
            side = next((open_.side for open_ in self.working if open_.order_id == order_id), 0)
            self._listener.event(event, side)
        kind = _KINDS.get(type(event))
        if kind is None:
            return
        cumulative = event.cumulative_lots if isinstance(event, Filled) else 0
        if _hear(
            lanes=self.floor.lanes, i=self.place, kind=kind, order_id=order_id, cumulative_lots=cumulative
        ):
            self.follow_up(max(event.ts_ns, self.broker.view["ts_ns"].item()))

    def follow_up(self, known_ns: int) -> None:
        """Send what the last decision wanted, if it waits."""
        self._offer_all(int(_prepare_next(self.floor.lanes, self.place, known_ns)))
