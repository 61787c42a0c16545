"""A live session, repeated from its ticks and from what the venue reported, every decision and order bit for bit."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from runtime.daemons import until
from runtime.venue.live_runs import make_live, trading
from runtime.verify.sessions import ask, rows
from ztb.cli import run
from ztb.control import Adopt, Flatten, Reload
from ztb.ledger.records import DecisionRow, FillRow, OrderEventRow
from ztb.testing.exchange.listing import SCALE
from ztb.testing.exchange.local import LocalExchange
from ztb.testing.exchange.venue import USER


async def trade(folder: Path) -> None:
    """Two starts: answers get lost in the first, and money that came is taken over; the second goes on with what was
    left open, and ends flat."""
    async with LocalExchange(seed=2) as exchange:
        options = exchange.ccxt_options()
        exchange.inject("status", match="POST /api/v3/order", accepted=True, count=2, after=2, status=503)
        leave = {"execution": {"reconcile_every_s": 2.0, "unknown_order_s": 6.0, "orders_at_stop": "leave"}}
        async with trading(await make_live(folder, options, **leave)) as daemon:
            await until(lambda: daemon.session.books.orders >= 5)
            exchange.core.state.venue.accounts.held[USER]["USDT"].free += 1_000 * SCALE
            await until(lambda: daemon.switch.latch is not None and not daemon.session.engine.live.working)
            await ask(daemon, Adopt())
            await until(lambda: daemon.session.books.orders >= 10)
        orders = daemon.session.books.orders
        async with trading(await make_live(folder, options)) as again:
            await until(lambda: again.session.books.orders >= orders + 6)
            await ask(again, Reload())
            assert again.session.engine.live.gate.limits.max_order_notional_quote == 1e6  # as it was armed
            await ask(again, Flatten())
            await until(lambda: again.switch.latch is not None and again.switch.latch.stop == "halted")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live") / "run"
    asyncio.run(trade(folder))
    return folder


def repeat(folder: Path, to: Path) -> int:
    return run(["replay", str(folder), "--out", str(to), "--json"])


def test_two_starts_with_lost_answers_an_adoption_and_a_flattening_are_repeated_bit_for_bit(
    session, tmp_path, capsys
):
    events = {row.event for row in rows(session, OrderEventRow)}
    assert {"accepted", "submitunknown"} <= events and len(rows(session, FillRow)) >= 10
    assert repeat(session, tmp_path / "again") == 0
    decisions = len(rows(session, DecisionRow))
    assert f"{decisions} decisions repeated bit for bit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (
            "UPDATE fills SET price_ticks = price_ticks + 1 WHERE seq = (SELECT min(seq) FROM fills)",
            "start 1",
        ),
        ("UPDATE notes SET detail = max(detail - 20, 0) WHERE kind = 'collected'", "differs in"),
        (
            "UPDATE orders SET lots = lots + 1 WHERE seq = (SELECT max(seq) FROM orders)",
            "start 2 differs in orders",
        ),
    ],
)
def test_another_fill_another_moment_and_another_order_are_found_out(
    session, tmp_path, capsys, statement, named
):
    broken = Path(shutil.copytree(session, tmp_path / "broken"))
    with sqlite3.connect(broken / "journal.sqlite") as journal:
        assert journal.execute(statement).rowcount > 0
    assert repeat(broken, tmp_path / "again") == 3
    assert re.search(named, capsys.readouterr().err)
