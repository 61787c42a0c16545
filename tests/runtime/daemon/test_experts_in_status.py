"""A snapshot of a daemon says who trades beside the account, with which weight, and what speaks for it."""

from __future__ import annotations

import asyncio

import msgspec

from chaos.stage import WARM_S, configuration, stage
from runtime.made_policy import made_policy
from runtime.venue.fake_account import INSTRUMENT
from ztb.telemetry.snapshot import DaemonSnapshot
from ztb.testing.virtual_time import run_virtual

LEARNS = {"strategy.name": "ppo_online", "strategy.sample": True, "allocation.rules": ["hold"]}


def test_what_a_daemon_says_of_its_experts_is_what_its_allocator_has(tmp_path):
    policy = made_policy(tmp_path / "policy", configuration(**LEARNS), INSTRUMENT)

    async def trade() -> tuple[DaemonSnapshot, dict[str, tuple[float, float, float]]]:
        async with stage(3, tmp_path / "run", **LEARNS) as it, it.running("paper", 0, policy) as daemon:
            await asyncio.sleep(WARM_S + 60.0)
            experts = daemon.session.engine.experts
            assert experts is not None
            known = {
                name: (one.weight, one.evidence.log_e, experts.lanes[name].equity)
                for name, one in experts.allocator.experts.items()
            }
            return daemon.snapshot(), known

    now, known = run_virtual(trade())
    assert {one.name: (one.weight, one.log_evidence, one.equity) for one in now.experts} == known
    assert [(one.name, one.leads) for one in now.experts] == [("hold", False), ("generation 0", True)]
    assert sum(one.weight for one in now.experts) > 0.0 and now.state == "trading"
    assert now.helping[0].baseline == "unlearnt"
    assert msgspec.to_builtins(now)["experts"][1]["name"] == "generation 0", (
        "as status --json and MQTT have it"
    )
