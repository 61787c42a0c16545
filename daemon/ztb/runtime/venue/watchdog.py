"""The watchdog's own program: makes ready, waits for its input to end, then clears up what the daemon left behind.

The kernel ends its input in the moment in which the daemon dies, however that comes about. From then on it looks again
and again. A look cancels first and then sees what the account holds, so that what was filled before the cancels is
seen; none is the last before everything that was on its way to the venue must have come there.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import msgspec
import structlog

from ztb.config import MarketSection
from ztb.execution.protection import trigger_price
from ztb.market.live.client import Row
from ztb.runtime.venue.client import PrivateClient, is_unknown_order, outcome_of, private_client
from ztb.runtime.venue.handover import StopPutBack, working, write_down
from ztb.runtime.venue.left_behind import (
    Cover,
    Holdings,
    LeftBehind,
    StandingStop,
    last_floor,
    look,
    stops_of,
)
from ztb.runtime.venue.throttle import OrdersFirst, as_order
from ztb.runtime.venue.translation import sale_in_place, stop_sale
from ztb.secrets import known_secrets
from ztb.telemetry.logs import configure_logging

_TRIES = 20  # in a row without success
_SOONEST_S, _LONGEST_S = 0.2, 30.0  # between two of them
_LOOK_S = 0.5  # between two looks that found nothing to do
_REACHED = 0.001  # of the bid: a price so near to a stop would reach it on its way there
_SHORT = 0.005  # of the floor: a stop of the daemon's, which moves by steps, may bring so much less


class Clearing:
    """The work of a watchdog on what a daemon `left`; `floor`: the equity that its stops keep, 0: there are none."""

    def __init__(self, client: PrivateClient, left: LeftBehind, floor: float) -> None:
        self.cancelled = 0
        self._client = client
        self._left = left
        self._stops = Stops(client, left, left.cover, floor) if left.cover and floor > 0.0 else None

    async def run(self) -> None:
        """Look and act until nothing is left to do and nothing can come any more, or until a daemon is there again.

        A folder that is held may still be the dead one's: the kernel ends our input and lets go of its lock one after
        the other.
        """
        loop = asyncio.get_running_loop()
        late_s = loop.time() + self._left.patience_s
        tries = 0
        while tries < _TRIES:
            looked_s = loop.time()
            clear = await self._look()
            if clear is not False and looked_s >= late_s:
                return
            tries = tries + 1 if clear is False else 0
            await asyncio.sleep(_LOOK_S if clear else min(_SOONEST_S * 2 ** max(0, tries - 1), _LONGEST_S))

    async def _look(self) -> bool | None:
        """Look once and do what is to be done; True if that was nothing, None if it is not ours to do."""
        try:
            with working(Path(self._left.folder)) as ours:
                return await self._clear() if ours else None
        except Exception as error:  # noqa: BLE001 (a supervisor: the next try may do it)
            structlog.get_logger().warning("watchdog_tries_again", reason=type(error).__name__)
            return False

    async def _clear(self) -> bool:
        rows = await self._client.fetch_open_orders(self._left.symbol)
        decided = [row for row in rows if self._left.decided(row)]
        await asyncio.gather(*[self._cancel(row) for row in decided])
        covered = self._stops is None or await self._stops.cover(rows)
        return covered and not decided

    async def _cancel(self, row: Row) -> None:
        """Ask for an order's end; whether it came, the next look tells."""
        try:
            with as_order():
                await self._client.cancel_order(str(row["id"]), self._left.symbol, {})
            self.cancelled += 1
        except Exception as error:  # noqa: BLE001 (as above; one that has ended by itself is nothing to speak of)
            if not is_unknown_order(error):
                structlog.get_logger().warning("watchdog_tries_again", reason=type(error).__name__)


class Stops:
    """Keeps one stop over all that is held. What is sent has a number of its own and is written down before."""

    def __init__(self, client: PrivateClient, left: LeftBehind, cover: Cover, floor: float) -> None:
        self._client = client
        self._left = left
        self._cover = cover
        self._floor = floor
        self._sent: list[StopPutBack] = []
        self._lowest_ticks = 0  # of the stops that stood
        self._refused = 0  # in a row
        self._yielded = False

    async def cover(self, rows: list[Row]) -> bool:
        """Protect what has no stop, `rows` being the open orders; True if all of it has one that is as good.

        Stops that stand may have been reckoned for less, and one may have come while we looked: with them more may be
        lost than the floor allows. One for all takes their place. Where the floor has been reached meanwhile, all is
        sold at once, as a stop would have done.
        """
        held = await look(
            self._client, self._left.symbol, self._cover, stops_of(rows, self._left, self._cover)
        )
        if held.lots <= 0:
            return True
        trigger_ticks = self._trigger_ticks(held)
        if _nothing_free(held, self._cover, trigger_ticks) and self._are_as_good(held, trigger_ticks):
            return True
        number = self._cover.order_id + len(self._sent)
        stop = StopPutBack(number, f"{self._left.prefix}{number}", held.lots, trigger_ticks)
        self._sent.append(stop)
        write_down(self._sent, Path(self._left.folder))
        await self._put(stop, held)
        return False

    def _are_as_good(self, held: Holdings, trigger_ticks: int) -> bool:
        """True if the stops that stand bring about as much as one for all would, or none stands.

        And where one stands at a price that the venue has taken after it had refused a better one.
        """
        stand = sum(stop.lots * stop.trigger_ticks for stop in held.stops)
        money = float((held.lots * trigger_ticks - stand) * self._cover.lot * self._cover.tick)
        return not held.stops or self._yielded or money <= _SHORT * self._floor

    def _trigger_ticks(self, held: Holdings) -> int:
        """The price of all. What is refused again is tried where the lowest of the stops before it stood."""
        price = trigger_price(self._floor, held.cash, held.position, (held.bid + held.ask) / 2.0)
        ticks = int(Decimal(repr(price)) / self._cover.tick)
        self._lowest_ticks = min([stop.trigger_ticks for stop in held.stops], default=self._lowest_ticks)
        return self._lowest_ticks if self._refused > 1 and self._lowest_ticks else ticks

    async def _put(self, stop: StopPutBack, held: Holdings) -> None:
        """Send `stop`, which is written down; whether it has come, the next look tells."""
        reached = float(stop.trigger_ticks * self._cover.tick) >= held.bid * (1.0 - _REACHED)
        try:
            with as_order():
                await self._make_way(held.stops[:-1])
                await self._send(stop, reached, held.stops[-1:])
        except Exception as error:  # noqa: BLE001 (as above)
            self._refused += outcome_of(error) == "refused"
            structlog.get_logger().warning("watchdog_stop_not_taken", reason=type(error).__name__)
        else:
            self._yielded = self._refused > 1
            self._refused = 0
            structlog.get_logger().warning(
                "watchdog_put_the_stop_back", sold=reached, **msgspec.to_builtins(stop)
            )

    async def _make_way(self, stops: list[StandingStop]) -> None:
        for stop in stops:
            await self._client.cancel_order(stop.number, self._left.symbol, {})

    async def _send(self, stop: StopPutBack, reached: bool, instead: list[StandingStop]) -> None:
        """Send it in the place of the one that stands, in one request, so that something always does."""
        quantity = stop.lots * self._cover.lot
        trigger = None if reached else stop.trigger_ticks * self._cover.tick
        symbol = self._left.symbol
        if instead:
            call = sale_in_place(quantity, trigger, stop.client_id)
            await self._client.edit_order(
                instead[0].number, symbol, call.type, call.side, call.amount, call.price, call.params
            )
        else:
            call = stop_sale(quantity, trigger, stop.client_id)
            await self._client.create_order(
                symbol, call.type, call.side, call.amount, call.price, call.params
            )


def _nothing_free(held: Holdings, cover: Cover, trigger_ticks: int) -> bool:
    """True if nothing is without a stop, or less than the venue lets anybody sell."""
    rest = held.free_lots * cover.lot
    return (
        rest <= 0
        or rest < Decimal(cover.min_quantity)
        or rest * trigger_ticks * cover.tick < Decimal(cover.min_notional)
    )


def client_for(left: LeftBehind, environment: Mapping[str, str]) -> PrivateClient:
    """A client that knows its market, so that its first request is the one that counts."""
    client = private_client(MarketSection.model_validate(left.market), environment)
    client.throttler = OrdersFirst(client.tokenBucket)
    if left.listed is not None:
        client.set_markets([left.listed])
    return client


async def act(left: LeftBehind, floor: float, client: PrivateClient) -> int:
    """Cancel, and cover what that uncovered; how many orders were cancelled."""
    clearing = Clearing(client, left, floor)
    try:
        await clearing.run()
    finally:
        await client.close()
    return clearing.cancelled


def main() -> None:
    """Wait, then act, unless the daemon said that it leaves on purpose."""
    left = msgspec.json.decode(sys.stdin.readline(), type=LeftBehind)
    client = client_for(left, os.environ)
    floor = last_floor(sys.stdin)
    if floor is None:
        return
    configure_logging(secrets=known_secrets())
    count = asyncio.run(act(left, floor, client))
    structlog.get_logger().warning("watchdog_cancelled", orders=count)


if __name__ == "__main__":
    main()
