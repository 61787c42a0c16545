"""A market that turns round: through `ztb replay` itself, the policy follows it.

Momentum becomes reversion and momentum again (`learning.made_markets`). Generation 0 is trained on momentum. What a
generation is worth is its greedy reward on fresh paths of the regime, as a share of the optimum's.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from learning.made_markets import (
    CASH,
    FEATURES,
    HOUR_NS,
    LADDER,
    MARKET,
    SIGMA,
    Examination,
    best_policy,
    closes,
    write_csv,
)
from utils.checkpoint_states import proof_sample
from ztb.config import load_config
from ztb.ledger.journal import JournalReader
from ztb.ledger.records import DecisionRow, MarkRow
from ztb.ledger.run_directory import create_run_directory
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data, run_to_end
from ztb.trading.policy.weights import Weights
from ztb.utils import CheckpointManager

MOMENTUM, REVERSION = 0.3, -0.3
SEEDS = 5
FEE = str(MARKET.taker_fee)
SETTINGS: dict[str, Any] = {
    "market.symbol": MARKET.symbol, "market.venue": "binanceusdm", "market.tick_size": str(MARKET.tick_size),
    "market.lot_size": str(MARKET.lot_size), "market.maker_fee": FEE, "market.taker_fee": FEE,
    "market.spread_bps": 0.0, "features.names": list(FEATURES), "decision.ladder": list(LADDER),
    "execution.cost_reserve_fraction": 0.0, "execution.start_cash_quote": CASH,
    "risk.max_daily_loss_fraction": 1.0, "risk.max_drawdown_fraction": 1.0, "risk.max_orders_per_day": 100_000,
    "risk.max_repeated_side": 100_000, "checkpoint.interval_updates": 1, "online.reward_scale": 1.0 / SIGMA,
    "online.update_every_decisions": 512, "online.passes": 8, "online.rollout_lanes": 128,
    "online.rollout_horizon_decisions": 64, "online.entropy_coef": 0.05,
    "ppo.gamma": 0.8, "ppo.gae_lambda": 0.5, "ppo.learning_rate": 1e-3, "ppo.minibatch_size": 1024,
    "ppo.num_envs": 128, "ppo.num_steps": 64, "ppo.target_kl": None,
    # What is claimed here is of learning from draws and rewards as they are, and of the gate; what an account has of it,
    # whose shares follow evidence, is another matter.
    "strategy.sample": True, "allocation.by": "none", "online.luck_weight": 1.0,
    # Who explores much differs from who does not mostly by what was drawn: more accounts average that out.
    "gate.paths": 16,
}  # fmt: skip


@dataclass
class Ran:
    """A finished replay: the generation of each decision, and log equities, in standard deviations of the return."""

    generations: NDArray[np.int64]
    live: NDArray[np.float64]
    frozen: NDArray[np.float64]
    checkpoints: CheckpointManager

    def weights(self, decision: int) -> Weights:
        state = self.checkpoints.load("policy", int(self.generations[decision]), as_numpy=True)
        weights: Weights = state["weights"]
        return weights


def replay(regimes: list[tuple[float, int]], pretrain: int, seed: int, folder: Path, **changes: Any) -> Ran:
    """`ztb replay --pretrain` over `regimes`, (ρ, decisions) in order after `pretrain` bars of the first."""
    (rho, _), *_ = regimes
    path = write_csv(closes([(rho, pretrain), *regimes], seed), folder / f"made-{seed}.csv")
    flags = SETTINGS | {key.replace("__", "."): value for key, value in changes.items()}
    request = ReplayRequest(
        load_config(None, flags, {}).config, (path,), seed, pretrain_ns=pretrain * HOUR_NS
    )
    directory = create_run_directory(folder / f"run-{seed}", "replay")
    asyncio.run(run_to_end(Replay.over(request, open_data(request), directory)))
    reader = JournalReader(directory.journal)
    generations = np.array([row.generation for row in reader.rows(DecisionRow)])
    equities = np.array([(row.equity, row.frozen_equity) for row in reader.rows(MarkRow)])
    reader.close()
    live, frozen = np.log(equities).T / SIGMA
    return Ran(generations, live, frozen, CheckpointManager(directory.checkpoints))


def test_after_a_turn_even_what_is_not_updated_earns_again_and_what_learns_is_no_worse(tmp_path):
    """Its forecast has turned: little is lost until then, where before it lost 1.5 times what the optimum earns."""
    turn, seen, last = 700, 800, 2600
    ran = replay(
        [(MOMENTUM, turn), (REVERSION, last)], 3000, 0, tmp_path, online__window_decisions=1024,
        online__update_every_decisions=256, online__passes=4, online__rollout_horizon_decisions=32,
    )  # fmt: skip
    examination = Examination(REVERSION, 5, lanes=20, steps=400)
    best = examination.best(best_policy(REVERSION)[0])
    first, newest = (examination.greedy(ran.weights(decision)) / best for decision in (0, -1))
    assert first > 0.1 and newest > 0.5 and newest > first - 0.1
    for equity in (ran.live, ran.frozen):
        assert equity[turn + seen] - equity[turn] > -0.3 * best * seen
        assert equity[-1] - equity[turn + seen] > 0.1 * best * (last - seen)


@dataclass
class Adapted:
    """After one turn: shares of the optimum, and mean rewards really earned over those decisions."""

    after: dict[int, float]
    earned: float
    frozen: float


def adapted(ran: Ran, turn: int, rho: float, decisions: int, seed: int) -> Adapted:
    examination = Examination(rho, 10_000 + seed)
    best = examination.best(best_policy(rho)[0])
    looks = [n for n in (1, 2_500, 5_000, 7_500, 10_000, 15_000, 20_000) if n <= decisions]
    after = {n: examination.greedy(ran.weights(turn + n - 1)) / best for n in looks}
    gained = [(equity[turn + decisions - 1] - equity[turn]) / decisions for equity in (ran.live, ran.frozen)]
    found = Adapted(after, *gained)
    print(f"seed {seed}, turn to rho {rho}: of the optimum {({n: round(s, 2) for n, s in after.items()})}; really "
          f"earned {gained[0] / best:.2f}, frozen {gained[1] / best:.2f}")  # fmt: skip
    return found


@pytest.mark.proof
def test_after_each_turn_of_the_market_it_regains_the_optimum(tmp_path):
    """80 % of the optimum's reward rate within 10,000 decisions, 90 % within 20,000, and a third of the losses at most.

    Where the frozen policy gains, because what it was trained on has come back, nothing may be lost.
    A sample of the proof is one seed and one turn, to the first 10,000 decisions; what is claimed of the median of five
    cannot be claimed of each, so that a sample asks for 60 %.
    """
    seeds, before, long = proof_sample(SEEDS), 2_000, 20_000
    whole = len(seeds) == SEEDS
    regimes = [(MOMENTUM, before), (REVERSION, long), (MOMENTUM, long)] if whole else [
        (MOMENTUM, before), (REVERSION, long // 2)]  # fmt: skip
    found: dict[int, list[Adapted]] = {}
    for seed in seeds:
        ran = replay(regimes, 12_000, seed, tmp_path)
        turn = before
        for rho, decisions in regimes[1:]:
            found.setdefault(turn, []).append(adapted(ran, turn, rho, decisions, seed))
            turn += decisions
    for after_turn in found.values():
        assert median(one.after[10_000] for one in after_turn) >= (0.8 if whole else 0.6)
        assert median(one.earned - min(one.frozen, 0.0) / 3 for one in after_turn) >= 0.0
        if whole:
            assert median(one.after[20_000] for one in after_turn) >= 0.9
