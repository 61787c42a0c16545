"""A lane's place on the trading floor: its account, its broker and the orders at work, read and restored in Python."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ztb.errors import InvariantError
from ztb.execution.fills import show_price
from ztb.execution.orders import Filled, OpenOrder, OrderRequest, OrderType, TimeInForce
from ztb.execution.paper import PaperExchange
from ztb.ports import Broker
from ztb.trading.bridge import FACT_EQUITY
from ztb.trading.floor import TradingFloor
from ztb.trading.lane_state import MOST_AT_WORK

_FILLS_REMEMBERED = 4096


class LanePlace:
    """A lane as Python reads and restores it; its place on the floor is taken when it is made."""

    def __init__(self, floor: TradingFloor, broker: Broker) -> None:
        self.floor = floor
        self.place = floor.enter()
        self.broker = broker
        self._lane = floor.lanes.lane[self.place : self.place + 1]
        self._fills: dict[int, None] = {}

    @property
    def on_paper(self) -> bool:
        """True if its venue is the paper exchange beside it on the floor."""
        return isinstance(self.broker, PaperExchange)

    @property
    def told(self) -> bool:
        """True if somebody listens, or a venue is to be sent to."""
        return bool(self._lane["told"][0])

    @property
    def guarded(self) -> bool:
        """True if somebody is asked before each order."""
        return bool(self._lane["guarded"][0])

    def take_log(self) -> NDArray[np.void]:
        """The rows of LOGGED (n,) that kernels have written since the last call."""
        logged: int = self._lane["logged"].item()
        self._lane["logged"] = 0
        return self.floor.lanes.log[self.place, :logged].copy()

    @property
    def rejects(self) -> int:
        """Orders that the venue rejected."""
        return int(self._lane["rejects"][0])

    @rejects.setter
    def rejects(self, rejects: int) -> None:
        self._lane["rejects"] = rejects

    @property
    def aim(self) -> float:
        """The exposure that the lane last wanted: waiting changes nothing."""
        aim: float = self.floor.lanes.lane["aim"].item(self.place)
        return aim

    @property
    def equity(self) -> float:
        """Cash plus position at the mid of the lane's own view, quote currency."""
        lanes, place = self.floor.lanes, self.place
        account = lanes.account
        cash: float = account["cash"].item(place)
        position: float = account["position"].item(place)
        mid: float = lanes.market["mid"].item(place)
        return cash + position * mid

    @property
    def position(self) -> float:
        """Base currency held."""
        held: float = self.broker.account["position"].item()
        return held

    @property
    def marked(self) -> float:
        """Equity at its last decision, quote currency."""
        return self.floor.lanes.facts.item(self.place, FACT_EQUITY)

    @property
    def timing(self) -> int:
        """Of its last decision, see `trading.sizing`."""
        return self.floor.choices.actions.item(self.place, 1)

    @property
    def working(self) -> list[OpenOrder]:
        """Orders that may still fill, oldest first."""
        rows = self.floor.lanes.working[self.place, : self._lane["working"][0]].tolist()
        return [OpenOrder(_request(row), row[3]) for row in rows]

    def remember_price(self, ts_ns: int, mid: float) -> None:
        """Show the lane the last price (quote currency) of an earlier start, which no other lane has seen."""
        show_price(self.broker.view, ts_ns, mid)
        self._lane["in_step"] = 0

    def resume(self, next_order_id: int, fills: Iterable[int], working: Iterable[OpenOrder]) -> None:
        """Go on after a restart: the orders that still work, and the latest fills, so that none counts twice.

        InvariantError: more orders work than a lane ever has.
        """
        left = list(working)
        if len(left) > MOST_AT_WORK:
            raise InvariantError(f"{len(left)} orders were left open; a lane has {MOST_AT_WORK} at most")
        self._lane["orders"], self._lane["working"] = next_order_id - 1, len(left)
        self._fills = dict.fromkeys(list(fills)[-_FILLS_REMEMBERED:])
        for row, open_ in zip(self.floor.lanes.working[self.place], left, strict=False):
            request = open_.request
            for name in (
                "order_id",
                "side",
                "lots",
                "order_type",
                "price_ticks",
                "time_in_force",
                "post_only",
            ):
                row[name] = getattr(request, name)
            row["remaining"], row["reduce_only"], row["cancelling"] = (
                open_.remaining_lots,
                request.reduce_only,
                0,
            )

    @property
    def resting(self) -> bool:
        """True if an order works whose end was not asked for, or was refused."""
        working = self.floor.lanes.working[self.place, : self._lane["working"][0]]
        return bool(np.any(working["cancelling"] == 0))

    def _known(self, fill: Filled) -> bool:
        """True if this fill was reported before; the last `_FILLS_REMEMBERED` are remembered."""
        if fill.fill_id in self._fills:
            return True
        self._fills[fill.fill_id] = None
        if len(self._fills) > _FILLS_REMEMBERED:
            del self._fills[next(iter(self._fills))]
        return False


def _request(row: tuple[int, ...]) -> OrderRequest:
    """The order that a row of ORDER_AT_WORK stands for."""
    order_id, side, lots, _, order_type, price, time_in_force, post_only, reduce_only, _ = row
    return OrderRequest(
        order_id=order_id,
        side=side,
        lots=lots,
        order_type=OrderType(order_type),
        price_ticks=price,
        time_in_force=TimeInForce(time_in_force),
        post_only=bool(post_only),
        reduce_only=bool(reduce_only),
    )
