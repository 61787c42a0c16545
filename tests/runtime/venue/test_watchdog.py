"""The watchdog outlives the daemon: what that left open is cancelled, unless it left on purpose."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ccxt
import msgspec
import pytest
from ccxt.base import errors

from runtime.daemons import environment, until
from runtime.venue.live_runs import secrets, settings
from ztb.config import load_config
from ztb.config.market import MarketSection
from ztb.execution.orders import PROTECTIVE_FROM
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.venue import watchdog
from ztb.runtime.venue.dead_man import Watchdog
from ztb.runtime.venue.handover import PUT_BACK, read_down
from ztb.runtime.venue.left_behind import Cover, LeftBehind, last_floor
from ztb.runtime.venue.watchdog import act
from ztb.testing.exchange.local import LocalExchange
from ztb.testing.virtual_time import run_virtual

PREFIX = "ztbtest-"
MARKET = MarketSection(venue="binance", symbol="BTC/USDT")
COVER = Cover(
    order_id=2 * PROTECTIVE_FROM + 1,
    base="BTC",
    quote="USDT",
    lot_size="0.01",
    tick_size="1",
    min_notional="10",
    min_quantity="0.01",
)
FIRST, SECOND = f"{PREFIX}{COVER.order_id}", f"{PREFIX}{COVER.order_id + 1}"
OLD = f"{PREFIX}{PROTECTIVE_FROM + 1}"  # a stop of the daemon's
FLOOR = 950.0


class Left:
    """A venue at which an account holds 1000 USDT and `coins`, with `open_` orders by number and client id, all of them
    buys but the stops. `faults` are raised first, one a call.
    """

    def __init__(
        self, open_: dict[str, str], faults: list[Exception] | None = None, coins: float = 0.0
    ) -> None:
        self.open = dict(open_)
        self.faults = faults or []
        self.closed = False
        self.cash, self.coins, self.bid = 1000.0, coins, 99.0
        self.stops: dict[str, tuple[float, float]] = {}  # what each would sell, and where
        self.calls: list[tuple[float, str, str, float | None]] = []

    def fill(self, number: str, coins: float) -> None:
        """A buy is executed at 100."""
        del self.open[number]
        self.coins += coins
        self.cash -= 100.0 * coins

    def stand(self, number: str, client_id: str, coins: float, trigger: float) -> None:
        self.open[number] = client_id
        self.stops[number] = coins, trigger

    def _fail(self) -> None:
        if self.faults:
            raise self.faults.pop(0)

    async def fetch_open_orders(self, symbol: str) -> list[dict[str, Any]]:
        self._fail()
        return [
            {"id": number, "clientOrderId": name, "remaining": self.stops.get(number, (1.0, 0.0))[0],
             "triggerPrice": self.stops.get(number, (1.0, 0.0))[1]}
            for number, name in self.open.items()
        ]  # fmt: skip

    async def fetch_order_book(self, symbol: str, limit: int) -> dict[str, Any]:
        return {"bids": [[self.bid, 1.0]], "asks": [[self.bid + 2.0, 1.0]]}

    async def fetch_balance(self) -> dict[str, Any]:
        locked = sum(coins for coins, _ in self.stops.values())
        return {
            "total": {"USDT": self.cash, "BTC": self.coins},
            "free": {"BTC": round(self.coins - locked, 8)},
        }

    async def cancel_order(self, number: str, symbol: str, params: dict[str, Any]) -> dict[str, Any]:
        self._fail()
        if number not in self.open:
            raise errors.OrderNotFound(number)
        del self.open[number]
        self.stops.pop(number, None)
        return {}

    async def create_order(
        self, symbol: str, kind: str, side: str, amount: float, price: None, params: dict[str, Any]
    ) -> dict[str, Any]:
        return self._sell("create", amount, params, params.get("stopLossPrice"))

    async def edit_order(
        self,
        number: str,
        symbol: str,
        kind: str,
        side: str,
        amount: float,
        price: None,
        params: dict[str, Any],
    ) -> dict[str, Any]:
        self._fail()
        coins = self.stops.pop(number)
        del self.open[number]
        try:
            return self._sell("edit", amount, params, params.get("stopPrice"))
        except errors.InvalidOrder:
            self.stand(number, OLD, *coins)
            raise

    def _sell(
        self, call: str, amount: float, params: dict[str, Any], trigger: float | None
    ) -> dict[str, Any]:
        client_id = params["clientOrderId"]
        self.calls.append((asyncio.get_running_loop().time(), call, client_id, trigger))
        if trigger is not None and trigger >= self.bid:
            raise errors.InvalidOrder("would trigger immediately")
        if amount > self.coins - sum(coins for coins, _ in self.stops.values()) + 1e-9:
            raise errors.InsufficientFunds(str(amount))
        if trigger is None:
            self.coins -= amount
            self.cash += amount * self.bid
        else:
            self.stand(f"at {len(self.calls)}", client_id, amount, trigger)
        return {}

    async def close(self) -> None:
        self.closed = True


def word(folder: Path, cover: Cover | None = COVER) -> LeftBehind:
    return LeftBehind(MARKET.model_dump(mode="json"), "BTC/USDT", PREFIX, str(folder), 7.0, cover=cover)


def cleared(left: Left, folder: Path, happens: dict[float, Callable[[], None]] | None = None) -> int:
    """The watchdog has done its work; `happens` by the seconds from its start on."""

    async def run() -> int:
        loop = asyncio.get_running_loop()
        for after_s, event in (happens or {}).items():
            loop.call_later(after_s, event)
        return await act(word(folder), FLOOR, left)  # type: ignore[arg-type]

    count = run_virtual(run())
    assert left.closed
    return count


def noted(folder: Path) -> list[tuple[str, int, int]]:
    return [(stop.client_id, stop.lots, stop.trigger_ticks) for stop in read_down(folder / PUT_BACK)]


def test_our_orders_are_cancelled_and_nobody_elses(tmp_path):
    left = Left({"1": f"{PREFIX}1", "2": "by hand", "3": f"{PREFIX}3"})
    assert cleared(left, tmp_path) == 2 and left.open == {"2": "by hand"}


@pytest.mark.parametrize(
    "fault", [errors.NetworkError("down"), errors.RateLimitExceeded("429"), OSError("reset")]
)
def test_it_tries_again_until_it_is_done(tmp_path, fault):
    left = Left({"1": f"{PREFIX}1", "2": f"{PREFIX}2"}, [fault] * 7)
    assert cleared(left, tmp_path) == 2 and left.open == {}


def test_an_order_that_ended_by_itself_is_nothing_to_wait_for(tmp_path):
    left = Left({"1": f"{PREFIX}1", "2": f"{PREFIX}2"})
    fetch = left.fetch_open_orders

    async def fetch_and_end(symbol: str) -> list[dict[str, Any]]:
        rows = await fetch(symbol)
        left.open.pop("2", None)
        return rows

    left.fetch_open_orders = fetch_and_end  # type: ignore[method-assign]
    assert cleared(left, tmp_path) == 1 and left.open == {}


def test_a_venue_that_never_answers_is_given_up_in_the_end(tmp_path):
    left = Left({"1": f"{PREFIX}1"}, [errors.NetworkError("down")] * 1000)
    assert cleared(left, tmp_path) == 0 and 1000 - len(left.faults) == 20


def test_what_was_bought_before_the_cancel_is_covered_where_the_floor_is(tmp_path):
    left = Left({"1": f"{PREFIX}1"})
    fetch = left.fetch_open_orders

    async def fetch_and_fill(symbol: str) -> list[dict[str, Any]]:
        rows = await fetch(symbol)
        if "1" in left.open:
            left.fill("1", 5.0)
        return rows

    left.fetch_open_orders = fetch_and_fill  # type: ignore[method-assign]
    cleared(left, tmp_path)
    assert list(left.stops.values()) == [(5.0, 90.0)] and noted(tmp_path) == [(FIRST, 500, 90)]


def test_an_order_that_was_on_its_way_at_the_death_is_cancelled_and_what_it_bought_is_covered(tmp_path):
    left = Left({})

    def arrive() -> None:
        left.open["1"] = f"{PREFIX}1"
        left.fill("1", 5.0)
        left.open["2"] = f"{PREFIX}2"

    assert cleared(left, tmp_path, {6.0: arrive}) == 1
    assert list(left.open.values()) == [FIRST] and list(left.stops.values()) == [(5.0, 90.0)]
    assert 6.0 <= left.calls[0][0] < 7.0, "at once"


def test_what_is_bought_after_the_first_cover_is_covered_with_it_and_something_stands_always(tmp_path):
    left = Left({"1": f"{PREFIX}1"}, coins=2.0)
    left.cash = 800.0
    left.stand("7", OLD, 2.0, 75.0)
    cancel = left.cancel_order

    async def fill_instead(number: str, symbol: str, params: dict[str, Any]) -> dict[str, Any]:
        if number == "1":
            left.fill("1", 3.0)
        return await cancel(number, symbol, params)

    left.cancel_order = fill_instead  # type: ignore[method-assign]
    cleared(left, tmp_path)
    assert [call[1:] for call in left.calls] == [("edit", FIRST, 90.0)], "one request, no cancel before it"
    assert list(left.stops.values()) == [(5.0, 90.0)]


def test_a_stop_that_comes_while_it_looks_and_was_reckoned_for_less_gives_way_to_one_for_all(tmp_path):
    left = Left({}, coins=5.0)
    left.cash = 500.0
    fetch = left.fetch_balance

    async def arrive_before(*arguments: Any) -> dict[str, Any]:
        if not left.calls and "7" not in left.open:
            left.stand("7", OLD, 2.0, 75.0)
        return await fetch(*arguments)

    left.fetch_balance = arrive_before  # type: ignore[method-assign]
    cleared(left, tmp_path)
    assert list(left.stops.values()) == [(5.0, 90.0)]
    assert [call[1:] for call in left.calls] == [("create", FIRST, 90.0), ("edit", SECOND, 90.0)]


@pytest.mark.parametrize(("trigger", "calls"), [(86.0, 0), (85.0, 1)])
def test_a_daemons_stop_that_keeps_the_floor_but_for_half_a_percent_of_it_stays(trigger, calls, tmp_path):
    left = Left({}, coins=1.0)
    left.cash = 860.0
    left.stand("7", OLD, 1.0, trigger)
    cleared(left, tmp_path)
    assert len(left.calls) == calls
    assert list(left.stops.values()) == [(1.0, 90.0 if calls else trigger)]


@pytest.mark.parametrize("bid", [89.0, 90.05])
def test_where_the_price_has_come_to_the_floor_already_all_is_sold_at_once(tmp_path, bid):
    left = Left({}, coins=5.0)
    left.cash, left.bid = 500.0, bid
    left.stand("7", OLD, 2.0, 75.0)
    cleared(left, tmp_path)
    assert (left.coins, left.stops) == (0.0, {}) and [call[1:] for call in left.calls] == [
        ("edit", FIRST, None)
    ]
    assert noted(tmp_path) == [(FIRST, 500, 90)]


def test_what_the_venue_refuses_again_is_tried_at_the_old_price_under_a_number_of_its_own(tmp_path):
    left = Left({}, coins=5.0)
    left.cash = 500.0
    left.stand("7", OLD, 2.0, 75.0)
    sell = left._sell

    def picky(call: str, amount: float, params: dict[str, Any], trigger: float) -> dict[str, Any]:
        if trigger > 80.0:
            raise errors.InvalidOrder("filter")
        return sell(call, amount, params, trigger)

    left._sell = picky  # type: ignore[method-assign,assignment]
    cleared(left, tmp_path)
    assert list(left.stops.values()) == [(5.0, 75.0)] and left.calls[0][0] < 1.0
    assert noted(tmp_path) == [
        (FIRST, 500, 90),
        (SECOND, 500, 90),
        (f"{PREFIX}{COVER.order_id + 2}", 500, 75),
    ]


@pytest.mark.parametrize("arrives", [False, True])
def test_a_stop_without_an_answer_is_looked_for_before_another_is_sent(tmp_path, arrives):
    left = Left({}, coins=5.0)
    left.cash = 500.0
    sell = left._sell

    def silent(call: str, amount: float, params: dict[str, Any], trigger: float) -> dict[str, Any]:
        if arrives or params["clientOrderId"] != FIRST:
            sell(call, amount, params, trigger)
        if params["clientOrderId"] == FIRST:
            raise errors.RequestTimeout("no answer")
        return {}

    left._sell = silent  # type: ignore[method-assign,assignment]
    cleared(left, tmp_path)
    assert list(left.open.values()) == [FIRST if arrives else SECOND]
    assert [name for name, _, _ in noted(tmp_path)] == ([FIRST] if arrives else [FIRST, SECOND])


def test_it_leaves_everything_to_a_daemon_that_has_started_again(tmp_path):
    left = Left({"1": f"{PREFIX}1"}, coins=5.0)
    with RunDirectory(tmp_path).held():
        assert cleared(left, tmp_path) == 0 and left.open == {"1": f"{PREFIX}1"} and left.calls == []


def test_the_dead_ones_own_lock_that_the_kernel_has_not_let_go_of_yet_keeps_it_from_nothing(tmp_path):
    left = Left({"1": f"{PREFIX}1"}, coins=5.0)
    left.cash = 500.0
    lock = ExitStack()
    lock.enter_context(RunDirectory(tmp_path).held())
    assert cleared(left, tmp_path, {0.3: lock.close}) == 1
    assert left.calls[0][0] < 0.6 and list(left.stops.values()) == [(5.0, 90.0)]


def test_without_stops_it_cancels_and_sells_nothing(tmp_path):
    left = Left({"1": f"{PREFIX}1"}, coins=5.0)
    assert run_virtual(act(word(tmp_path, None), FLOOR, left)) == 1 and left.calls == []  # type: ignore[arg-type]


def test_it_is_ready_before_its_input_ends(monkeypatch, tmp_path):
    """Imports and a client take seconds on a busy machine, in which a market falls."""
    done: list[str] = []
    monkeypatch.setattr(watchdog, "private_client", lambda *_: done.append("client") or made)
    made = SimpleNamespace(tokenBucket={"refillRate": 1.0, "cost": 1.0}, set_markets=done.append)

    class Input:
        def readline(self) -> str:
            return json.dumps(
                {
                    "market": MARKET.model_dump(mode="json"),
                    "symbol": "",
                    "prefix": "",
                    "folder": "",
                    "patience_s": 1.0,
                    "listed": {"a": 1},
                }
            )

        def __iter__(self) -> Iterator[str]:
            done.append("input")
            yield "released"

    monkeypatch.setattr(watchdog.sys, "stdin", Input())
    watchdog.main()
    assert done == ["client", [{"a": 1}], "input"]


@pytest.mark.parametrize(
    ("lines", "floor"),
    [([], 0.0), (["floor 3.5", "floor 2.5"], 2.5), (["floor 3.5", "released"], None)],
)
def test_the_last_floor_is_the_one_that_counts(lines, floor):
    assert last_floor(lines) == floor


class Venue:
    """A local exchange with an order of ours that rests, and one that is not ours."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.client = ccxt.binance(options)
        market = settings(options)["market"]
        self.market = load_config(
            None, {f"market.{key}": value for key, value in market.items()}, {}
        ).config.market
        for name in (f"{PREFIX}1", "by-hand"):
            self.client.create_order("BTC/USDT", "limit", "buy", 0.001, 50_000, {"clientOrderId": name})

    def open(self) -> set[str]:
        return {row["clientOrderId"] for row in self.client.fetch_open_orders("BTC/USDT")}


@pytest.mark.parametrize(
    ("last_word", "left"), [("", {"by-hand"}), ("released\n", {"by-hand", f"{PREFIX}1"})]
)
async def test_a_process_of_its_own_acts_when_its_input_ends_without_a_farewell(last_word, left, tmp_path):
    async with LocalExchange(seed=1) as exchange:
        options = exchange.ccxt_options()
        venue = await asyncio.to_thread(Venue, options)
        orders = msgspec.structs.replace(
            word(tmp_path, None), market=venue.market.model_dump(mode="json"), patience_s=0.0
        )
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-m", "ztb.runtime.venue.watchdog"], check=True, text=True, capture_output=True,
            input=msgspec.json.encode(orders).decode() + "\n" + last_word, env=environment(**secrets(options)),
        )  # fmt: skip
        assert options["secret"] not in done.stdout + done.stderr
        assert await asyncio.to_thread(venue.open) == left


async def test_one_that_dies_is_started_again_and_it_ends_when_released(monkeypatch, tmp_path):
    for name in ("API_KEY", "SECRET"):
        monkeypatch.setenv(f"ZTB_SECRET_EXCHANGE_{name}", "made up for this")
    watchdog = Watchdog(word(tmp_path, None))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watchdog.run())
        await until(lambda: watchdog._process is not None)
        first = watchdog._process
        first.kill()
        await until(lambda: watchdog._process is not first)
        second = watchdog._process
        await watchdog.release()
        assert second.returncode == 0


def test_a_floor_is_told_in_the_moment_in_which_it_is_counted(tmp_path):
    floors, heard = iter([0.0, 950.0, 950.0, 940.0]), io.BytesIO()
    watchdog = Watchdog(word(tmp_path), lambda: next(floors))
    watchdog.tell()
    watchdog._process = SimpleNamespace(stdin=heard)
    for _ in range(3):
        watchdog.tell()
    assert heard.getvalue() == b"floor 950.0\nfloor 940.0\n"
