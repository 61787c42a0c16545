"""Buying and selling are each other's mirror: where the market is turned upside down, so is everything that happens.

In quotes, trades and depth alone: what is modelled is a fraction of the price, and so no mirror image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest

from execution.exchange_cases import PERP, exchange, quotes, run
from execution.flows import mixed_ticks, random_flow
from ztb.execution.orders import Filled, OrderRequest, OrderType
from ztb.execution.paper import PaperExchange
from ztb.market.ticks import DEPTH, QUOTE, TRADE, Ticks, join_ticks

TWICE_THE_MIDDLE = 200.0
FREE = replace(PERP, min_notional=Decimal(0), maker_fee=Decimal(0), taker_fee=Decimal(0))
LATENCIES = {
    "submit_latency_ms": 4.0,
    "submit_jitter_ms": 4.0,
    "cancel_latency_ms": 6.0,
    "ack_latency_ms": 2.0,
}


def mirrored(ticks: Ticks) -> Ticks:
    turned = ticks.copy()
    turned["price"], turned["side"] = TWICE_THE_MIDDLE - ticks["price"], -ticks["side"]
    quoted = ticks["kind"] == QUOTE
    for name, other in (("bid", "ask"), ("ask", "bid")):
        turned[name][quoted] = TWICE_THE_MIDDLE - ticks[other][quoted]
        turned[f"{name}_size"] = ticks[f"{other}_size"]
    return turned


class Upside:
    """An exchange to which orders come turned round, and from which fills do."""

    def __init__(self, venue: PaperExchange) -> None:
        self._venue = venue
        self.cancel, self.advance = venue.cancel, venue.advance

    def submit(self, order: OrderRequest, now_ns: int) -> None:
        limited = order.order_type is OrderType.LIMIT
        price = round(2 * TWICE_THE_MIDDLE) - order.price_ticks if limited else 0
        self._venue.submit(msgspec.structs.replace(order, side=-order.side, price_ticks=price), now_ns)

    def events(self) -> list[Any]:
        def turn(event: Any) -> Any:
            if not isinstance(event, Filled):
                return event
            return msgspec.structs.replace(event, price_ticks=round(2 * TWICE_THE_MIDDLE) - event.price_ticks)

        return [turn(event) for event in self._venue.events()]


@pytest.mark.parametrize("seed", range(8))
def test_a_market_upside_down_is_traded_upside_down(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kinds = [(QUOTE, TRADE), (QUOTE, TRADE, DEPTH)][seed % 2]
    ticks = join_ticks([quotes((0, 99.5, 100.5, 3.0, 2.0)), mixed_ticks(rng, 120, kinds)])
    flow: dict[int, list[Callable[..., None]]] = random_flow(rng, 121, 30)  # type: ignore[assignment]
    model = "proportional" if seed % 4 > 1 else "pessimistic"
    plain, turned = (
        exchange(FREE, queue_model=model, impact_half_life_ms=50.0, **LATENCIES) for _ in range(2)
    )
    events = run(plain, ticks, flow)
    assert run(Upside(turned), mirrored(ticks), flow) == events  # type: ignore[arg-type]
    assert sum(isinstance(event, Filled) for event in events) > 8
    assert turned.exchange["position_lots"][0] == -plain.exchange["position_lots"][0]
    ours, theirs = plain.account[0], turned.account[0]
    assert theirs["position"] == -ours["position"] and theirs["traded_notional"] > 0.0
