"""A paper account has the stop that a live one has: said while it stands, reached when the market falls, and repeated."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chaos.stage import WARM_S, Stage, stage
from runtime.daemons import until
from runtime.verify.sessions import rows
from ztb.cli import run
from ztb.execution.orders import is_protective
from ztb.ledger.records import FillRow, OrderRow
from ztb.runtime.daemon.daemon import Daemon
from ztb.testing.virtual_time import run_virtual

FRACTION, MID = 0.05, 60_000.0
SETTINGS = {
    "strategy.name": "hold", "risk.protective_stop_fraction": FRACTION, "risk.max_daily_loss_fraction": 0.9,
    "risk.max_drawdown_fraction": 0.9, "market.record": True,
}  # fmt: skip


def unprotected(daemon: Daemon) -> list[str]:
    return [one.text for one in daemon.snapshot().conditions if one.kind == "unprotected"]


async def stopped(it: Stage, daemon: Daemon, first: bool) -> None:
    """Hold something, have its stop said, and be stopped out."""
    await asyncio.sleep(WARM_S)
    account = daemon.session.books.account
    await until(lambda: account.position > 0.1 and not daemon.session.engine.live.working)
    stop = daemon.snapshot().protective_stop
    assert stop is not None and abs(stop.quantity - account.position) < 1e-9 and unprotected(daemon) == []
    if first:
        kept, start = account.cash + account.position * stop.price, account.cash + account.position * MID
        assert kept / start == pytest.approx(1.0 - FRACTION, abs=5e-3)
    it.fall(0.2, 2.0)
    await asyncio.sleep(10.0)
    daemon.session.journal.flush()


def fills(folder: Path) -> list[FillRow]:
    return [row for row in rows(folder, FillRow) if is_protective(row.order_id)]


def test_a_session_is_stopped_out_says_so_and_is_repeated_bit_for_bit_over_a_restart(tmp_path, capsys):
    folder = tmp_path / "run"

    async def session() -> None:
        async with stage(3, folder, **SETTINGS) as it:
            for start in (1, 2):
                async with it.running("paper", 3) as daemon, asyncio.timeout(300.0):
                    await stopped(it, daemon, first=start == 1)
                    assert "protective_stop_reached" in {alert.key for alert in daemon.snapshot().alerts}
                assert len({row.order_id for row in fills(folder)}) >= start

    run_virtual(session())
    sent = [row for row in rows(folder, OrderRow) if is_protective(row.order_id)]
    assert [row.order_type for row in sent] == ["stop"] * len(sent) and all(row.reduce_only for row in sent)
    for order in sent:
        sold = [row for row in fills(folder) if row.order_id == order.order_id]
        assert all(row.price_ticks == pytest.approx(order.price_ticks, rel=0.1) for row in sold)
    assert run(["replay", str(folder), "--out", str(tmp_path / "again")]) == 0
    assert "repeated bit for bit" in capsys.readouterr().out


def test_without_a_fraction_it_is_said_that_there_is_none(tmp_path):
    async def session() -> None:
        async with (
            stage(3, tmp_path, **{"risk.protective_stop_fraction": 0.0}) as it,
            it.running("paper") as daemon,
        ):
            await asyncio.sleep(WARM_S + 10.0)
            assert daemon.snapshot().protective_stop is None
            assert ["fraction is 0" in text for text in unprotected(daemon)] == [True]

    run_virtual(session())
