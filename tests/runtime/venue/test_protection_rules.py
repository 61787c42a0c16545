"""Decisions of the protective stop, one at a time: when one is sent, moved, taken away and left alone, at what price."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtime.venue.fake_account import INSTRUMENT, PREFIX
from ztb.execution.orders import PROTECTIVE_FROM, OpenOrder, OrderRequest, OrderType
from ztb.ledger.accounts import Account
from ztb.runtime.venue.orders import OrderTable, VenueOrder
from ztb.runtime.venue.protection import Protection, ProtectionCallbacks, Stop, has_stops
from ztb.testing.virtual_time import run_virtual

LOTS, MID = 500_000, 100.0  # 5 coins at 100, beside 500 of cash: the account is worth 1000
FIRST = PROTECTIVE_FROM + 1


class Desk:
    """A position of 5 coins, of whose equity a tenth may be lost, and a venue that does at once what it is asked.

    `refuses`: as many stops are turned away; `deaf`: no end that is asked for comes, nor any word of it.
    """

    def __init__(self, supported: bool = True, day_start: float = 1000.0) -> None:
        self.fraction, self.believed, self.refuses, self.deaf = 0.1, True, 0, False
        self.sent: list[tuple[float, OrderRequest]] = []
        self.ended: list[int] = []
        self.said: list[str] = []
        self.table = OrderTable(INSTRUMENT, PREFIX)
        self.account = Account(INSTRUMENT, Decimal(500))
        self.account.hold(Decimal(5))
        self.mid = np.array([MID])
        self.memory = SimpleNamespace(day_start_equity=day_start, permission=SimpleNamespace(halted=False))
        lane: Any = SimpleNamespace(
            broker=SimpleNamespace(view={"mid": self.mid}), gate=SimpleNamespace(memory=self.memory)
        )
        callbacks = ProtectionCallbacks(
            intend=lambda request: self.said.append(f"intent {request.order_id - PROTECTIVE_FROM}"),
            believed=lambda: self.believed,
            fraction=lambda: self.fraction,
            counted=lambda: self.said.append("counted"),
        )
        self.protection = Protection(self.table, lane, self.account, callbacks, supported)

    async def send(self, order: VenueOrder) -> None:
        self.said.append(f"sent {order.order_id - PROTECTIVE_FROM}")
        self.sent.append((asyncio.get_running_loop().time(), order.request))
        if self.refuses:
            self.refuses -= 1
            self.table.refused(order, "filter", 0)
        else:
            self.tell(order, "open")

    async def end(self, order: VenueOrder) -> None:
        self.ended.append(order.order_id)
        if not self.deaf:
            self.tell(order, "canceled")

    def tell(self, order: VenueOrder, status: str, filled: float = 0.0) -> None:
        row = {
            "clientOrderId": order.client_id,
            "id": str(order.order_id),
            "status": status,
            "filled": filled,
        }
        self.table.told(row, 0)

    def works(self, number: int, side: int, lots: int) -> VenueOrder:
        """An order of ours."""
        return self.table.add(OrderRequest(number, side, lots, OrderType.LIMIT, 10_000))

    def stands(self, number: int, lots: int = LOTS, ticks: int = 8000) -> VenueOrder:
        """A stop from before."""
        order = self.table.add(stop(number, lots, ticks))
        self.tell(order, "open")
        return order

    async def follow(self) -> None:
        await self.protection.follow(self)

    @property
    def standing(self) -> list[tuple[int, int, int]]:
        """Number, lots and trigger of each stop."""
        return [
            (order.order_id - PROTECTIVE_FROM, order.remaining_lots, order.request.price_ticks)
            for order in self.table.open
            if order.order_id >= PROTECTIVE_FROM
        ]


def stop(number: int, lots: int, ticks: int) -> OrderRequest:
    return OrderRequest(
        PROTECTIVE_FROM + number, -1, lots, OrderType.STOP, price_ticks=ticks, reduce_only=True
    )


def later(*steps: tuple[float, Callable[[], Any]], of: Desk) -> None:
    """After each of so many seconds something happens, and the stop follows."""

    async def run() -> None:
        for seconds, happens in steps:
            await asyncio.sleep(seconds)
            happens()
            await of.follow()

    run_virtual(run())


def nothing() -> None:
    """Nothing happens."""


def test_one_stop_over_all_is_written_down_then_sent_and_then_left_where_it_is():
    desk = Desk()
    later((0.0, nothing), (5.0, nothing), of=desk)
    assert [request for _, request in desk.sent] == [stop(1, LOTS, 8000)]
    assert desk.said == ["counted", "intent 1", "sent 1", "counted"] and desk.ended == []
    fact, standing = desk.protection.fact, desk.protection.standing
    assert fact is not None and (fact.quantity, fact.price) == (5.0, 80.0)
    assert standing is not None and standing.order_id == FIRST
    assert desk.protection.floor == 900.0 and desk.protection.lacking[0] == ""


def test_numbers_go_on_after_those_of_an_earlier_start():
    desk = Desk()
    desk.protection.resume(7)
    later((0.0, nothing), of=desk)
    assert desk.standing == [(8, LOTS, 8000)]


def test_as_good_is_what_sells_as_much_at_a_price_that_is_nearly_the_same():
    def there(lots: int, ticks: int) -> VenueOrder:
        return Desk().stands(1, lots, ticks)

    for ticks, wanted, good in (
        (10_020, 10_000, True), (10_021, 10_000, False), (9_980, 10_000, True), (9_979, 10_000, False),
        (101, 100, True), (102, 100, False),
    ):  # fmt: skip
        assert Stop(LOTS, wanted).stands_as(there(LOTS, ticks)) is good, (ticks, wanted)
    assert not Stop(LOTS, 100).stands_as(there(LOTS - 1, 100))


def test_a_position_that_grew_has_its_stop_moved_and_two_are_a_second_apart():
    desk = Desk()
    later(
        (0.0, nothing), (0.4, lambda: desk.account.hold(Decimal(6))), (0.5, nothing), (0.1, nothing), of=desk
    )
    assert desk.ended == [FIRST]
    assert [(at_s, request.lots) for at_s, request in desk.sent] == [(0.0, LOTS), (1.0, 600_000)]
    assert desk.standing == [(2, 600_000, 6666)], "400 of cash may be lost on six coins"


def test_a_venue_that_refuses_is_asked_ever_more_seldom_and_a_minute_apart_at_last():
    desk = Desk()
    desk.refuses = 8
    later(*[(1.0, nothing)] * 420, of=desk)
    at = [at_s for at_s, _ in desk.sent]
    assert np.diff(at).tolist() == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert [request.order_id - PROTECTIVE_FROM for _, request in desk.sent] == list(range(1, 10))
    assert len(desk.standing) == 1


def test_one_that_it_took_at_last_lets_the_next_be_sent_a_second_later():
    desk = Desk()
    desk.refuses = 1
    later((0.0, nothing), (2.0, nothing), (1.0, lambda: desk.account.hold(Decimal(6))), of=desk)
    assert [at_s for at_s, _ in desk.sent] == [0.0, 2.0, 3.0]


def test_what_is_lacking_is_said_and_nothing_where_nothing_lacks():
    assert Desk(supported=False).protection.lacking == (
        "fake has no stop order there whose fills are told as its own", "info",
    )  # fmt: skip
    desk = Desk()
    desk.fraction = 0.0
    assert desk.protection.lacking == ("risk.protective_stop_fraction is 0", "info")
    desk.fraction = 0.1
    assert desk.protection.lacking == ("", "warning"), "not yet refused"
    desk.refuses = 1
    later((0.0, nothing), of=desk)
    assert desk.protection.lacking == ("the venue refuses it; it is tried again", "warning")
    desk.account.hold(Decimal(0))
    assert desk.protection.lacking == ("", "info"), "there is nothing to protect"
    desk.account.hold(Decimal(5))
    desk.stands(5)
    assert desk.protection.lacking == ("", "info")


@pytest.mark.parametrize("what", ["unsupported", "no fraction", "not believed", "no price"])
def test_without_a_venue_that_can_books_that_are_right_or_a_price_nothing_is_moved_or_counted(what):
    desk = Desk(supported=what != "unsupported")
    desk.fraction, desk.believed = 0.1 * (what != "no fraction"), what != "not believed"
    desk.mid[:] = 0.0 if what == "no price" else MID
    old = desk.stands(1, lots=3)
    later((0.0, nothing), of=desk)
    run_virtual(desk.protection.make_way(OrderRequest(1, 1, 10, OrderType.MARKET), desk))
    assert (desk.sent, desk.ended, desk.said) == ([], [], []) and desk.table.open == [old]


@pytest.mark.parametrize("state", ["accepted", "unknown", "ending", "over", "on its way"])
def test_a_stop_of_which_word_is_awaited_is_left_alone(state):
    desk = Desk()
    old = desk.table.add(stop(1, 3, 8000))
    if state in ("accepted", "ending"):
        desk.tell(old, "open")
        old.ending = state == "ending"
    elif state == "unknown":
        desk.table.lost_sight(old, "no answer", 0)
    elif state == "over":
        desk.tell(old, "canceled", filled=0.00001)  # a fill of it is not known yet
    later((0.0, nothing), of=desk)
    moved = state == "accepted"
    assert bool(desk.ended) is moved and bool(desk.sent) is moved


def test_of_several_that_a_watchdog_left_all_that_are_known_to_stand_make_way_for_one():
    desk = Desk()
    desk.stands(1, 200_000), desk.stands(3, 300_000)
    newest = desk.protection.standing
    assert newest is not None and newest.order_id == PROTECTIVE_FROM + 3
    desk.protection.resume(3)
    later((0.0, nothing), of=desk)
    assert desk.ended == [FIRST, PROTECTIVE_FROM + 3] and desk.standing == [(4, LOTS, 8000)]

    waiting = Desk()
    waiting.stands(1, 200_000)
    waiting.table.add(stop(2, 300_000, 8000))
    later((0.0, nothing), of=waiting)
    assert waiting.ended == [FIRST] and waiting.sent == [], "the other may still be there"


def test_what_somebody_takes_away_stays_away_during_a_halt_until_more_or_less_is_held():
    desk = Desk()

    def taken() -> None:
        desk.memory.permission.halted = True
        (standing,) = desk.table.open
        desk.tell(standing, "canceled")

    later((0.0, nothing), (5.0, taken), (5.0, nothing), of=desk)
    assert desk.standing == [] and desk.protection.lacking == (
        "somebody took it away at the venue, and it stays away until the halt is over", "warning",
    )  # fmt: skip
    later((5.0, lambda: desk.account.hold(Decimal(4))), of=desk)
    assert desk.standing == [(2, 400_000, 7750)], "a tenth less than the 900 that are left"


def test_what_somebody_takes_away_while_it_trades_comes_back_and_what_was_taken_in_a_halt_when_that_is_over():
    desk, seen = Desk(), list[int]()

    def taken() -> None:
        (standing,) = desk.table.open
        desk.tell(standing, "canceled")

    def halted(halted: bool) -> Callable[[], None]:
        return lambda: setattr(desk.memory.permission, "halted", halted)

    def look() -> None:
        seen.append(len(desk.standing))

    later(
        (0.0, nothing), (5.0, taken), (1.0, look), (1.0, halted(True)), (1.0, taken), (5.0, look),
        (1.0, halted(False)), (0.0, look), of=desk,
    )  # fmt: skip
    assert seen == [1, 0, 1]


def test_what_we_took_away_ourselves_or_what_sold_a_part_was_taken_by_nobody():
    desk = Desk()
    desk.memory.permission.halted = True
    later((0.0, nothing), (0.4, lambda: desk.account.hold(Decimal(6))), (0.7, nothing), of=desk)
    assert desk.standing == [(2, 600_000, 6666)]

    def sold() -> None:
        (standing,) = desk.table.open
        desk.table.traded(
            {"id": "9", "order": str(standing.order_id), "timestamp": 5, "side": "sell", "amount": 1.0,
             "price": 66.0, "takerOrMaker": "taker", "fee": {"cost": 0.0, "currency": "USDT"}}
        )  # fmt: skip
        desk.tell(standing, "canceled", filled=1.0)

    later((5.0, sold), of=desk)
    assert len(desk.standing) == 1


def test_what_our_own_sells_lock_is_in_no_stop_and_what_our_buys_want_neither():
    desk = Desk()
    desk.works(1, -1, 200_000), desk.works(2, 1, 70_000)
    later((0.0, nothing), of=desk)
    assert [lots for _, lots, _ in desk.standing] == [300_000]
    all_locked = Desk()
    all_locked.works(1, -1, LOTS)
    later((0.0, nothing), of=all_locked)
    assert all_locked.sent == [] and all_locked.protection.lacking == ("", "info")


def test_what_is_too_little_for_the_venue_is_not_sent_and_said_until_it_is_enough():
    desk = Desk(day_start=500.0)
    desk.account.hold(Decimal("0.05"))  # worth less than 5 at the stop
    later((0.0, nothing), of=desk)
    assert desk.sent == [] and desk.protection.lacking == (
        "what is held is too little for one: worth less than 5 USDT, the least of an order", "info",
    )  # fmt: skip
    later((5.0, lambda: desk.account.hold(Decimal(5))), of=desk)
    assert [lots for _, lots, _ in desk.standing] == [LOTS]
    desk.tell(desk.table.open[0], "canceled")
    assert desk.protection.lacking == ("", "warning"), "it is enough"


def test_before_the_venue_has_told_of_it_nobody_says_that_there_is_one():
    desk = Desk()
    assert desk.protection.fact is None
    order = desk.table.add(stop(1, LOTS, 8000))
    assert desk.protection.fact is None and desk.protection.standing is order
    desk.tell(order, "open")
    assert desk.protection.fact is not None


def floors(desk: Desk, *happens: Callable[[], None]) -> list[float]:
    """The floor after each, with time for the stop in between."""
    found: list[float] = []
    later(*[step for one in happens for step in ((5.0, one), (0.0, lambda: found.append(desk.protection.floor)))],
          of=desk)  # fmt: skip
    return found


def test_while_a_stop_stands_the_floor_of_the_day_stands_however_the_market_goes():
    desk = Desk()

    def price(mid: float) -> Callable[[], None]:
        return lambda: desk.mid.__setitem__(0, mid)

    found = floors(desk, nothing, price(82.0), price(120.0))
    assert found == [900.0] * 3 and len(desk.sent) == 1


def test_a_floor_that_the_account_has_come_near_to_is_lowered_for_a_new_stop_and_not_raised_again_that_day():
    desk = Desk()

    def down() -> None:
        desk.mid[0] = 81.0  # worth 905
        desk.tell(desk.table.open[0], "canceled")

    def up() -> None:
        desk.mid[0] = 120.0
        desk.tell(desk.table.open[0], "canceled")

    assert floors(desk, nothing, down, up) == pytest.approx([900.0, 0.9 * 905.0, 0.9 * 905.0])
    assert desk.standing[0][2] == int((0.9 * 905.0 - 500.0) / 5.0 * 100.0)


def test_each_day_has_a_floor_of_its_own_and_so_has_what_is_bought_from_flat():
    desk = Desk()

    def tomorrow() -> None:
        desk.memory.day_start_equity = 1050.0
        desk.mid[0] = 110.0

    assert floors(desk, nothing, tomorrow) == pytest.approx([900.0, 945.0])
    assert desk.standing == [(2, LOTS, 8900)], "moved with it"

    flat = Desk()

    def sold(quantity: str) -> Callable[[], None]:
        def happens() -> None:
            for order in flat.table.open:
                flat.tell(order, "canceled")
            flat.account.adopt(Decimal(905) - flat.account.exact_cash, Decimal(0))
            flat.account.hold(Decimal(quantity))

        return happens

    assert floors(flat, nothing, sold("0.000009"))[-1] == pytest.approx(0.9 * (905.0 + 0.0009), rel=1e-9)

    def bought() -> None:
        flat.account.adopt(Decimal(500) - flat.account.exact_cash, Decimal(0))
        flat.account.hold(Decimal(0))
        flat.account.adopt(Decimal(500), Decimal(0))

    assert floors(flat, bought) == [900.0], "nothing is held: counted anew, and upwards too"


def test_a_day_without_a_first_equity_counts_from_the_last_reference_or_from_what_there_is_now():
    desk = Desk(day_start=0.0)

    def richer() -> None:
        desk.mid[0] = 120.0
        desk.tell(desk.table.open[0], "canceled")

    assert floors(desk, nothing, richer) == [900.0, 900.0]


def made_way(desk: Desk, order: VenueOrder) -> float:
    """Seconds until an order of ours, which is in the table, may be sent."""

    async def run() -> float:
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        await desk.protection.make_way(order.request, desk)
        return loop.time() - begun_s

    return run_virtual(run())


def test_a_sell_that_the_stop_leaves_no_room_for_has_it_taken_away_and_nothing_else_has():
    desk = Desk()
    desk.stands(1)
    desk.works(9, -1, 50)
    assert made_way(desk, desk.works(1, 1, 100)) == 0.0 and desk.ended == [], "a buy needs no room"
    assert made_way(desk, desk.works(2, -1, 100)) == 0.0 and desk.ended == [FIRST]
    roomy = Desk()
    roomy.stands(1, lots=LOTS - 100)
    assert made_way(roomy, roomy.works(1, -1, 100)) == 0.0 and roomy.ended == []
    assert made_way(roomy, roomy.works(2, -1, 1)) == 0.0 and roomy.ended == [FIRST]


def test_a_sell_waits_for_the_end_of_the_stop_and_no_longer_than_five_seconds():
    desk = Desk()
    desk.deaf = True
    old = desk.stands(1)

    async def ends_after(seconds: float) -> None:
        await asyncio.sleep(seconds)
        desk.tell(old, "canceled", filled=0.00001)  # over, though a fill is not known yet

    async def run(seconds: float) -> float:
        loop = asyncio.get_running_loop()
        ending, begun_s = asyncio.create_task(ends_after(seconds)), loop.time()
        await desk.protection.make_way(desk.works(1, -1, 100).request, desk)
        ending.cancel()
        return loop.time() - begun_s

    assert run_virtual(run(100.0)) == pytest.approx(5.0, abs=0.051)
    assert run_virtual(run(2.03)) == pytest.approx(2.05)


def test_the_floor_is_counted_before_an_order_of_ours_is_sent_even_without_a_stop():
    desk = Desk()
    made_way(desk, desk.works(1, 1, 100))
    assert desk.protection.floor == 900.0 and desk.said == ["counted"]
    desk.stands(1)
    desk.mid[0] = 81.0
    made_way(desk, desk.works(2, 1, 100))
    assert desk.protection.floor == 900.0, "the stop that stands keeps it"


class Client:
    """A venue's client that knows what it can, and what its markets take."""

    def __init__(self, venue: str, feature: object, info: dict[str, Any]) -> None:
        self.id, self._feature, self._info = venue, feature, info

    def market(self, _symbol: str) -> dict[str, Any]:
        return {"info": self._info}

    def feature_value(self, _symbol: str, _method: str, _name: str) -> object:
        return self._feature


@pytest.mark.parametrize(
    ("venue", "feature", "info", "there"),
    [
        ("binance", True, {"orderTypes": ["LIMIT", "STOP_LOSS"]}, True),
        ("binance", True, {}, True),
        ("binance", True, {"orderTypes": ["LIMIT"]}, False),
        ("binance", None, {}, False),
        ("nowhere", True, {}, False),
    ],
)
def test_stops_are_where_venue_client_and_market_have_them(venue, feature, info, there):
    assert has_stops(Client(venue, feature, info), "BTC/USDT") is there  # type: ignore[arg-type]


def test_a_stop_of_an_earlier_start_is_awaited_first():
    desk = Desk()
    desk.table.resume(OpenOrder(stop(1, LOTS, 8000), LOTS), f"{PREFIX}{FIRST}")
    later((0.0, nothing), of=desk)
    assert desk.sent == [] and desk.ended == []
