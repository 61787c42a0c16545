"""A policy that nothing has trained sends no order on a market, and says so; one that was has its prior, no more."""

from __future__ import annotations

import asyncio

import pytest

from chaos.stage import WARM_S, configuration, stage
from runtime.made_policy import made_policy
from runtime.venue.fake_account import INSTRUMENT
from runtime.verify.sessions import alter, configured, decide, rows, start
from ztb.cli import run
from ztb.control import Promote, Rollback
from ztb.errors import ConfigError
from ztb.ledger.records import AllocationRow, OrderRow
from ztb.runtime.daemon.daemon import Daemon
from ztb.testing.exchange.local import LocalExchange
from ztb.testing.virtual_time import run_virtual

LEARNS = {"strategy.name": "ppo_online", "strategy.sample": True}  # which would trade at every other decision


@pytest.mark.parametrize("mode", ["paper", "live"])
def test_a_random_policy_sends_no_order_and_says_what_it_waits_for(mode, tmp_path):
    async def trade() -> tuple[int, int, str, str]:
        async with stage(3, tmp_path / "run", **LEARNS) as it, it.running(mode) as daemon:
            await asyncio.sleep(WARM_S + 20.0)
            now = daemon.snapshot()
            return now.decisions, now.orders, now.state, now.because

    decisions, orders, state, because = run_virtual(trade())
    assert decisions > 20 and orders == 0
    assert state == "waiting" and "nothing has earned a share" in because and "it takes 20" in because


def test_on_paper_it_trades_where_an_option_says_so_and_never_live(tmp_path):
    settings = LEARNS | {"allocation.by": "none"}

    async def trade(mode: str) -> tuple[int, str]:
        async with stage(3, tmp_path / mode, **settings) as it, it.running(mode) as daemon:
            await asyncio.sleep(WARM_S + 20.0)
            now = daemon.snapshot()
            return now.orders, now.state

    orders, state = run_virtual(trade("paper"))
    assert orders > 5 and state == "trading"
    with pytest.RaisesGroup(
        pytest.RaisesExc(ConfigError, match=r"allocation\.by: none .* never with real money")
    ):
        run_virtual(trade("live"))


def test_what_was_trained_has_the_prior_of_the_account_and_no_more(tmp_path):
    settings = LEARNS | {"allocation.rules": [], "allocation.prior": 0.2, "execution.band_fraction": 0.001}
    policy = made_policy(tmp_path / "policy", configuration(**settings), INSTRUMENT)

    async def trade() -> tuple[int, str, float]:
        async with stage(3, tmp_path / "run", **settings) as it, it.running("paper", 0, policy) as daemon:
            await asyncio.sleep(WARM_S + 60.0)
            now, rows = daemon.snapshot(), daemon.session.engine.experts
            assert rows is not None and set(rows.lanes) == {"generation 0"}
            return now.orders, now.state, abs(now.position) * (now.mid or 0.0) / now.equity

    orders, state, exposure = run_virtual(trade())
    assert orders > 0 and state == "trading" and exposure <= 0.21


def test_sessions_with_experts_over_a_restart_a_promotion_and_a_rollback_repeat_bit_for_bit(tmp_path, capsys):
    """Weights included: they are rows of the journal that a repetition has to make again."""
    folder, settings = tmp_path / "run", {"allocation__by": "evidence", "allocation__block_decisions": 2}
    folder.mkdir()
    made: list[str] = []

    async def first(daemon: Daemon) -> None:
        await decide(daemon, 12)
        while daemon.session.lineage.made < 2:  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.01)
        assert (await daemon.controls.execute(Promote(1), "test")).ok
        await decide(daemon, 10)
        experts = daemon.session.engine.experts
        assert experts is not None and {"generation 0", "generation 1"} < set(experts.lanes)
        assert experts.leader == "generation 1" and experts.account_unlearnt is not None
        assert (await daemon.controls.execute(Rollback(None), "test")).ok
        await decide(daemon, 6)
        assert experts.leader == "generation 0" and "generation 1" not in experts.lanes
        made.extend(experts.lanes)

    async def second(daemon: Daemon) -> None:
        await decide(daemon, 8)
        experts = daemon.session.engine.experts
        assert experts is not None and list(experts.lanes) == made

    async def both() -> None:
        async with LocalExchange(seed=5) as exchange:
            config = configured(exchange, **settings)
            policy = await asyncio.to_thread(made_policy, tmp_path / "policy", config, INSTRUMENT)
            await start(folder, config, first, policy)
            await start(folder, config, second)

    asyncio.run(both())
    weights = rows(folder, AllocationRow)
    assert len({row.expert for row in weights}) == 4 and len(weights) > 12
    assert rows(folder, OrderRow)
    assert run(["replay", str(folder), "--out", str(tmp_path / "again"), "--json"]) == 0
    assert "decisions repeated bit for bit" in capsys.readouterr().err
    alter(
        folder,
        "UPDATE allocations SET weight = weight * 1.000000001 WHERE seq = (SELECT max(seq) FROM allocations)",
    )
    assert run(["replay", str(folder), "--out", str(tmp_path / "altered"), "--json"]) == 3
