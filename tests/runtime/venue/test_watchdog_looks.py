"""When a watchdog looks and for how long, and what it takes for too little to be covered."""

from __future__ import annotations

import asyncio
import io
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from ccxt.base import errors
from structlog.testing import capture_logs

from runtime.venue.test_watchdog import COVER, FIRST, FLOOR, MARKET, OLD, PREFIX, Left, word
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.venue import watchdog
from ztb.runtime.venue.left_behind import Cover, LeftBehind
from ztb.runtime.venue.watchdog import act
from ztb.testing.virtual_time import run_virtual


class Looked(Left):
    """A venue that notes when it is looked at."""

    def __init__(
        self, open_: dict[str, str], faults: list[Exception] | None = None, coins: float = 0.0
    ) -> None:
        super().__init__(open_, faults, coins)
        self.looks: list[float] = []

    async def fetch_open_orders(self, symbol: str) -> list[dict[str, Any]]:
        self.looks.append(asyncio.get_running_loop().time())
        return await super().fetch_open_orders(symbol)


def cleared(left: Left, folder: Path, cover: Cover | None = COVER, patience_s: float = 7.0) -> float:
    """Seconds that it took."""

    async def run() -> float:
        said = msgspec.structs.replace(word(folder, cover), patience_s=patience_s)
        await act(said, FLOOR, left)  # type: ignore[arg-type]
        return asyncio.get_running_loop().time()

    return run_virtual(run())


def test_a_venue_that_does_not_answer_is_asked_ever_more_seldom_and_half_a_minute_apart_at_last(tmp_path):
    left = Looked({"1": f"{PREFIX}1"}, [errors.NetworkError("down")] * 1000)
    cleared(left, tmp_path)
    apart = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, *[30.0] * 11]
    assert np.diff(left.looks).tolist() == pytest.approx(apart)


def test_after_an_answer_it_is_as_eager_as_before(tmp_path):
    class Sometimes(Looked):
        async def fetch_open_orders(self, symbol: str) -> list[dict[str, Any]]:
            self.faults = [errors.NetworkError("down")] * (len(self.looks) in (0, 1, 2, 4, 5))
            return await super().fetch_open_orders(symbol)

    left = Sometimes({})
    cleared(left, tmp_path)
    assert np.diff(left.looks[:8]).tolist() == pytest.approx([0.2, 0.4, 0.8, 0.5, 0.2, 0.4, 0.5])


def test_it_looks_twice_a_second_until_nothing_can_come_any_more_and_once_then(tmp_path):
    left = Looked({})
    assert cleared(left, tmp_path, patience_s=2.0) == 2.0 == left.looks[-1]
    assert np.diff(left.looks).tolist() == [0.5] * 4


def test_while_the_folder_is_held_it_looks_five_times_a_second_whether_it_still_is(tmp_path):
    left, lock = Looked({"1": f"{PREFIX}1"}), ExitStack()

    async def run() -> None:
        lock.enter_context(RunDirectory(tmp_path).held())
        asyncio.get_running_loop().call_later(0.45, lock.close)
        await act(word(tmp_path), FLOOR, left)  # type: ignore[arg-type]

    run_virtual(run())
    assert left.looks[0] == pytest.approx(0.6)


def test_what_comes_as_patience_ends_is_cleared_before_it_leaves(tmp_path):
    left = Looked({"1": f"{PREFIX}1"})
    cleared(left, tmp_path, patience_s=0.0)
    assert left.looks == [0.0, 0.2] and left.open == {}, "it cancelled, and saw that nothing was left"


@pytest.mark.parametrize(
    ("coins", "cover", "put"),
    [
        (0.01, {}, False),
        (0.12, {"min_notional": "5", "min_quantity": "0.13"}, False),
        (0.12, {"min_notional": "5", "min_quantity": "0.12"}, True),
        (0.5, {"min_notional": "25"}, True),
        (0.49, {"min_notional": "25"}, False),
    ],
)
def test_less_than_the_venue_lets_anybody_sell_is_left_and_as_much_is_covered(coins, cover, put, tmp_path):
    """The floor lies so low that the stop is at half the price: 50 a coin."""
    left = Left({}, coins=coins)
    assert cleared(left, tmp_path, msgspec.structs.replace(COVER, **cover)) < 8.0, "it is done, either way"
    assert [call[1:3] for call in left.calls] == ([("create", FIRST)] if put else [])


def test_too_little_is_what_no_stop_covers_yet_not_what_one_does(tmp_path):
    left = Left({}, coins=5.05)
    left.cash = 500.0
    left.stand("7", OLD, 5.0, 90.0)
    cleared(left, tmp_path)
    assert left.calls == [] and list(left.open.values()) == [OLD], "five hundredths are worth less than 10"


def test_of_several_stops_all_are_one_in_the_end_and_something_stands_always(tmp_path):
    left = Left({}, coins=5.0)
    left.cash, kept = 500.0, list[int]()
    left.stand("7", OLD, 1.0, 75.0)
    left.stand("8", f"{OLD}1", 1.0, 76.0)
    cancel = left.cancel_order

    async def noted(number: str, symbol: str, params: dict[str, Any]) -> dict[str, Any]:
        answer = await cancel(number, symbol, params)
        kept.append(len(left.stops))
        return answer

    left.cancel_order = noted  # type: ignore[method-assign]
    cleared(left, tmp_path)
    assert list(left.stops.values()) == [(5.0, 90.0)] and kept == [1]
    assert [call[1:] for call in left.calls] == [("edit", FIRST, 90.0)]


def test_one_refusal_is_tried_again_where_the_floor_is_and_one_that_is_taken_clears_the_count(tmp_path):
    left = Left({}, coins=5.0)
    left.cash, refuse = 500.0, [True, False, True, False]
    left.stand("7", OLD, 2.0, 75.0)
    sell = left._sell

    def picky(call: str, amount: float, params: dict[str, Any], trigger: float) -> dict[str, Any]:
        if refuse.pop(0):
            raise errors.InvalidOrder("filter")
        done = sell(call, amount, params, trigger)
        if refuse:
            left.coins += 1.0
            left.cash -= 100.0
        return done

    left._sell = picky  # type: ignore[method-assign,assignment]
    cleared(left, tmp_path)
    assert [trigger for *_, trigger in left.calls] == [90.0, pytest.approx(91.0, abs=1.0)]


def test_without_a_floor_nothing_is_covered(tmp_path):
    """The daemon died before it had seen the account."""
    left = Left({"1": f"{PREFIX}1"}, coins=5.0)
    assert run_virtual(act(word(tmp_path), 0.0, left)) == 1 and left.calls == []  # type: ignore[arg-type]


def test_where_the_venue_takes_the_least_of_orders_what_is_covered_is_left_as_it_is(tmp_path):
    left = Left({}, coins=5.0)
    left.cash = 500.0
    left.stand("7", OLD, 5.0, 90.0)
    cleared(left, tmp_path, msgspec.structs.replace(COVER, min_quantity="0", min_notional="0"))
    assert left.calls == [] and list(left.stops) == ["7"]


def test_what_is_refused_again_and_again_without_any_stop_before_it_is_tried_where_the_floor_is(tmp_path):
    left = Left({}, coins=5.0)
    left.cash, refusals = 500.0, [errors.InvalidOrder("filter")] * 4
    sell = left._sell

    def picky(call: str, amount: float, params: dict[str, Any], trigger: float) -> dict[str, Any]:
        if refusals:
            raise refusals.pop()
        return sell(call, amount, params, trigger)

    left._sell = picky  # type: ignore[method-assign,assignment]
    cleared(left, tmp_path)
    assert list(left.stops.values()) == [(5.0, 90.0)]


def test_its_program_acts_with_the_floor_it_was_told_last_and_says_how_much_it_cancelled(monkeypatch):
    left = msgspec.structs.replace(word(Path("a folder")), market=MARKET.model_dump(mode="json"))
    said = [msgspec.json.encode(left).decode(), "floor 3.5", "floor 2.5"]
    acted: list[tuple[LeftBehind, float, object]] = []
    client = object()

    async def act(left: LeftBehind, floor: float, client: object) -> int:
        acted.append((left, floor, client))
        return 3

    monkeypatch.setattr(watchdog.sys, "stdin", io.StringIO("\n".join(said)))
    monkeypatch.setattr(watchdog, "client_for", lambda *_: client)
    monkeypatch.setattr(watchdog, "act", act)
    hidden: list[object] = []
    monkeypatch.setattr(watchdog, "configure_logging", lambda secrets: hidden.append(secrets))
    monkeypatch.setattr(watchdog, "known_secrets", lambda: {"a secret"})
    with capture_logs() as logs:
        watchdog.main()
    assert hidden == [{"a secret"}], "what it knows is in no line of its log"
    assert acted == [(left, 2.5, client)]
    assert [(one["event"], one["orders"]) for one in logs] == [("watchdog_cancelled", 3)]
