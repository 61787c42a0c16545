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
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class _Standing:
    """A stop of ours at the venue: its number there, whole lots and ticks."""

    number: str
    lots: int
    trigger_ticks: int


@dataclass(frozen=True, slots=True)
class _Held:
    """The account at the venue: cash and position in their currency, lots that nothing locks, our stops, the touch."""

    cash: float
    position: float
    free_lots: int
    stops: list[_Standing]
    bid: float
    ask: float


async def _cover(client: PrivateClient, symbol: str, cover: Cover, floor: float) -> None:
    """Place a stop over all that is held, if some of it has none. What the venue may have taken is not sent again.

    Those that stand were reckoned for less: with them more may be lost than the floor allows. They lock what they would
    sell and make way, once the next one is known and written down: nothing stands from that request to the one after
    it. If the venue refuses the new one, all is to be sold where the lowest of them stood.
    """
    for _ in range(_TRIES):
        with working(Path(cover.folder)) as ours:
            if not ours:
                return
            try:
                held = await _look(client, symbol, cover)
                stop = _uncovered(held, cover, floor)
                if stop is None:
                    return
                _write_down(stop, cover)
                if await _take_away_stops(client, symbol, held.stops) or not held.stops:
                    if await _taken(client, symbol, cover, stop):
                        return
                    if held.stops:
                        again = msgspec.structs.replace(
                            stop, trigger_ticks=min(s.trigger_ticks for s in held.stops)
                        )
                        _write_down(again, cover)
                        if await _taken(client, symbol, cover, again):
                            return
            except Exception as error:  # noqa: BLE001 (as above)
                structlog.get_logger().warning("watchdog_tries_again", reason=type(error).__name__)
        await asyncio.sleep(_BETWEEN_S)


async def _look(client: PrivateClient, symbol: str, cover: Cover) -> _Held:
    prefix = cover.client_id.removesuffix(str(cover.order_id))
    rows: list[dict[str, Any]] = await client.fetch_open_orders(symbol)
    balance, book = await client.fetch_balance(), await client.fetch_order_book(symbol, 5)
    lot, tick = Decimal(cover.lot_size), Decimal(cover.tick_size)
    stops = [
        _Standing(
            number=str(row["id"]),
            lots=int(Decimal(str(row["remaining"])) // lot),
            trigger_ticks=int(Decimal(str(row.get("triggerPrice") or 0)) / tick),
        )
        for row in rows
        if _protects(str(row.get("clientOrderId")), prefix)
    ]
    return _Held(
        cash=float(balance["total"][cover.quote]),
        position=float(balance["total"][cover.base]),
        free_lots=int(Decimal(str(balance["free"][cover.base])) // lot),
        stops=stops,
        bid=float(book["bids"][0][0]),
        ask=float(book["asks"][0][0]),
    )


def _uncovered(held: _Held, cover: Cover, floor: float) -> StopPutBack | None:
    """The stop over all that is held; None if what has none is too little to be sold."""
    if held.free_lots <= 0:
        return None
    lot, tick = Decimal(cover.lot_size), Decimal(cover.tick_size)
    price = trigger_price(floor, held.cash, held.position, (held.bid + held.ask) / 2.0)
    ticks = int(Decimal(repr(min(price, held.bid * (1.0 - _AWAY)))) / tick)
    rest = held.free_lots * lot
    if rest < Decimal(cover.min_quantity) or rest * ticks * tick < Decimal(cover.min_notional):
        return None
    lots = held.free_lots + sum(stop.lots for stop in held.stops)
    return StopPutBack(cover.order_id, cover.client_id, lots, ticks)


async def _take_away_stops(client: PrivateClient, symbol: str, stops: list[_Standing]) -> bool:
    """Cancel them; whether there were any and none has sold meanwhile."""
    from ztb.runtime.venue.client import is_unknown_order

    sold = False
    for stop in stops:
        try:
            await client.cancel_order(stop.number, symbol, {})
        except Exception as error:
            if not is_unknown_order(error):
                raise
            sold = True
    return bool(stops) and not sold


async def _taken(client: PrivateClient, symbol: str, cover: Cover, stop: StopPutBack) -> bool:
    """Send `stop`, which is written down; false if the venue has refused it."""
    from ztb.runtime.venue.client import outcome_of
    from ztb.runtime.venue.translation import stop_sale

    quantity, trigger = stop.lots * Decimal(cover.lot_size), stop.trigger_ticks * Decimal(cover.tick_size)
    call = stop_sale(quantity, trigger, stop.client_id)
    try:
        await client.create_order(symbol, call.type, call.side, call.amount, call.price, call.params)
    except Exception as error:  # noqa: BLE001 (as above)
        structlog.get_logger().warning("watchdog_has_no_answer", reason=type(error).__name__)
        return outcome_of(error) == "unknown"
    structlog.get_logger().warning("watchdog_put_the_stop_back", **msgspec.to_builtins(stop))
    return True


def _write_down(stop: StopPutBack, cover: Cover) -> None:
    files.write_durably(Path(cover.folder) / PUT_BACK, msgspec.json.encode(stop))


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
