"""A run's folder is acted on by one at a time: a daemon, its watchdog, the next daemon; and what is left is read off it."""

from __future__ import annotations

import asyncio
import fcntl
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ztb.execution.orders import PROTECTIVE_FROM
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.venue.handover import LOCK, PUT_BACK, StopPutBack, at_rest, read_down, working, write_down
from ztb.runtime.venue.left_behind import Cover, Holdings, LeftBehind, StandingStop, look, stops_of
from ztb.testing.virtual_time import run_virtual

COVER = Cover(
    order_id=1, base="BTC", quote="USDT", lot_size="0.01", tick_size="0.5", min_notional="10", min_quantity="0.01"
)  # fmt: skip
LEFT = LeftBehind({}, "BTC/USDT", "ztbtest-", "", 7.0)


def rested_s(folder: Path, patience_s: float, let_go_s: float | None = None) -> float:
    """Seconds that a daemon waits for a watchdog, which lets go of the folder after so long, or is not there."""

    async def run() -> float:
        loop = asyncio.get_running_loop()
        with ExitStack() as held:
            if let_go_s is not None:
                assert held.enter_context(working(folder))
                loop.call_later(let_go_s, held.close)
            begun_s = loop.time()
            await at_rest(folder, patience_s)
            return loop.time() - begun_s

    return run_virtual(run())


def test_who_starts_waits_until_the_watchdog_lets_go_and_no_longer_than_it_has_patience(tmp_path):
    assert rested_s(tmp_path, 9.0) == 0.0, "there never was one"
    assert rested_s(tmp_path, 9.0, 2.05) == pytest.approx(2.1), "it looks ten times a second"
    assert rested_s(tmp_path, 9.0) == 0.0, "it is gone"
    assert rested_s(tmp_path, 3.0, 99.0) == pytest.approx(3.0, abs=0.1)
    assert rested_s(tmp_path, 0.0, 99.0) == 0.0, "who has no patience"


def test_two_daemons_may_look_at_once_whether_a_watchdog_is_at_work(tmp_path):
    with working(tmp_path):
        pass
    with (tmp_path / LOCK).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert rested_s(tmp_path, 3.0) == 0.0


def test_a_watchdog_acts_alone_and_never_while_a_daemon_holds_the_folder(tmp_path):
    with working(tmp_path) as ours, working(tmp_path) as others:
        assert ours and not others
    with RunDirectory(tmp_path).held(), working(tmp_path) as ours:
        assert not ours
    with working(tmp_path) as ours:
        assert ours


def test_stops_that_were_put_back_are_read_as_they_were_written_the_last_writing_alone(tmp_path):
    stops = [StopPutBack(PROTECTIVE_FROM + n, f"ztbtest-{n}", 10 * n, 100 - n) for n in (1, 2)]
    write_down(stops[:1], tmp_path)
    write_down(stops, tmp_path)
    assert read_down(tmp_path / PUT_BACK) == stops


@pytest.mark.parametrize(
    ("client_id", "protects", "decided"),
    [
        (f"ztbtest-{PROTECTIVE_FROM}", True, False),
        (f"ztbtest-{PROTECTIVE_FROM - 1}", False, True),
        ("ztbtest-x", False, True),
        (f"other-{PROTECTIVE_FROM}", False, False),
        (str(PROTECTIVE_FROM), False, False),
        (None, False, False),
    ],
)
def test_orders_of_ours_are_stops_or_to_be_cancelled_and_all_others_nobodys(client_id, protects, decided):
    row = {"clientOrderId": client_id}
    assert (LEFT.protects(row), LEFT.decided(row)) == (protects, decided)


def test_of_a_stop_whole_lots_and_ticks_count():
    def row(number: int, **more: Any) -> dict[str, Any]:
        return {"id": number, "clientOrderId": f"ztbtest-{PROTECTIVE_FROM + number}"} | more

    rows = [
        row(1, remaining="0.0399", triggerPrice=80.9),
        row(2, remaining=0.02, triggerPrice=None),
        {"id": 3, "clientOrderId": "ztbtest-4", "remaining": 1.0, "triggerPrice": 1.0},
    ]
    assert stops_of(rows, LEFT, COVER) == [StandingStop("1", 3, 161), StandingStop("2", 2, 0)]


def test_the_account_is_what_the_venue_holds_and_one_stop_can_be_for_what_is_free_and_what_stops_lock():
    class Client:
        async def fetch_order_book(self, symbol: str, depth: int) -> dict[str, Any]:
            assert (symbol, depth) == ("BTC/USDT", 5), "the least that every venue has"
            return {"bids": [[99.0, 1.0], [98.0, 2.0]], "asks": [[101.0, 3.0], [102.0, 4.0]]}

        async def fetch_balance(self) -> dict[str, Any]:
            return {"total": {"USDT": 700.5, "BTC": 2.5}, "free": {"USDT": 1.0, "BTC": 0.129}}

    stops = [StandingStop("1", 30, 1), StandingStop("2", 7, 1)]
    held = asyncio.run(look(Client(), "BTC/USDT", COVER, stops))  # type: ignore[arg-type]
    assert held == Holdings(700.5, 2.5, 12, stops, 99.0, 101.0) and held.lots == 49
    assert (COVER.lot, COVER.tick) == (Decimal("0.01"), Decimal("0.5"))
