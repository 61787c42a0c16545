"""One way to build a run: every mode gets its id, its instrument and its first policy from the same functions."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trading.markets import SPOT
from ztb.config import Config, load_config
from ztb.ledger.run_directory import RunDirectory
from ztb.runtime.broadcast import Broadcast
from ztb.runtime.build.context import RunContext, configured_instrument
from ztb.runtime.modes.paper import TradingRequest, market_context
from ztb.runtime.modes.replay import ReplayRequest, open_data, replay_context
from ztb.runtime.session import Session
from ztb.trading.policy.weights import NetworkShape

SHAPE = NetworkShape(9, (5, 3), (8,))


def context_of(
    mode: str, config: Config, folder: Path, data: Path, now_ns: int = 0, past: Any = None
) -> RunContext:
    """Of a run in `mode`; the market of the others is a stand-in."""
    if mode == "replay":
        request = ReplayRequest(config, (data,), seed=0)
        return replay_context(request, open_data(request), RunDirectory(folder), lambda _name, _done: None)
    market: Any = SimpleNamespace(source=SimpleNamespace(instrument=SPOT, bar_ns=None))
    return market_context(
        mode, TradingRequest(config, RunDirectory(folder), 0), market, now_ns, past, Broadcast()
    )


@pytest.mark.parametrize("mode", ["replay", "paper", "live"])
def test_a_policy_of_chance_begins_as_configured_in_every_mode(mode, write_bars, tmp_path):
    made = {}
    for orthogonal in (True, False):
        config = load_config(None, {"ppo.orthogonal_init": orthogonal}, {}).config
        context = context_of(mode, config, tmp_path, write_bars(100))
        made[orthogonal] = context.initial_policy(SHAPE, "schema").weights["trunk.0.weight"]
    products = made[True].T @ made[True]
    assert np.allclose(products - np.diag(np.diag(products)), 0.0, atol=1e-6)
    products = made[False].T @ made[False]
    assert not np.allclose(products - np.diag(np.diag(products)), 0.0, atol=1e-3)


@pytest.mark.parametrize("mode", ["replay", "paper", "live"])
def test_what_the_configuration_says_of_fees_and_spread_is_traded_in_every_mode(mode, write_bars, tmp_path):
    flags = {"market.maker_fee": "0.0001", "market.taker_fee": "0.0003", "market.spread_bps": 7.0}
    traded = context_of(
        mode, load_config(None, flags, {}).config, tmp_path, write_bars(100)
    ).assembly.instrument
    assert (traded.maker_fee, traded.taker_fee, traded.spread_bps) == (
        Decimal("0.0001"),
        Decimal("0.0003"),
        7.0,
    )
    assert configured_instrument(SPOT, Config().market) == SPOT


def test_a_replays_id_follows_from_what_can_change_it_and_a_sessions_is_its_own(write_bars, tmp_path):
    data, config, other = write_bars(100), Config(), load_config(None, {"ppo.gamma": 0.5}, {}).config
    one, same = (context_of("replay", config, tmp_path / name, data).run_id for name in ("a", "b"))
    assert one == same != context_of("replay", other, tmp_path, data).run_id
    ids = {
        context_of("paper", config, tmp_path / name, data, now).run_id
        for name in ("a", "b")
        for now in (1, 2)
    }
    assert len(ids) == 4
    folder = RunDirectory(tmp_path / "a")
    folder.path.mkdir()
    folder.write_json(folder.manifest, {"run_id": "of before"})
    assert (
        context_of("paper", config, tmp_path / "a", data, 3, SimpleNamespace(opening=None)).run_id
        == "of before"
    )


def test_a_session_is_made_without_touching_a_file(write_bars, tmp_path):
    context = context_of("replay", Config(), tmp_path / "nowhere", write_bars(100))
    parts: Any = SimpleNamespace(
        learner=SimpleNamespace(
            lineage=None, policy=None, origin=None, store=None, promotion=None, unproven=False
        ),
        opening=None, journal=None, books=None, engine=None,
    )  # fmt: skip
    Session(context, parts)
    assert not (tmp_path / "nowhere").exists()
