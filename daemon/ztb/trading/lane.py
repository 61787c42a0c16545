"""A lane: one account trading one strategy on the shared ticks and features.

The live lane is journaled; shadow lanes (`hold`, generation 0, candidates at the gate) are the same code with
accounts of their own and nobody listening.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from ztb.errors import StrategyError, ZtbError
from ztb.execution.orders import (
    Cancelled,
    CancelRejected,
    Expired,
    Filled,
    OpenOrder,
    OrderEvent,
    OrderRequest,
    OrderType,
    Rejected,
)
from ztb.execution.risk import OrderFacts, Proposal, RefusalReason, RiskGate, reducible, too_large
from ztb.market.ticks import Ticks
from ztb.ports import Broker
from ztb.trading.bridge import (
    FACT_CASH,
    FACT_EQUITY,
    FACT_EXPOSURE,
    FACT_MID,
    FACT_POSITION,
    TradingBridge,
    Wanted,
)
from ztb.trading.order_replacement import CANCEL, KEEP, order_replacement
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMING_WAIT, whole_lots
from ztb.trading.strategy import (
    Action,
    Moment,
    OwnReward,
    Strategy,
    checked_action,
    checked_reward,
    place_of,
)
from ztb.utils.rng import STREAM_ACTION, STREAM_TIMING, uniform

NO_ORDER = "no_order"
REPLACING = "replacing"
_FILLS_REMEMBERED = 4096
_OVER = (Rejected, Cancelled, Expired)  # events after which the order is gone


class Decided(msgspec.Struct, frozen=True):
    """A decision made: what was seen, chosen, and what became of it. `reward` is of the decision before."""

    ts_ns: int
    decision: int
    observation: NDArray[np.float32]
    uniforms: NDArray[np.float64]
    action: Action
    target: float
    cash: float
    position: float
    mid: float
    equity: float
    reward: float
    verdict: str


class LaneListener(Protocol):
    """Who is told what a lane does, in order."""

    def intent(self, order: OrderRequest, decision: int, ts_ns: int) -> None: ...

    def refusal(
        self, order: Proposal, lots: int, reason: RefusalReason, decision: int, ts_ns: int
    ) -> None: ...

    def event(self, event: OrderEvent, order: OrderRequest | None) -> None: ...


@dataclass(slots=True)
class _Working:
    order: OrderRequest
    remaining: int
    cancelling: bool = False

    def move(self, wanted: OrderRequest | None) -> int:
        """What to do about this order, one of the verdicts of `trading.working`."""
        order = self.order
        lots = 0 if wanted is None else wanted.side * wanted.lots
        order_type = 0 if wanted is None else int(wanted.order_type)
        price = 0 if wanted is None else wanted.price_ticks
        return order_replacement(
            order.side * self.remaining, int(order.order_type), order.price_ticks, int(self.cancelling),
            lots, order_type, price,
        )  # fmt: skip


class Lane:
    """See the module. `seed` keys the random numbers of decisions; lanes with one seed draw the same ones.

    While `flattening`, the position is closed whatever the strategy says. `guard` is called before the gate
    judges an order, and may change what it remembers.
    """

    def __init__(
        self,
        broker: Broker,
        bridge: TradingBridge,
        gate: RiskGate,
        strategy: Strategy,
        seed: int,
        listener: LaneListener | None = None,
    ) -> None:
        self.broker = broker
        self.bridge = bridge
        self.gate = gate
        self.strategy = strategy
        self.rejects = 0
        self.flattening = False
        self.guard: Callable[[], None] = lambda: None
        self._seed = seed
        self._listener = listener
        self._working: dict[int, _Working] = {}
        self._next_order_id = 1
        self._lot_size = float(bridge.instrument.lot_size)
        self._tick_size = float(bridge.instrument.tick_size)
        self._min_notional = float(bridge.instrument.min_notional)
        self._uniforms = np.zeros(2, np.float64)
        self._replacement: Wanted | None = None
        self.aim = 0.0
        """The exposure that the lane last wanted: waiting changes nothing."""
        self._decision = 0
        reward: OwnReward | None = getattr(strategy, "reward", None)
        self._own_reward = None if reward is None else checked_reward(reward)
        self._equity_before: float | None = None  # until it has decided, there is nothing to be rewarded
        self._fills: dict[int, None] = {}

    @property
    def equity(self) -> float:
        """Cash plus position at the mid of the lane's own view, quote currency."""
        account = self.broker.account
        cash: float = account["cash"].item()
        position: float = account["position"].item()
        mid: float = self.broker.view["mid"].item()
        return cash + position * mid

    @property
    def position(self) -> float:
        """Base currency held."""
        held: float = self.broker.account["position"].item()
        return held

    def advance(self, ticks: Ticks, i0: int, i1: int) -> None:
        """Let rows [i0, i1) happen to the lane's orders."""
        i = i0
        while i < i1:
            i = self.broker.advance(ticks, i, i1)
            self.collect()

    def collect(self) -> None:
        """Take note of what the broker has heard of our orders."""
        for event in self.broker.events():
            self._follow(event)

    @property
    def working(self) -> list[OpenOrder]:
        """Orders that may still fill, oldest first."""
        return [OpenOrder(working.order, working.remaining) for working in self._working.values()]

    def resume(self, next_order_id: int, fills: Iterable[int], working: Iterable[OpenOrder]) -> None:
        """Go on after a restart: the orders that still work, and the latest fills, so that none counts twice."""
        self._next_order_id = next_order_id
        self._fills = dict.fromkeys(list(fills)[-_FILLS_REMEMBERED:])
        self._working = {open_.order_id: _Working(open_.request, open_.remaining_lots) for open_ in working}

    @property
    def resting(self) -> bool:
        """Whether an order works whose end was not asked for, or was refused."""
        return any(not working.cancelling for working in self._working.values())

    def cancel_all(self, ts_ns: int) -> None:
        """Ask for the end of every order that works, and forget what was to replace it."""
        self._replacement = None
        for working in self._working.values():
            self._cancel(working, ts_ns)

    def flatten(self, ts_ns: int) -> bool:
        """Close the position, from now on at each decision too; True once nothing is left that could be sold.

        What is below the venue's smallest order stays.
        """
        self.flattening = True
        close = Wanted(0.0, TIMING_AGGRESSIVE)
        self.bridge.refresh(self.broker.account, self.broker.view)
        if self.bridge.facts[FACT_POSITION] and not self.bridge.facts[FACT_MID]:
            return False  # no price yet, and so no telling what could be sold
        if not self._working and self.bridge.order(close, self.broker.view, self._next_order_id) is None:
            return True
        buys, sells = self._open_quantities()
        self._act(close, self.bridge.facts, buys, sells, ts_ns)
        return False

    def _close(self) -> Action:
        return Action(self.bridge.config.ladder.index(0.0))

    def decide(
        self,
        ts_ns: int,
        decision: int,
        raw: NDArray[np.float64],
        index: Mapping[str, int],
        features: NDArray[np.float32],
    ) -> Decided:
        """Observe, choose, pass the gate, send. `raw` (F,) feature values, `features` (F,) the same normalised."""
        bridge, broker = self.bridge, self.broker
        buys, sells = self._open_quantities()
        reward = bridge.observe(broker.account, broker.view, features, buys - sells, ts_ns)
        facts = bridge.facts
        if self._own_reward is not None:
            before, self._equity_before = self._equity_before, facts[FACT_EQUITY]
            reward = 0.0 if before is None else self._own_reward(before, facts[FACT_EQUITY])
        self._uniforms[0] = uniform(self._seed, STREAM_ACTION, decision)
        self._uniforms[1] = uniform(self._seed, STREAM_TIMING, decision)
        moment = Moment(
            ts_ns, decision, raw, index, bridge.observation, bridge.config.ladder,
            facts[FACT_EXPOSURE], facts[FACT_MID], self._uniforms,
        )  # fmt: skip
        action = self._ask(moment)
        if self.flattening:
            action = self._close()
        observation = bridge.observation.copy()
        wanted = bridge.chosen(action)
        if wanted.timing != TIMING_WAIT:
            self.aim = wanted.exposure
        self._decision = decision
        self.gate.mark(ts_ns, facts[FACT_EQUITY])
        verdict = self._act(wanted, facts, buys, sells, ts_ns)
        return Decided(
            ts_ns, decision, observation, self._uniforms.copy(), action, wanted.exposure,
            facts[FACT_CASH], facts[FACT_POSITION], facts[FACT_MID], facts[FACT_EQUITY], reward, verdict,
        )  # fmt: skip

    def pursue(
        self, ts_ns: int, decision: int, features: NDArray[np.float32], wanted: Wanted, seen: Decided
    ) -> Decided:
        """Pass the gate and send what leads to `wanted`, whoever wanted it; `seen` is the choice to be told of.

        `features` (F,) normalised. No strategy is asked, and nothing is drawn.
        """
        bridge, broker = self.bridge, self.broker
        buys, sells = self._open_quantities()
        reward = bridge.observe(broker.account, broker.view, features, buys - sells, ts_ns)
        facts = bridge.facts
        if self.flattening:
            wanted = Wanted(0.0, TIMING_AGGRESSIVE)
        self.aim = wanted.exposure
        self._decision = decision
        self.gate.mark(ts_ns, facts[FACT_EQUITY])
        verdict = self._act(wanted, facts, buys, sells, ts_ns)
        return Decided(
            ts_ns, decision, seen.observation, seen.uniforms, seen.action, wanted.exposure,
            facts[FACT_CASH], facts[FACT_POSITION], facts[FACT_MID], facts[FACT_EQUITY], reward, verdict,
        )  # fmt: skip

    def _ask(self, moment: Moment) -> Action:
        """The strategy's answer. StrategyError if its code raises or the answer is none."""
        try:
            answer: object = self.strategy.decide(moment)
        except ZtbError:
            raise
        except Exception as error:
            raise StrategyError(
                f"{place_of(error)}: the strategy raised {type(error).__name__}: {error} (decision {moment.decision})"
            ) from error
        return checked_action(answer, len(moment.ladder), moment.decision)

    def _open_quantities(self) -> tuple[float, float]:
        """Unfilled base currency of open buys and of open sells."""
        buys = sells = 0
        for working in self._working.values():
            if working.order.side > 0:
                buys += working.remaining
            else:
                sells += working.remaining
        return buys * self._lot_size, sells * self._lot_size

    def _act(self, wanted: Wanted, facts: list[float], buys: float, sells: float, ts_ns: int) -> str:
        """Turn what is wanted into an order through the gate; returns the verdict.

        At most one order works at a time: an order that is not what is wanted any more is cancelled first, and
        its replacement is sized and sent when the venue has confirmed, so that both can never fill.
        """
        if wanted.timing == TIMING_WAIT:
            return NO_ORDER
        self._replacement = None
        order = self.bridge.order(wanted, self.broker.view, self._next_order_id)
        if self._working:
            return self._make_way(order, wanted, ts_ns)
        if order is None:
            return NO_ORDER
        seen = OrderFacts(
            ts_ns, self.broker.view["ts_ns"].item(), facts[FACT_MID], facts[FACT_POSITION],
            facts[FACT_EQUITY], buys, sells,
            self.broker.view["bid"].item() > self.broker.view["ask"].item(),
        )  # fmt: skip
        closing = self._closing_part(order, seen)
        if closing is not None and too_large(order.lots * self._lot_size, seen, self.gate.limits):
            return str(self._turn(order, closing, seen))
        return str(self._offer(order, seen))

    def _turn(self, order: OrderRequest, closing: OrderRequest, seen: OrderFacts) -> RefusalReason:
        """Send an order that turns the position and is too large for one as two: what closes it, and what opens anew.

        Both at once: waiting for the first to be filled costs a bar. The gate takes the first for filled at its worst.
        Who comes first at the venue is open, so that only a closing order that goes alone is bound to reduce.
        """
        sent = closing.lots * self._lot_size
        buys, sells = (sent, 0.0) if order.side > 0 else (0.0, sent)
        after = msgspec.structs.replace(
            seen, open_buys=seen.open_buys + buys, open_sells=seen.open_sells + sells
        )
        opening = msgspec.structs.replace(order, lots=order.lots - closing.lots)
        proposal = self._proposal(opening, after)
        tradable = proposal.quantity * seen.mid >= self._min_notional
        together = tradable and self.gate.check(proposal, after) is RefusalReason.PASSED
        reason = self._offer(msgspec.structs.replace(closing, reduce_only=not together), seen)
        if reason is RefusalReason.PASSED and tradable:
            self._offer(msgspec.structs.replace(opening, order_id=self._next_order_id), after)
        return reason

    def _offer(self, order: OrderRequest, seen: OrderFacts) -> RefusalReason:
        """Send what the gate lets pass: `order`, or of one that would turn the position the part that closes it."""
        self.guard()
        proposal = self._proposal(order, seen)
        reason = self.gate.check(proposal, seen)
        if reason is RefusalReason.PASSED:
            self._send(order, proposal, seen.now_ns)
            return reason
        if self._listener is not None:
            self._listener.refusal(proposal, order.lots, reason, self._decision, seen.now_ns)
        part = self._closing_part(order, seen)
        if part is not None:
            closing = self._proposal(part, seen)
            if self.gate.check(closing, seen) is RefusalReason.PASSED:
                self._send(part, closing, seen.now_ns)
        return reason

    def _closing_part(self, order: OrderRequest, seen: OrderFacts) -> OrderRequest | None:
        """What of an order that turns the position closes it; None: it does not turn it, or that is too little."""
        lots = whole_lots(reducible(order.side, seen), self._lot_size)
        if lots >= order.lots or lots * self._lot_size * seen.mid <= self._min_notional:
            return None
        return OrderRequest(
            order.order_id, order.side, lots, order.order_type, order.price_ticks, order.time_in_force,
            order.post_only, reduce_only=True,
        )  # fmt: skip

    def _proposal(self, order: OrderRequest, seen: OrderFacts) -> Proposal:
        limited = order.order_type is OrderType.LIMIT
        price = order.price_ticks * self._tick_size if limited else seen.mid
        return Proposal(order.side, order.lots * self._lot_size, price)

    def _make_way(self, order: OrderRequest | None, wanted: Wanted, ts_ns: int) -> str:
        """Keep the working order if it is what is wanted; otherwise cancel it and remember what is."""
        for working in self._working.values():
            move = working.move(order)
            if move == KEEP:
                return NO_ORDER
            if move == CANCEL:
                self._cancel(working, ts_ns)
        if order is not None:
            self._replacement = wanted
        return REPLACING

    def _cancel(self, working: _Working, ts_ns: int) -> None:
        if not working.cancelling:
            working.cancelling = True
            self.broker.cancel(working.order.order_id, ts_ns)

    def _replace(self, ts_ns: int) -> None:
        """Send what the last decision wanted, now that the order in its way is gone."""
        wanted, self._replacement = self._replacement, None
        if wanted is not None:
            self.bridge.refresh(self.broker.account, self.broker.view)
            self._act(wanted, self.bridge.facts, 0.0, 0.0, ts_ns)

    def _send(self, order: OrderRequest, proposal: Proposal, ts_ns: int) -> None:
        self._next_order_id += 1
        self._working[order.order_id] = _Working(order, order.lots)
        if self._listener is not None:
            self._listener.intent(order, self._decision, ts_ns)
        self.gate.record(proposal, ts_ns)
        self.broker.submit(order, ts_ns)

    def _known(self, fill: Filled) -> bool:
        """Whether this fill was reported before; the last `_FILLS_REMEMBERED` are remembered."""
        if fill.fill_id in self._fills:
            return True
        self._fills[fill.fill_id] = None
        if len(self._fills) > _FILLS_REMEMBERED:
            del self._fills[next(iter(self._fills))]
        return False

    def _follow(self, event: OrderEvent) -> None:
        if isinstance(event, Filled) and self._known(event):
            return
        order_id = getattr(event, "order_id", 0)
        working = self._working.get(order_id)
        if isinstance(event, Rejected):
            self.rejects += 1
        if self._listener is not None:
            self._listener.event(event, working.order if working else None)
        if working is None:
            return
        if isinstance(event, Filled):
            working.remaining = min(working.remaining, working.order.lots - event.cumulative_lots)
        elif isinstance(event, CancelRejected):
            working.cancelling = False
        if working.remaining == 0 or isinstance(event, _OVER):
            del self._working[order_id]
            if not self._working:
                self._replace(max(event.ts_ns, self.broker.view["ts_ns"].item()))
