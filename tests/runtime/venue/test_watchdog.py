"""The watchdog outlives the daemon: what that left open is cancelled, unless it left on purpose."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import ccxt
import pytest
from ccxt.base import errors

from runtime.daemons import environment, until
from runtime.venue.live_runs import secrets, settings
from ztb.config import load_config
from ztb.config.market import MarketSection
from ztb.runtime.venue import client as clients
from ztb.runtime.venue.dead_man import Watchdog
from ztb.runtime.venue.watchdog import cancel_left_over
from ztb.testing.exchange.local import LocalExchange
from ztb.testing.virtual_time import run_virtual

PREFIX = "ztbtest-"
MARKET = MarketSection(venue="binance", symbol="BTC/USDT")


class Left:
    """A venue with `open_` orders by number and client id; `faults` are raised first, one a call."""

    def __init__(self, open_: dict[str, str], faults: list[Exception]) -> None:
        self.open = open_
        self.faults = faults
        self.closed = False

    def _fail(self) -> None:
        if self.faults:
            raise self.faults.pop(0)

    async def fetch_open_orders(self, symbol: str) -> list[dict[str, Any]]:
        self._fail()
        return [{"id": number, "clientOrderId": name} for number, name in self.open.items()]

    async def cancel_order(self, number: str, symbol: str, params: dict[str, Any]) -> dict[str, Any]:
        self._fail()
        if number not in self.open:
            raise errors.OrderNotFound(number)
        del self.open[number]
        return {}

    async def close(self) -> None:
        self.closed = True


def act(monkeypatch: pytest.MonkeyPatch, left: Left) -> int:
    monkeypatch.setattr(clients, "private_client", lambda market, environment: left)
    count = run_virtual(cancel_left_over(MARKET, "BTC/USDT", PREFIX))
    assert left.closed
    return count


def test_our_orders_are_cancelled_and_nobody_elses(monkeypatch):
    left = Left({"1": f"{PREFIX}1", "2": "by hand", "3": f"{PREFIX}3"}, [])
    assert act(monkeypatch, left) == 2 and left.open == {"2": "by hand"}


@pytest.mark.parametrize(
    "fault", [errors.NetworkError("down"), errors.RateLimitExceeded("429"), OSError("reset")]
)
def test_it_tries_again_until_it_is_done(monkeypatch, fault):
    left = Left({"1": f"{PREFIX}1", "2": f"{PREFIX}2"}, [fault] * 7)
    assert act(monkeypatch, left) == 2 and left.open == {}


def test_an_order_that_ended_by_itself_is_nothing_to_wait_for(monkeypatch):
    left = Left({"1": f"{PREFIX}1", "2": f"{PREFIX}2"}, [])
    fetch = left.fetch_open_orders

    async def fetch_and_end(symbol: str) -> list[dict[str, Any]]:
        rows = await fetch(symbol)
        del left.open["2"]
        return rows

    monkeypatch.setattr(left, "fetch_open_orders", fetch_and_end)
    assert act(monkeypatch, left) == 1 and left.open == {}


def test_a_venue_that_never_answers_is_given_up_in_the_end(monkeypatch):
    left = Left({"1": f"{PREFIX}1"}, [errors.NetworkError("down")] * 1000)
    assert act(monkeypatch, left) == 0 and 1000 - len(left.faults) == 20


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
async def test_a_process_of_its_own_acts_when_its_input_ends_without_a_farewell(last_word, left):
    async with LocalExchange(seed=1) as exchange:
        options = exchange.ccxt_options()
        venue = await asyncio.to_thread(Venue, options)
        orders = {"market": venue.market.model_dump(mode="json"), "symbol": "BTC/USDT", "prefix": PREFIX}
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-m", "ztb.runtime.venue.watchdog"], check=True, text=True, capture_output=True,
            input=json.dumps(orders) + "\n" + last_word, env=environment(**secrets(options)),
        )  # fmt: skip
        assert options["secret"] not in done.stdout + done.stderr
        assert await asyncio.to_thread(venue.open) == left


async def test_one_that_dies_is_started_again_and_it_ends_when_released():
    watchdog = Watchdog(MARKET, "BTC/USDT", PREFIX)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watchdog.run())
        await until(lambda: watchdog._process is not None)
        first = watchdog._process
        first.kill()
        await until(lambda: watchdog._process is not first)
        second = watchdog._process
        await watchdog.release()
        assert second.returncode == 0
