"""The gateway to a venue: carries out what the broker has taken, in a task of its own.

An intent is durable before it is sent. An order whose sending had no answer is asked for by its client id until the
venue knows it, or cannot take it any more (`patience_s`, beyond the venue's own window); it is never sent again. A
cancel is, until the venue says that the order is over. Protective stops go the same way, between two orders of a lane.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import assert_never

from ztb.errors import ConfigError, VenueError
from ztb.execution.orders import OrderRequest
from ztb.market.live.client import Row
from ztb.market.live.rest import Rest
from ztb.runtime.venue.broker import CancelCommand, ProtectCommand, SubmitCommand, VenueBroker, VenueCommand
from ztb.runtime.venue.client import PrivateClient, is_unknown_order, outcome_of
from ztb.runtime.venue.orders import VenueOrder
from ztb.runtime.venue.protection import Protection
from ztb.runtime.venue.throttle import as_order
from ztb.runtime.venue.translation import sending

_ASK_AGAIN_S = 0.5
_WORST_FRACTION = 0.02  # of the price, where a venue takes no market order without one


@dataclass(frozen=True, slots=True)
class GatewayCallbacks:
    """Others' side of the gateway: `durable` returns when the journal is, `stopped` says why an order may not be sent
    any more ("" if it may), `heard` is called when there are events to collect, `warn` hears of trouble.
    """

    durable: Callable[[], Awaitable[None]]
    stopped: Callable[[OrderRequest], str]
    heard: Callable[[], None]
    warn: Callable[[str, str], None]


class OrderGateway:
    """Sends orders and asks for their ends. Without a `protection` no stop stands at the venue."""

    def __init__(
        self,
        broker: VenueBroker,
        client: PrivateClient,
        rest: Rest,
        patience_s: float,
        callbacks: GatewayCallbacks,
        protection: Protection | None = None,
    ) -> None:
        self.broker = broker
        self.client = client
        self.rest = rest
        self.table = broker.table
        self._instrument = broker.instrument
        self.patience_s = patience_s
        self._callbacks = callbacks
        self._protection = protection
        self._asking: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Send what is asked for, in order, until cancelled."""
        async with asyncio.TaskGroup() as self._asking:
            # What was taken meanwhile waits to be sent: nobody need ask for that.
            for order in self.table.open:
                if order.unknown:
                    self._asking.create_task(self.ask(order), name=f"ask-{order.order_id}")
            while True:
                await self._carry_out(await self.broker.next_command())
                self._tell()

    async def _carry_out(self, command: VenueCommand) -> None:
        match command:
            case SubmitCommand(order):
                if self._protection is not None and not self._callbacks.stopped(order.request):
                    await self._protection.make_way(order.request, self)
                await self.send(order)
            case CancelCommand(order):
                await self._cancel_once(order)
            case ProtectCommand():
                if self._protection is not None:
                    await self._protection.follow(self)
            case _:
                assert_never(command)

    async def send(self, order: VenueOrder) -> None:
        """Send one order; what became of it is asked for beside, if need be."""
        if not await self._submit(order) and self._asking is not None:
            self._asking.create_task(self.ask(order), name=f"ask-{order.order_id}")

    async def end(self, order: VenueOrder) -> None:
        """Ask for the end of an order, beside again and again if need be."""
        asked = self.table.cancel_asked(order.order_id, self._now_ns())
        if asked is not None:
            await self._cancel_once(asked)

    async def _cancel_once(self, order: VenueOrder) -> None:
        if not await self._cancel(order) and self._asking is not None:
            self._asking.create_task(self._end(order), name=f"cancel-{order.order_id}")

    async def _submit(self, order: VenueOrder) -> bool:
        """Send one order; False if what became of it must be asked for."""
        await self._callbacks.durable()
        stopped = self._callbacks.stopped(order.request)
        if stopped:
            self.table.refused(order, stopped, self._now_ns())
            return True
        call = sending(order.request, self._instrument, order.client_id, self._worst(order.request))
        try:
            with as_order():
                row = await self.client.create_order(
                    self._instrument.symbol, call.type, call.side, call.amount, call.price, call.params
                )
        except Exception as error:  # noqa: BLE001 (ccxt raises what it likes: what is not a refusal is unknown)
            return self._not_sent(order, error)
        self._answered(order, row)
        return True

    def _not_sent(self, order: VenueOrder, error: Exception) -> bool:
        reason = type(error).__name__
        if outcome_of(error) == "refused":
            self.table.refused(order, reason, self._now_ns())
            return True
        self.table.lost_sight(order, reason, self._now_ns())
        return False

    async def ask(self, order: VenueOrder) -> None:
        """Find out what became of an order by its client id, however long the venue takes to answer."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.patience_s
        while not order.done and not order.accepted:
            asked_s = loop.time()
            try:
                await self.look_at(order)
            except VenueError as error:
                self._callbacks.warn("order_unknown", f"order {order.order_id}: {error}")
            else:
                # The order may have come after the asking, and the answer long after that.
                if not order.accepted and asked_s >= deadline:
                    self.table.refused(order, "never_arrived", self._now_ns())
            self._tell()
            if not order.done and not order.accepted:
                await asyncio.sleep(_ASK_AGAIN_S)
        if order.cancel_wanted and not order.done:
            self.broker.cancel_sent(order)

    async def look_at(self, order: VenueOrder) -> bool:
        """Ask the venue for one order; False if it does not know it. VenueError if it does not answer."""
        symbol, params = self._instrument.symbol, {"clientOrderId": order.client_id}

        async def fetch() -> Row | None:
            try:
                return await self.client.fetch_order(order.venue_id, symbol, params)
            except Exception as error:
                if is_unknown_order(error):
                    return None
                raise

        row = await self.rest.call(lambda _client: fetch())
        if row is None:
            return False
        self._answered(order, row)
        return True

    async def _cancel(self, order: VenueOrder) -> bool:
        """Ask for an order's end; False if it must be asked for again."""
        if not order.want_cancel():
            return True
        try:
            row = await self._ask_to_cancel(order)
        except Exception as error:  # noqa: BLE001 (as above)
            self._callbacks.warn("cancel_failed", f"order {order.order_id}: {type(error).__name__}")
        else:
            if row is None:
                self.table.cancel_refused(order, "unknown_order", self._now_ns())
            else:
                self._answered(order, row)
        order.ending = not order.over
        return order.over

    async def _ask_to_cancel(self, order: VenueOrder) -> Row | None:
        """The venue's answer; None if it does not know the order, or not as an open one. Raises what ccxt does."""
        params = {"clientOrderId": order.client_id}
        try:
            with as_order():
                return await self.client.cancel_order(order.venue_id, self._instrument.symbol, params)
        except Exception as error:
            if is_unknown_order(error):
                return None
            raise

    async def _end(self, order: VenueOrder) -> None:
        """Cancel an order again and again until the venue says that it is over."""
        while not order.over:
            try:
                row = await self.rest.call(lambda _client: self._ask_to_cancel(order))
                if row is None:
                    await self.look_at(order)
                else:
                    self._answered(order, row)
            except (VenueError, ConfigError) as error:
                self._callbacks.warn("cancel_failed", f"order {order.order_id}: {error}")
            self._tell()
            await asyncio.sleep(_ASK_AGAIN_S)
        order.ending = False

    def _answered(self, order: VenueOrder, row: Row) -> None:
        """The venue's answer to a request about `order`, which need not name our id for it."""
        self.table.told({**row, "clientOrderId": order.client_id}, self._now_ns())

    def _worst(self, order: OrderRequest) -> float | None:
        """A price for a market order, where the venue wants one."""
        if not self.client.options.get("createMarketBuyOrderRequiresPrice") or order.side < 0:
            return None
        return float(self.broker.view["ask"].item() * (1.0 + _WORST_FRACTION))

    def _tell(self) -> None:
        if self.table.events:
            self._callbacks.heard()

    def _now_ns(self) -> int:
        return self.broker.now_ns()
