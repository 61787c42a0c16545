"""A live position has a stop at the venue: placed once it is held, moved with it, never in the way, never twice, and
left to stand by whatever ends the daemon.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from chaos.books import books_now
from chaos.stage import WARM_S, Stage, stage
from chaos.truth import truth_of
from runtime.daemons import until
from ztb.control import Disarm, Halt, Resume
from ztb.execution.orders import is_protective
from ztb.execution.protection import floor_of, trigger_price
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import OrderEventRow, OrderRow
from ztb.runtime.daemon.daemon import Daemon
from ztb.runtime.venue.handover import PUT_BACK
from ztb.runtime.venue.protection import Protection
from ztb.testing.exchange.listing import BTCUSDT, SCALE, Listing
from ztb.testing.exchange.orders import ExchangeOrder, ExchangeOrderType
from ztb.testing.exchange.venue import USER
from ztb.testing.virtual_time import run_virtual

SEED = 3
FRACTION = 0.05
WITHOUT = Listing(
    "BTC", "USDT", BTCUSDT.tick, BTCUSDT.lot, BTCUSDT.min_notional, BTCUSDT.start_price, stops=False
)


def stops(it: Stage) -> list[ExchangeOrder]:
    """Those that wait at the venue."""
    venue = it.exchange.state.venue
    return [o for o in venue.open_orders(USER, "BTCUSDT") if o.request.type is ExchangeOrderType.STOP_LOSS]


def held(it: Stage) -> float:
    balance = it.exchange.state.venue.accounts.held[USER]["BTC"]
    return (balance.free + balance.locked) / SCALE


def whole_lots(it: Stage) -> int:
    return round(held(it) * SCALE) // BTCUSDT.lot


async def rested(daemon: Daemon) -> None:
    """Halt, and wait until nothing of the lane's works and the stop has had time to follow."""
    await daemon.controls.execute(Halt("a look"), "test")
    await until(lambda: not daemon.session.engine.live.working)
    await asyncio.sleep(5.0)


def selling(daemon: Daemon) -> bool:
    return any(order.request.side < 0 for order in daemon.session.engine.live.working)


def rows(folder: Path, record: Any, where: str = "") -> list[Any]:
    reader = JournalReader(folder / "journal.sqlite")
    found = list(reader.rows(record, where))
    reader.close()
    return found


def trades(folder: Path, **settings: Any) -> Any:
    return stage(SEED, folder, **{"risk.protective_stop_fraction": FRACTION, **settings})


def test_the_floor_is_the_days_first_equity_less_the_fraction_and_counted_from_now_where_that_is_near():
    assert floor_of(1000.0, 990.0, 0.1) == 900.0
    assert floor_of(1000.0, 905.0, 0.1) == pytest.approx(0.9 * 905.0)
    assert trigger_price(900.0, 400.0, 6.0, 100.0) == pytest.approx(500.0 / 6.0)
    assert trigger_price(900.0, 890.0, 1.0, 100.0) == 50.0, "no venue takes a stop far from the price"


def test_what_is_held_has_one_stop_for_all_of_it_at_the_price_that_keeps_the_floor(tmp_path):
    async def run() -> None:
        async with trades(tmp_path) as it, it.running("live") as daemon:
            await asyncio.sleep(WARM_S)
            await until(lambda: held(it) > 0.3 and len(stops(it)) == 1)
            await rested(daemon)
            assert whole_lots(it) > 0
            (stop,) = stops(it)
            assert stop.remaining == whole_lots(it) * BTCUSDT.lot
            memory, account = daemon.session.engine.live.gate.memory, daemon.session.books.account
            kept = account.cash + account.position * stop.request.stop_price / SCALE
            assert kept == pytest.approx((1.0 - FRACTION) * memory.day_start_equity, rel=3e-3)
            fact = daemon.snapshot().protective_stop
            assert fact is not None and fact.quantity == pytest.approx(stop.remaining / SCALE)
            assert fact.price == stop.request.stop_price / SCALE
            assert "unprotected" not in {one.kind for one in daemon.snapshot().conditions}

    run_virtual(run())


def test_it_is_never_twice_never_more_than_is_held_and_never_in_the_way_of_our_own_orders(tmp_path):
    seen: list[int] = []

    async def watch(it: Stage) -> None:
        venue = it.exchange.state.venue
        while True:
            standing = stops(it)
            assert len(standing) <= 1
            balance = venue.accounts.held[USER]["BTC"]
            assert sum(order.remaining for order in standing) <= balance.free + balance.locked
            seen.append(len(standing))
            await asyncio.sleep(0.01)

    async def run() -> tuple[Any, Any]:
        async with trades(tmp_path) as it, it.running("live") as daemon:
            watching = asyncio.create_task(watch(it))
            await asyncio.sleep(60.0)
            await rested(daemon)
            watching.cancel()
            return truth_of(it.exchange), books_now(tmp_path, daemon.session)

    truth, books = run_virtual(run())
    assert sum(seen) > len(seen) / 3, "mostly there is one"
    assert (books.cash, books.position, books.fills) == (truth.cash, truth.position, truth.fills)
    assert truth.repeated == [] and books.mismatches == 0
    placed = [row for row in rows(tmp_path, OrderRow) if is_protective(row.order_id)]
    sells = [row for row in rows(tmp_path, OrderRow) if row.side < 0 and not is_protective(row.order_id)]
    assert len(placed) > 5 and len(sells) > 5
    refused = {row.order_id: row.reason for row in rows(tmp_path, OrderEventRow, "event = 'rejected'")}
    assert "InsufficientFunds" not in refused.values()


def test_an_intent_is_in_the_journal_before_the_stop_is_at_the_venue(tmp_path):
    async def run() -> None:
        async with trades(tmp_path) as it, it.running("live"):
            await until(lambda: len(stops(it)) == 1)
            known = {row.client_id for row in rows(tmp_path, OrderRow)}
            assert stops(it)[0].request.client_id in known

    run_virtual(run())


def test_the_daemons_end_lets_it_stand_and_the_next_start_takes_it_over(tmp_path):
    async def run() -> None:
        async with trades(tmp_path) as it:
            async with it.running("live") as daemon:
                await asyncio.sleep(WARM_S + 10.0)
                await rested(daemon)
                before = [order.id for order in stops(it)]
                assert len(before) == 1
            assert [order.id for order in stops(it)] == before
            async with it.running("live") as daemon:
                await asyncio.sleep(15.0)
                assert daemon.snapshot().state == "halted"
                assert [order.id for order in stops(it)] == before
                await daemon.controls.execute(Disarm(), "test")
                await asyncio.sleep(3.0)
                assert [order.id for order in stops(it)] == before

    run_virtual(run())


def test_dead_while_the_market_falls_it_sells_and_the_books_are_equal_afterwards(tmp_path):
    async def run() -> None:
        async with trades(tmp_path / "run") as it:
            async with it.running("live") as daemon:
                await asyncio.sleep(WARM_S)
                await until(lambda: held(it) > 1.0 and len(stops(it)) == 1 and not selling(daemon))
                await rested(daemon)
                floor = (1.0 - FRACTION) * daemon.session.engine.live.gate.memory.day_start_equity
            assert held(it) > 1.0
            it.fall(0.2, 60.0)
            await asyncio.sleep(70.0)
            assert stops(it) == [] and held(it) < 1e-5
            assert it.exchange.state.venue.accounts.held[USER]["USDT"].free / SCALE > 0.995 * floor
            async with it.running("live") as daemon:
                await asyncio.sleep(15.0)
                truth, books = truth_of(it.exchange), books_now(it.folder, daemon.session)
                assert "protective_stop_reached" in {alert.key for alert in daemon.snapshot().alerts}
            assert (books.cash, books.position, books.fills) == (truth.cash, truth.position, truth.fills)
            assert books.ends == truth.ends and books.mismatches == 0

    run_virtual(run())


def test_one_that_somebody_takes_away_during_a_halt_stays_away_until_the_halt_is_over(tmp_path):
    async def run() -> None:
        async with trades(tmp_path) as it, it.running("live") as daemon:
            await asyncio.sleep(WARM_S + 10.0)
            await rested(daemon)
            venue = it.exchange.state.venue
            venue.cancel(stops(it)[0], it.exchange.now_ms())
            await asyncio.sleep(20.0)
            assert stops(it) == []
            (told,) = [one for one in daemon.snapshot().conditions if one.kind == "unprotected"]
            assert told.severity == "warning" and "until the halt is over" in told.text
            await daemon.controls.execute(Resume(), "test")
            await until(lambda: len(stops(it)) == 1)

    run_virtual(run())


def test_a_halted_position_that_still_grows_is_protected_as_a_whole(tmp_path):
    async def run() -> None:
        async with trades(tmp_path) as it, it.running("live") as daemon:
            await asyncio.sleep(WARM_S + 10.0)
            await rested(daemon)
            before = stops(it)[0].quantity
            it.exchange.state.venue.accounts.deposit(USER, "BTC", 1000 * BTCUSDT.lot)
            await daemon.account.adopt("test")
            await asyncio.sleep(5.0)
            assert daemon.snapshot().state == "halted"
            assert [order.quantity for order in stops(it)] == [before + 1000 * BTCUSDT.lot]

    run_virtual(run())


@pytest.mark.parametrize(
    ("least", "lots", "cause"), [(50_000 * BTCUSDT.lot, 40_000, "0.5 BTC"), (0, 5, "5.0 USDT")]
)
def test_what_is_too_little_for_the_venue_is_sent_to_it_by_nobody_and_said(least, lots, cause, tmp_path):
    listing = replace(BTCUSDT, min_quantity=least)
    settings = {"risk.protective_stop_fraction": FRACTION, "risk.max_orders_per_day": 0}

    def told(daemon: Daemon) -> list[tuple[str, str]]:
        return [(one.severity, one.text) for one in daemon.snapshot().conditions if one.kind == "unprotected"]

    async def run() -> None:
        async with stage(SEED, tmp_path / "run", listing, **settings) as it:
            balance = it.exchange.state.venue.accounts.held[USER]["BTC"]
            balance.free = lots * BTCUSDT.lot
            await it.killed_after(WARM_S + 10.0)
            assert not (it.folder / PUT_BACK).exists(), "the watchdog sent one"
            async with it.running("live") as daemon:
                await asyncio.sleep(WARM_S + 10.0)
                ((severity, text),) = told(daemon)
                assert severity == "info" and f"less than {cause}" in text
                assert rows(it.folder, OrderRow) == [] == stops(it)
                balance.free += 20_000 * BTCUSDT.lot
                await daemon.account.adopt("test")
                await until(lambda: len(stops(it)) == 1)
                await asyncio.sleep(1.0)
                assert told(daemon) == [] and stops(it)[0].quantity == (lots + 20_000) * BTCUSDT.lot

    run_virtual(run())


def test_the_watchdog_of_one_that_died_covers_all_that_is_held_by_one_stop_that_keeps_the_floor(tmp_path):
    """A stop for a part of it would let more be lost, and one that never bought anything has a floor to tell, too."""

    async def run() -> None:
        async with trades(tmp_path / "run", **{"risk.max_orders_per_day": 0}) as it:
            accounts = it.exchange.state.venue.accounts
            it.loop.call_later(WARM_S + 8.0, accounts.deposit, USER, "BTC", 60_000 * BTCUSDT.lot)
            worth = accounts.held[USER]["USDT"].free / SCALE + held(it) * 60_000.0
            await it.killed_after(WARM_S + 9.0)
            (stop,) = stops(it)
            assert stop.remaining == 160_000 * BTCUSDT.lot
            kept = accounts.held[USER]["USDT"].free / SCALE + held(it) * stop.request.stop_price / SCALE
            assert kept == pytest.approx((1.0 - FRACTION) * worth, rel=3e-3)

        async with trades(tmp_path / "flat", **{"risk.max_orders_per_day": 0}) as it:
            it.exchange.state.venue.accounts.held[USER]["BTC"].free = 0
            worth = it.exchange.state.venue.accounts.held[USER]["USDT"].free / SCALE
            await it.killed_after(WARM_S + 1.0)
            assert it.floor == pytest.approx((1.0 - FRACTION) * worth)

    run_virtual(run())


@pytest.mark.parametrize("refused", [0, 1, 2])
def test_a_stop_that_the_watchdog_moves_is_never_away_and_known_to_the_next_start(refused: int, tmp_path):
    """It takes the place of the one before in one request. One that is refused again is tried at the old price."""
    calls = list[tuple[float, str, str]]()

    async def run() -> None:
        async with trades(tmp_path / "run", **{"risk.max_orders_per_day": 0}) as it:
            accounts, handle = it.exchange.state.venue.accounts, it.gateway.handle_request

            def noted(method: str, path: str, *rest: Any) -> Any:
                calls.append((it.loop.time(), method, path))
                answer = handle(method, path, *rest)
                assert len(stops(it)) == 1
                return answer

            def watched() -> None:
                it.gateway.handle_request = noted
                if refused:
                    it.inject("status", match="POST /api/v3/order*", status=429, count=refused)

            async with it.dying(at_death=watched):
                await asyncio.sleep(WARM_S + 8.0)
                (old,) = stops(it)
                accounts.deposit(USER, "BTC", 60_000 * BTCUSDT.lot)
            (stop,) = stops(it)
            assert stop.remaining == 160_000 * BTCUSDT.lot
            assert (stop.request.stop_price == old.request.stop_price) == (refused == 2)
            assert calls[0][1:] == ("GET", "/api/v3/openOrders"), "it knows the market already"
            sent = [(at_s, path) for at_s, method, path in calls if method != "GET"]
            assert [path for _, path in sent] == ["/api/v3/order/cancelReplace"] * (refused + 1)
            async with it.running("live") as daemon:
                await asyncio.sleep(WARM_S + 10.0)
                truth, books = truth_of(it.exchange), books_now(it.folder, daemon.session)
            assert truth.repeated == [] and books.ends == truth.ends and len(truth.standing) == 1

    run_virtual(run())


def test_a_watchdog_knows_the_floor_before_the_first_order_of_ours_is_sent(tmp_path):
    async def run() -> None:
        async with trades(tmp_path / "run") as it:
            balance = it.exchange.state.venue.accounts.held[USER]
            balance["BTC"].free = 0
            worth = balance["USDT"].free / SCALE
            place = it.exchange.state.venue.place
            floors = list[float]()

            def placed(request: Any, now_ms: int) -> Any:
                if request.account == USER:
                    floors.append(it.floor_told)
                return place(request, now_ms)

            with (
                patch.object(Protection, "follow", _never),
                patch.object(type(it.exchange.state.venue), "place", lambda _self, *rest: placed(*rest)),
            ):
                async with it.running("live"):
                    await until(lambda: len(floors) > 0)
            assert floors[0] == pytest.approx((1.0 - FRACTION) * worth)

    run_virtual(run())


async def _never(_protection: Protection, _sender: Any) -> None:
    """Whoever looks at the stop comes too late."""


def test_a_venue_without_stops_and_a_fraction_of_nothing_are_said_once_and_send_none(tmp_path):
    async def run(folder: Path, listing: Listing, cause: str, **settings: Any) -> None:
        async with stage(SEED, folder, listing, **settings) as it, it.running("live") as daemon:
            await asyncio.sleep(WARM_S + 20.0)
            told = [one for one in daemon.snapshot().conditions if one.kind == "unprotected"]
            assert [one.severity for one in told] == ["info"] and cause in told[0].text
            assert stops(it) == [] and daemon.snapshot().protective_stop is None
            assert "unprotected" not in {alert.key for alert in daemon.snapshot().alerts}
            assert daemon.session.books.orders > 5

    run_virtual(run(tmp_path / "none", BTCUSDT, "fraction is 0", **{"risk.protective_stop_fraction": 0.0}))
    run_virtual(run(tmp_path / "without", WITHOUT, "has no stop order"))
