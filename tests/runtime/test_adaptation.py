"""A market that turns round: through `ztb replay` itself, the account and its policies follow it.

Momentum becomes reversion and momentum again (`learning.made_markets`). Generation 0 is trained on momentum. What a
generation is worth is its greedy reward on fresh paths of the regime, as a share of the optimum's; what the account
earns is compared with the optimum's on the same path.
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
    CELLS,
    COST,
    FEATURES,
    HOUR_NS,
    LADDER,
    MARKET,
    REACH,
    SIGMA,
    Examination,
    best_policy,
    closes,
)
from utils.checkpoint_states import proof_sample
from ztb.config import load_config
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import DecisionRow, MarkRow
from ztb.ledger.run_directory import create_run_directory
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data, run_to_end
from ztb.testing.made_market import write_bars
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
    "ppo.anneal_learning_rate": False, "ppo.entropy_coef": 0.01,
    "ppo.num_envs": 128, "ppo.num_steps": 64, "ppo.target_kl": None,
}  # fmt: skip
DRAWS: dict[str, Any] = {
    # What is claimed of generations is of learning from draws and rewards as they are, and of the gate; what an account
    # has of it, whose shares follow evidence, is another matter.
    "strategy.sample": True, "allocation.by": "none", "online.luck_weight": 1.0,
    # Who explores much differs from who does not mostly by what was drawn: more accounts average that out.
    "gate.paths": 16,
}  # fmt: skip


@dataclass
class Ran:
    """A finished replay: the generation of each decision, and log equities, in standard deviations of the return.

    `held` is the exposure from each decision to the next, `last` the log return that led to it, in its standard
    deviation.
    """

    generations: NDArray[np.int64]
    live: NDArray[np.float64]
    frozen: NDArray[np.float64]
    held: NDArray[np.float64]
    last: NDArray[np.float64]
    checkpoints: CheckpointManager

    def weights(self, decision: int) -> Weights:
        state = self.checkpoints.load("policy", int(self.generations[decision]), as_numpy=True)
        weights: Weights = state["weights"]
        return weights

    def earned(self, first: int, last: int, rho: float, luck: bool = True) -> float:
        """Share of the account from decision `first` to `last` in what the optimum earns on the same path.

        Without `luck`, what the noise of the path brought is taken out of both.
        """
        table, _ = best_policy(rho)
        before, after = self.last[first:last], self.last[first + 1 : last + 1]
        cells = np.clip((before + REACH) * CELLS / (2 * REACH), 0, CELLS - 1).astype(np.int64)
        rungs = [LADDER.index(0.0)]
        for cell in cells:
            rungs.append(int(table[rungs[-1], cell]))
        best = np.array(LADDER)[rungs]
        optimum = float(np.sum(best[1:] * after) - COST * np.sum(np.abs(np.diff(best))))
        account, noise = float(self.live[last] - self.live[first]), after - rho * before
        if luck:
            return account / optimum
        return (account - float(np.sum(self.held[first:last] * noise))) / (
            optimum - float(np.sum(best[1:] * noise))
        )


def replay(
    regimes: list[tuple[float, int]],
    pretrain: int,
    seed: int,
    folder: Path,
    other: dict[str, Any],
    **changes: Any,
) -> Ran:
    """`ztb replay --pretrain` over `regimes`, (ρ, decisions) in order after `pretrain` bars of the first.

    With `other` settings and `changes`.
    """
    (rho, _), *_ = regimes
    folder.mkdir(exist_ok=True)
    path = write_bars(closes([(rho, pretrain), *regimes], seed), folder / f"made-{seed}.csv")
    flags = SETTINGS | other | {key.replace("__", "."): value for key, value in changes.items()}
    request = ReplayRequest(
        load_config(None, flags, {}).config, (path,), seed, pretrain_ns=pretrain * HOUR_NS
    )
    directory = create_run_directory(folder / f"run-{seed}", "replay")
    asyncio.run(run_to_end(Replay.over(request, open_data(request), directory)))
    reader = JournalReader(directory.journal)
    generations = np.array([row.generation for row in reader.rows(DecisionRow)])
    marks = np.array([(row.equity, row.frozen_equity, row.position, row.mid) for row in reader.rows(MarkRow)])
    reader.close()
    equity, frozen, position, mids = marks.T
    held = np.append(position[1:] * mids[:-1] / equity[:-1], 0.0)
    return Ran(
        generations=generations,
        live=np.log(equity) / SIGMA,
        frozen=np.log(frozen) / SIGMA,
        held=held,
        last=np.append(0.0, np.diff(np.log(mids))) / SIGMA,
        checkpoints=CheckpointManager(directory.checkpoints),
    )


def test_after_a_turn_even_what_is_not_updated_earns_again_and_what_learns_is_no_worse(tmp_path):
    """Its forecast has turned: little is lost until then, where before it lost 1.5 times what the optimum earns."""
    turn, seen, last = 700, 800, 2600
    ran = replay(
        [(MOMENTUM, turn), (REVERSION, last)], 3000, 0, tmp_path, DRAWS, online__window_decisions=1024,
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
        ran = replay(regimes, 12_000, seed, tmp_path, DRAWS)
        turn = before
        for rho, decisions in regimes[1:]:
            found.setdefault(turn, []).append(adapted(ran, turn, rho, decisions, seed))
            turn += decisions
    for after_turn in found.values():
        assert median(one.after[10_000] for one in after_turn) >= (0.8 if whole else 0.6)
        assert median(one.earned - min(one.frozen, 0.0) / 3 for one in after_turn) >= 0.0
        if whole:
            assert median(one.after[20_000] for one in after_turn) >= 0.9


def test_the_account_follows_a_turn_with_gate_and_allocator_as_they_are_by_default(tmp_path):
    """A thousand decisions after it the account earns most of what the optimum does, luck taken out of both."""
    turn, seen, last = 500, 1_000, 3_000
    ran = replay([(MOMENTUM, turn), (REVERSION, last)], 3_000, 0, tmp_path, {}, online__learner="off")
    before = ran.earned(100, turn, MOMENTUM, luck=False)
    lost = ran.earned(turn, turn + seen, REVERSION, luck=False)
    after = ran.earned(turn + seen, turn + last - 2, REVERSION, luck=False)
    assert before > 0.8 and lost > -0.7 and after > 0.6


@pytest.mark.proof
def test_what_the_account_earns_after_an_unknown_turn_and_after_one_back_to_what_was_known(tmp_path):
    """Of what the optimum earns on the same path, medians of five seeds.

    At least 0.4 over the first 10,000 decisions after an unknown turn, 0.85 over the next 10,000, and 0.8 over the
    first 2,000 after a turn back. Of a sample, which is one seed, luck is taken out.
    """
    seeds, before, long, back = proof_sample(SEEDS), 2_000, 20_000, 2_100
    whole, found = len(seeds) == SEEDS, []
    for seed in seeds:
        ran = replay(
            [(MOMENTUM, before), (REVERSION, long), (MOMENTUM, back)], 12_000, seed, tmp_path / str(seed), {}
        )
        spans = [(0, 10_000, REVERSION), (10_000, long, REVERSION), (long, long + 2_000, MOMENTUM)]
        found.append([ran.earned(before + first, before + last, rho, whole) for first, last, rho in spans])
        print(f"seed {seed}: of the optimum's over the first and the next 10,000 decisions and over the first 2,000 after "
              f"the turn back {np.round(found[-1], 2).tolist()}")  # fmt: skip
    unknown, later, known = np.median(found, axis=0)
    assert unknown >= 0.4 and later >= 0.85 and known >= 0.8


@pytest.mark.proof
def test_what_was_known_is_not_unlearned_though_rollouts_are_of_the_recent_past_alone(tmp_path):
    """After 8,000 decisions of reversion, twice the window, the newest candidate knows both: 0.8 of the optimum.

    It is told a forecast that turns with the market, and trades on that.
    """
    for seed in proof_sample(SEEDS):
        ran = replay([(MOMENTUM, 500), (REVERSION, 8_000)], 12_000, seed, tmp_path / str(seed), {})
        newest: Weights = ran.checkpoints.load("policy", as_numpy=True)["weights"]
        shares = []
        for rho in (MOMENTUM, REVERSION):
            examination = Examination(rho, 10_000 + seed)
            shares.append(examination.greedy(newest) / examination.best(best_policy(rho)[0]))
        print(f"seed {seed}: of the optimum in momentum and in reversion {np.round(shares, 2).tolist()}")
        assert min(shares) >= 0.8


@pytest.mark.proof
def test_it_is_no_slower_after_a_hundred_turns(tmp_path):
    """Earned over 1,000 decisions after each turn, luck taken out: of the last ten, no less than 0.8 of the first ten's.

    The first turn of all is to what was not known. A sample is 40 turns.
    """
    (seed, *more), each = proof_sample(SEEDS), 1_000
    turns = 100 if more else 40
    regimes = [(MOMENTUM if turn % 2 == 0 else REVERSION, each) for turn in range(turns + 1)]
    ran = replay(regimes, 12_000, seed, tmp_path, {})
    shares = [
        ran.earned(turn * each, (turn + 1) * each - 2, regimes[turn][0], luck=False)
        for turn in range(1, turns + 1)
    ]
    first, last = float(np.mean(shares[1:11])), float(np.mean(shares[-10:]))
    print(f"share over {each} decisions after a turn: the first {shares[0]:.2f}, the next ten {first:.2f}, the last ten "
          f"{last:.2f}")  # fmt: skip
    assert last >= 0.8 * first and first > 0.4


@pytest.mark.proof
def test_an_edge_that_stays_is_not_deserted(tmp_path):
    """Over ten paths of 100,000 decisions without a turn the account earns 0.9 of the optimum's, 0.8 over each of them.

    A sample is 20,000 decisions of one.
    """
    paths = proof_sample(10)
    whole = len(paths) == 10
    decisions = 100_000 if whole else 20_000
    shares = [
        replay([(MOMENTUM, decisions)], 12_000, seed, tmp_path / str(seed), {}).earned(
            0, decisions - 2, MOMENTUM
        )
        for seed in paths
    ]
    print(f"share of the optimum's over {decisions} decisions: {np.round(shares, 3).tolist()}")
    assert min(shares) >= 0.8 and (median(shares) >= 0.9 or not whole)
