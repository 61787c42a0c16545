"""A venue that charges more than is configured: accounts on paper are charged it too, after a restart as well."""

from __future__ import annotations

import asyncio
import json

import pytest

from chaos.stage import WARM_S, configuration, stage
from runtime.made_policy import made_policy
from runtime.venue.fake_account import INSTRUMENT
from runtime.verify.sessions import rows
from ztb.cli import run
from ztb.ledger.records import COSTS_CORRECTED, NoteRow
from ztb.runtime.daemon.daemon import Daemon
from ztb.testing.virtual_time import run_virtual

CONFIGURED = 0.0002
"""The local exchange takes 0.001."""
SETTINGS = {
    "strategy.name": "ppo_online", "strategy.sample": True, "allocation.rules": [], "allocation.prior": 0.5,
    "execution.band_fraction": 0.001, "market.taker_fee": str(CONFIGURED), "market.maker_fee": "0", "market.record": True,
}  # fmt: skip


def charged(daemon: Daemon) -> float:
    experts = daemon.session.engine.experts
    assert experts is not None
    lane = experts.lanes["generation 0"]
    return float(lane.floor.lanes.exchange[lane.place]["taker_fee"])


def test_experts_are_charged_what_our_own_fills_cost_it_is_journaled_and_repeats(tmp_path, capsys):
    policy = made_policy(tmp_path / "policy", configuration(**SETTINGS), INSTRUMENT)

    begun: list[float] = []

    async def trade() -> float:
        async with stage(3, tmp_path / "run", **SETTINGS) as it:
            async with it.running("live", 0, policy) as daemon:
                async with asyncio.timeout(WARM_S + 1200.0):
                    while charged(daemon) == CONFIGURED:  # noqa: ASYNC110 (what is waited for has no event)
                        await asyncio.sleep(1.0)
                corrected = charged(daemon)
            known.extend(rows(tmp_path / "run", NoteRow))
            async with it.running("live", 0, watch=lambda again: begun.append(charged(again))):
                await asyncio.sleep(WARM_S)
            return corrected

    known: list[NoteRow] = []
    corrected = run_virtual(trade())
    told = [json.loads(row.detail) for row in known if row.kind == COSTS_CORRECTED]
    assert told and begun == pytest.approx([CONFIGURED + told[-1]["correction"]])
    assert run(["replay", str(tmp_path / "run"), "--out", str(tmp_path / "again"), "--json"]) == 0
    assert "repeated bit for bit" in capsys.readouterr().err
    assert CONFIGURED < corrected <= CONFIGURED + 2.0 * told[0]["charged"]
