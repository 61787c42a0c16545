"""On a market a policy that nothing has trained sends no order, says so, and is repeated so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chaos.stage import WARM_S, stage
from runtime.repetition.sessions import configured, decide, rows, start
from ztb.cli import run
from ztb.control import Promote
from ztb.errors import ConfigError
from ztb.ledger.records import DecisionRow, OrderRow
from ztb.runtime.daemon import Daemon
from ztb.testing.exchange.local import LocalExchange
from ztb.testing.virtual_time import run_virtual

LEARNS = {"strategy.name": "ppo_online", "strategy.sample": True}  # which would trade at every other decision


@pytest.mark.parametrize("mode", ["paper", "live"])
def test_a_random_policy_sends_no_order_and_says_what_it_waits_for(mode, tmp_path):
    async def trade() -> tuple[int, int, str, str]:
        async with stage(3, tmp_path / "run", **LEARNS) as it, it.running(mode) as daemon:
            await asyncio.sleep(WARM_S + 20.0)
            now = daemon.snapshot()
            return now.decisions, now.orders, now.state, now.halted_because

    decisions, orders, state, because = run_virtual(trade())
    assert decisions > 20 and orders == 0
    assert state == "waiting" and "random" in because and "--from-generation" in because


def test_on_paper_it_trades_where_an_option_says_so_and_never_live(tmp_path):
    settings = LEARNS | {"allocation.trade_untrained": True}

    async def trade(mode: str) -> tuple[int, str]:
        async with stage(3, tmp_path / mode, **settings) as it, it.running(mode) as daemon:
            await asyncio.sleep(WARM_S + 20.0)
            now = daemon.snapshot()
            return now.orders, now.state

    orders, state = run_virtual(trade("paper"))
    assert orders > 5 and state == "trading"
    with pytest.RaisesGroup(
        pytest.RaisesExc(ConfigError, match=r"allocation\.trade_untrained: never with real money")
    ):
        run_virtual(trade("live"))


def test_it_trades_once_a_generation_was_promoted_and_a_repetition_waits_as_long(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()

    async def steer(daemon: Daemon) -> None:
        await decide(daemon, 8)
        while daemon.session.lineage.made < 2:  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.01)
        assert daemon.session.waits and daemon.session.books.orders == 0
        assert (await daemon.controls.execute(Promote(1), "test")).ok
        assert not daemon.session.waits
        await decide(daemon, 16)

    async def trade() -> None:
        async with LocalExchange(seed=5) as exchange:
            await start(folder, configured(exchange, allocation__trade_untrained=False), steer)

    asyncio.run(trade())
    served = {row.decision: row.generation for row in rows(folder, DecisionRow)}
    orders = rows(folder, OrderRow)
    assert orders and {served[order.decision] for order in orders} == {1}
    assert run(["replay", str(folder), "--out", str(tmp_path / "again"), "--json"]) == 0
