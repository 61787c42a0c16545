"""Every check of the gate is needed: with that one deleted, an order that it alone refuses goes through."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from typing import Any

import pytest

from ztb.execution import risk_gate
from ztb.execution.risk import DAY_NS, RefusalReason, RiskLimits
from ztb.execution.risk_gate import OrderFacts, Proposal, RiskGate

NOW = 10 * DAY_NS
FACTS = OrderFacts(
    now_ns=NOW, market_ts_ns=NOW, mid=100.0, position=0.0, equity=1000.0, open_buys=0.0, open_sells=0.0
)
BUY = Proposal(side=1, quantity=1.0, price=100.0)

CASES: dict[RefusalReason, tuple[dict[str, float], Proposal, OrderFacts]] = {
    RefusalReason.HALTED: ({}, BUY, FACTS),
    RefusalReason.REDUCE_ONLY: ({}, BUY, FACTS),
    RefusalReason.NO_MARKET: ({}, BUY._replace(price=0.0), FACTS._replace(mid=0.0)),
    RefusalReason.ORDER_SIZE: ({"max_order_fraction": 0.09}, BUY, FACTS),
    RefusalReason.ORDER_NOTIONAL: ({"max_order_notional_quote": 99.0}, BUY, FACTS),
    RefusalReason.EXPOSURE: ({"max_exposure": 0.35}, BUY, FACTS._replace(open_buys=3.0)),
    RefusalReason.DAILY_LOSS: ({"max_daily_loss_fraction": 0.1}, BUY, FACTS._replace(equity=899.0)),
    RefusalReason.DRAWDOWN: (
        {"max_drawdown_fraction": 0.1, "max_daily_loss_fraction": 1.0},
        BUY,
        FACTS._replace(equity=899.0),
    ),
    RefusalReason.PRICE_BAND: ({"price_band_fraction": 0.01}, BUY._replace(price=101.1), FACTS),
    RefusalReason.STALE_DATA: ({"max_data_age_ms": 5}, BUY, FACTS._replace(market_ts_ns=NOW - 5_000_001)),
    RefusalReason.ORDER_RATE: ({"max_orders_per_minute": 0}, BUY, FACTS),
    RefusalReason.ORDERS_PER_DAY: ({"max_orders_per_day": 0}, BUY, FACTS),
    RefusalReason.REPEATED_SIDE: ({"max_repeated_side": 1}, BUY, FACTS),
    RefusalReason.CROSSED_MARKET: ({}, BUY, FACTS._replace(crossed=True)),
    RefusalReason.HELD: ({}, BUY, FACTS),
}


def test_every_reason_has_a_case():
    assert set(CASES) == set(RefusalReason) - {RefusalReason.PASSED}


class _Deletes(ast.NodeTransformer):
    """Takes out the one statement `if …: return REASON`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.found = 0

    def visit_If(self, node: ast.If) -> Any:
        answer = node.body[0]
        if (
            isinstance(answer, ast.Return)
            and isinstance(answer.value, ast.Name)
            and answer.value.id == self._name
        ):
            self.found += 1
            return None
        return node


def without(reason: RefusalReason) -> dict[str, Any]:
    """The gate's module, as plain Python, with the check for `reason` deleted from its source."""
    deletes = _Deletes(reason.name)
    tree = ast.fix_missing_locations(deletes.visit(ast.parse(inspect.getsource(risk_gate))))
    assert deletes.found == 1
    made: dict[str, Any] = {"__name__": risk_gate.__name__, "kernel": lambda function: function}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "ztb.utils.kernel":
            tree.body.remove(node)
    exec(compile(tree, risk_gate.__file__, "exec"), made)
    return made


@pytest.mark.parametrize("reason", CASES)
def test_without_its_check_the_order_passes(reason):
    limits, order, facts = CASES[reason]
    gate = RiskGate(dataclasses.replace(RiskLimits(), **limits))  # type: ignore[arg-type]
    gate.mark(NOW, 1000.0)
    gate.memory.permission.halted = reason is RefusalReason.HALTED
    gate.memory.permission.reduce_only = reason is RefusalReason.REDUCE_ONLY
    gate.memory.permission.holds = {"stale": ""} if reason is RefusalReason.HELD else {}
    if reason is RefusalReason.REPEATED_SIDE:
        gate.record(order.side, NOW)
    assert gate.check(order, facts) is reason
    assert without(reason)["check_order"](gate.row[0], order, facts) == risk_gate.PASSED
