"""Whatever the venue does, if every open order filled at its worst no limit would be broken, and the books would agree."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.venue.fake_account import INSTRUMENT, PREFIX
from ztb.execution.order_states import OrderProgress, progress_after
from ztb.execution.orders import Filled, OrderRequest, OrderType
from ztb.execution.risk import RefusalReason, RiskLimits
from ztb.execution.risk_gate import OrderFacts, Proposal, RiskGate
from ztb.ledger.accounts import Account
from ztb.runtime.venue.orders import OrderTable, VenueOrder

MID = 60_000.0
LOT = float(INSTRUMENT.lot_size)
LIMITS = RiskLimits(
    max_exposure=0.8, max_order_fraction=0.5, max_orders_per_minute=10**6, max_orders_per_day=10**6,
    max_repeated_side=10**6,
)  # fmt: skip
NOW = 1_700_000_000_000_000_000


class Venue(RuleBasedStateMachine):
    """The venue takes, loses, fills, cancels and repeats itself at will; orders leave through the gate alone."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = RiskGate(LIMITS)
        self.gate.mark(NOW, 6_000.0)
        self.table = OrderTable(INSTRUMENT, PREFIX)
        self.account = Account(INSTRUMENT, Decimal(6_000))
        self.progress: dict[int, OrderProgress] = {}
        self.venue: dict[int, dict] = {}  # what really happened, by order id
        self.requests: dict[int, OrderRequest] = {}
        self.trades: list[dict] = []
        self.held = 0

    def _open(self, side: int) -> float:
        left = [o.request.lots - o.filled_lots for o in self.table.open if o.request.side == side]
        return sum(left) * LOT

    def _facts(self) -> OrderFacts:
        equity = self.account.equity(MID)
        return OrderFacts(NOW, NOW, MID, self.account.position, equity, self._open(1), self._open(-1))

    def _collect(self) -> None:
        while self.table.events:
            event = self.table.events.popleft()
            self.progress[event.order_id] = progress_after(self.progress[event.order_id], event)
            if isinstance(event, Filled):
                side = self.table.orders[event.order_id].request.side
                self.account.fill(side, event.lots, event.price_ticks, event.liquidity, event.fee)

    @rule(side=st.sampled_from([1, -1]), lots=st.integers(1, 20_000))
    def propose(self, side, lots):
        proposal = Proposal(side, lots * LOT, MID)
        if self.gate.check(proposal, self._facts()) is not RefusalReason.PASSED:
            return
        self.gate.record(proposal.side, NOW)
        order = OrderRequest(len(self.requests) + 1, side, lots, OrderType.MARKET)
        self.requests[order.order_id] = order
        self.progress[order.order_id] = OrderProgress(order.order_id, lots)
        self.table.add(order)
        self.venue[order.order_id] = {
            "id": f"v{order.order_id}", "clientOrderId": f"{PREFIX}{order.order_id}", "status": "open",
            "filled": 0.0, "lots": 0,
        }  # fmt: skip

    def _some(self, pick: int) -> VenueOrder:
        open_ = self.table.open
        return open_[pick % len(open_)]

    @precondition(lambda self: self.table.open)
    @rule(pick=st.integers(0, 100))
    def answer_is_lost(self, pick):
        self.table.lost_sight(self._some(pick), "RequestTimeout", NOW)
        self._collect()

    @precondition(lambda self: self.table.open)
    @rule(pick=st.integers(0, 100))
    def venue_tells(self, pick):
        self.table.told(self.venue[self._some(pick).order_id], NOW)
        self._collect()

    @precondition(lambda self: self.table.open)
    @rule(pick=st.integers(0, 100), share=st.floats(0.01, 1.0))
    def venue_fills(self, pick, share):
        order = self._some(pick)
        row = self.venue[order.order_id]
        if row["status"] != "open":
            return
        lots = max(1, int((order.request.lots - row["lots"]) * share))
        row["lots"] += lots
        row["filled"] = float(row["lots"] * INSTRUMENT.lot_size)
        if row["lots"] == order.request.lots:
            row["status"] = "closed"
        self.held += order.request.side * lots
        self.trades.append(
            {
                "id": str(len(self.trades) + 1), "order": row["id"], "timestamp": NOW // 10**6, "price": MID,
                "amount": float(lots * INSTRUMENT.lot_size), "fee": {"cost": 0.0, "currency": "USDT"},
            }
        )  # fmt: skip

    @precondition(lambda self: self.trades)
    @rule(pick=st.integers(0, 100))
    def venue_tells_of_a_trade_perhaps_again(self, pick):
        self.table.traded(self.trades[pick % len(self.trades)])
        self._collect()

    @precondition(lambda self: self.table.open)
    @rule(pick=st.integers(0, 100), tell=st.booleans())
    def cancel(self, pick, tell):
        order = self._some(pick)
        row = self.venue[order.order_id]
        self.table.cancel_asked(order.order_id, NOW)
        if row["status"] == "open":
            row["status"] = "canceled"
        if tell:
            self.table.told(row, NOW)
        self._collect()

    @invariant()
    def worst_case_breaks_no_limit(self):
        """As the venue knows it: what is held there, and all that may still fill there."""
        bound = LIMITS.max_exposure * 6_000.0 * (1.0 + 1e-9)
        open_ = dict.fromkeys((1, -1), 0)
        for order_id, row in self.venue.items():
            request = self.requests[order_id]
            if row["status"] == "open":
                open_[request.side] += request.lots - row["lots"]
        assert (self.held + open_[1]) * LOT * MID <= bound
        assert (-self.held + open_[-1]) * LOT * MID <= bound

    def teardown(self):
        """Once the venue has told everything, our books are its."""
        for row in self.venue.values():
            self.table.told(row, NOW)
        for trade in self.trades:
            self.table.traded(trade)
        self._collect()
        assert self.account.lots == self.held and not self.table.foreign


TestWorstCase = Venue.TestCase
TestWorstCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
