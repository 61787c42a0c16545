"""The watchdog's own program: reads what to do, waits for its input to end, cancels what the daemon left open, and puts
the protective stop back over what that uncovered.

A stop of the watchdog's is written down before it is sent (`PUT_BACK`), for whoever starts next. It sends none while a
daemon holds the run's folder; one that starts waits for `watchdog.lock`, which is held from that look to the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
from collections.abc import Generator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from ztb.config import MarketSection
from ztb.execution.orders import is_protective
from ztb.execution.protection import trigger_price
from ztb.ledger.run_directory import RunDirectory
from ztb.secrets import known_secrets
from ztb.telemetry.logs import configure_logging
from ztb.utils import files

if TYPE_CHECKING:
    from ztb.runtime.venue.client import PrivateClient

PUT_BACK, LOCK = "put_back.json", "watchdog.lock"
FLOOR = "floor "
"""What a line begins with that says below what equity (quote currency) the account shall not fall."""
_TRIES = 20
_BETWEEN_S = 1.0
_AWAY = 0.01  # of the bid: a stop where the price is already would be refused


class Cover(msgspec.Struct, frozen=True):
    """The way to put a stop back: number and client id of it, in which run's `folder`, on what grid."""

    folder: str
    order_id: int
    client_id: str
    base: str
    quote: str
    lot_size: str
    tick_size: str
    min_notional: str
    min_quantity: str


class LeftBehind(msgspec.Struct, frozen=True):
    """A daemon's word to its watchdog: whose orders to cancel where, and how to `cover` the position, if at all."""

    market: dict[str, Any]
    symbol: str
    prefix: str
    cover: Cover | None = None


class StopPutBack(msgspec.Struct, frozen=True):
    """A stop that was sent, or was about to be: whole lots and ticks."""

    order_id: int
    client_id: str
    lots: int
    trigger_ticks: int


@contextlib.contextmanager
def working(folder: Path) -> Generator[bool]:
    """True if it is ours to act while the context lasts: no daemon, and no other watchdog, is at work on `folder`."""
    with (folder / LOCK).open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield not RunDirectory(folder).is_held


async def at_rest(folder: Path, patience_s: float) -> None:
    """Wait until no watchdog is at work on `folder`, or for so long."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + patience_s
    with contextlib.suppress(FileNotFoundError), (folder / LOCK).open("rb") as lock:
        while loop.time() < deadline_s:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(_BETWEEN_S / 10)
            else:
                return


async def act(left: LeftBehind, floor: float, environment: Mapping[str, str]) -> int:
    """Cancel, and cover what that uncovered; how many orders were cancelled."""
    market = MarketSection.model_validate(left.market)
    count = await cancel_left_over(market, left.symbol, left.prefix, environment)
    if left.cover is not None and floor > 0.0:
        # Imported here alone: until it is needed, the watchdog is a small process.
        from ztb.runtime.venue.client import private_client

        client = private_client(market, environment)
        try:
            await _cover(client, left.symbol, left.cover, floor)
        finally:
            await client.close()
    return count


async def cancel_left_over(
    market: MarketSection, symbol: str, prefix: str, environment: Mapping[str, str] = os.environ
) -> int:
    """Cancel the orders of ours that are open now; how many. A daemon that has started again keeps its new ones."""
    from ztb.runtime.venue.client import is_unknown_order, private_client

    client = private_client(market, environment)
    left: list[str] | None = None
    count = 0
    for _ in range(_TRIES):
        try:
            if left is None:
                rows: list[dict[str, Any]] = await client.fetch_open_orders(symbol)
                left = [str(row["id"]) for row in rows if _decided(str(row.get("clientOrderId")), prefix)]
            while left:
                await client.cancel_order(left[-1], symbol, {})
                left.pop()
                count += 1
            break
        except Exception as error:  # noqa: BLE001 (a supervisor: the next try may do it)
            if left and is_unknown_order(error):
                left.pop()  # it has ended by itself
                continue
            structlog.get_logger().warning("watchdog_tries_again", reason=type(error).__name__)
            await asyncio.sleep(_BETWEEN_S)
    await client.close()
    return count


def _protects(client_id: str, prefix: str) -> bool:
    """True if an order is a protective stop of ours."""
    number = client_id.removeprefix(prefix)
    return client_id.startswith(prefix) and number.isdecimal() and is_protective(int(number))


def _decided(client_id: str, prefix: str) -> bool:
    """True if an order is ours, and no protective stop: that is what is left of us."""
    return client_id.startswith(prefix) and not _protects(client_id, prefix)


async def _cover(client: PrivateClient, symbol: str, cover: Cover, floor: float) -> None:
    """Place a stop over all that is held, if some of it has none. What the venue may have taken is not sent again.

    One that stands for less was reckoned for less: it would let more be lost than the floor, and makes way.
    """
    from ztb.runtime.venue.client import outcome_of
    from ztb.runtime.venue.translation import stop_sale

    for _ in range(_TRIES):
        with working(Path(cover.folder)) as ours:
            if not ours:
                return
            sent = False
            try:
                stop = await _uncovered(client, symbol, cover, floor)
                if stop is not None and await _take_away_stops(client, symbol, cover):
                    stop = await _uncovered(client, symbol, cover, floor)
                if stop is None:
                    return
                files.write_durably(Path(cover.folder) / PUT_BACK, msgspec.json.encode(stop))
                call = stop_sale(
                    stop.lots * Decimal(cover.lot_size),
                    stop.trigger_ticks * Decimal(cover.tick_size),
                    stop.client_id,
                )
                sent = True
                await client.create_order(symbol, call.type, call.side, call.amount, call.price, call.params)
                structlog.get_logger().warning("watchdog_put_the_stop_back", **msgspec.to_builtins(stop))
                return
            except Exception as error:  # noqa: BLE001 (as above)
                if sent and outcome_of(error) == "unknown":
                    return
                structlog.get_logger().warning("watchdog_tries_again", reason=type(error).__name__)
        await asyncio.sleep(_BETWEEN_S)


async def _take_away_stops(client: PrivateClient, symbol: str, cover: Cover) -> bool:
    """Cancel the stops of ours that stand; whether there were any."""
    from ztb.runtime.venue.client import is_unknown_order

    prefix = cover.client_id.removesuffix(str(cover.order_id))
    rows: list[dict[str, Any]] = await client.fetch_open_orders(symbol)
    stops = [str(row["id"]) for row in rows if _protects(str(row.get("clientOrderId")), prefix)]
    for stop in stops:
        try:
            await client.cancel_order(stop, symbol, {})
        except Exception as error:
            if not is_unknown_order(error):  # else it has sold
                raise
    return bool(stops)


async def _uncovered(client: PrivateClient, symbol: str, cover: Cover, floor: float) -> StopPutBack | None:
    """The position held without a stop; None if that is too little to be sold."""
    balance, book = await client.fetch_balance(), await client.fetch_order_book(symbol, 5)
    bid, ask = float(book["bids"][0][0]), float(book["asks"][0][0])
    lot, tick = Decimal(cover.lot_size), Decimal(cover.tick_size)
    lots = int(Decimal(str(balance["free"][cover.base])) // lot)
    cash, position, mid = (
        float(balance["total"][cover.quote]),
        float(balance["total"][cover.base]),
        (bid + ask) / 2.0,
    )
    if lots <= 0:
        return None
    price = min(trigger_price(floor, cash, position, mid), bid * (1.0 - _AWAY))
    ticks = int(Decimal(repr(price)) / tick)
    quantity = lots * lot
    if quantity < Decimal(cover.min_quantity) or quantity * ticks * tick < Decimal(cover.min_notional):
        return None
    return StopPutBack(cover.order_id, cover.client_id, lots, ticks)


def main() -> None:
    """Wait, then act, unless the daemon said that it leaves on purpose."""
    left = msgspec.json.decode(sys.stdin.readline(), type=LeftBehind)
    floor = 0.0
    for line in sys.stdin:
        if line.startswith("released"):
            return
        if line.startswith(FLOOR):
            floor = float(line.removeprefix(FLOOR))
    configure_logging(secrets=known_secrets())
    count = asyncio.run(act(left, floor, os.environ))
    structlog.get_logger().warning("watchdog_cancelled", orders=count)


if __name__ == "__main__":
    main()
