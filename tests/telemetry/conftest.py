"""A small run, written straight to a journal: two generations that serve, one rejected, fills, refusals, a gap."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash

from ztb.learning.allocation import Allocator, shares_of_prior
from ztb.learning.settings import AllocationConfig
from ztb.ledger.journal import Journal
from ztb.ledger.records import (
    AllocationRow,
    DecisionRow,
    FillRow,
    GenerationRow,
    MarkRow,
    NoteRow,
    OrderEventRow,
    OrderRow,
    RefusalRow,
    UpdateRow,
)  # fmt: skip
from ztb.ledger.run_directory import RunDirectory
from ztb.trading.observation import ACCOUNT_SIZE
from ztb.trading.policy.serving import ServingPolicy
from ztb.trading.policy.weights import NetworkShape, initial_weights, weights_sha256
from ztb.utils import CheckpointManager

HOUR_NS = 3_600_000_000_000
START_NS = 1_500_001_200_000_000_000
LADDER = [0.0, 0.5, 1.0]
FEATURES = ["one", "two", "three"]
SHAPE = NetworkShape(len(FEATURES) + ACCOUNT_SIZE, (len(LADDER), 3), (4,))
WEIGHTS = [initial_weights(SHAPE, seed) for seed in range(3)]
FOUND = {
    "tested_decisions": 640, "alpha": 0.05, "log_evidence": 3.5, "difference": 2e-4, "difference_low": 1e-5,
    "difference_high": 4e-4, "kl": 0.02, "entropy_fraction": 0.8, "turnover": 0.11, "incumbent_turnover": 0.21,
    "drawdown": 0.031, "incumbent_drawdown": 0.042, "course": [0.01, -0.02, 0.05, 0.128],
}  # fmt: skip
PRIOR, BAND = 0.4, 0.03  # wider than what twenty trips cost
RISK = {"max_drawdown_fraction": 0.9, "max_exposure": 1.1}


@dataclass
class Story:
    """What is special about a run."""

    decisions: int = 40
    strategy: str = "ppo_online"
    learns: bool = True
    summary: dict[str, Any] | None = None
    note: str = "complete"
    tainted: range = field(default_factory=lambda: range(0))
    experts: bool = False
    """Whether the account follows generations and the rule `trend`."""
    limit: float = RISK["max_drawdown_fraction"]
    """The fraction of its peak that the account may lose."""


class Writer:
    """Writes one story. Generation 0 serves the first half of the decisions, generation 1 the second."""

    def __init__(self, path: Path, story: Story) -> None:
        path.mkdir(parents=True)
        self.story = story
        self.directory = RunDirectory(path)
        self.journal = Journal(self.directory.journal)
        self.policies = [ServingPolicy(SHAPE, weights) for weights in WEIGHTS]
        rng = np.random.default_rng(7)
        n = story.decisions
        self.observations = rng.standard_normal((n, SHAPE.observation_size)).astype(np.float32)
        self.uniforms = rng.random((n, 2))
        self.mids = 100.0 + np.round(np.cumsum(rng.normal(0.0, 1.0, n)), 2)
        self.equity = 1000.0 * np.exp(np.cumsum(np.append(0.0, rng.normal(0.0, 0.01, max(n - 1, 0)))))

        self.paper = 1000.0 * np.exp(np.cumsum(rng.normal(0.002, 0.005, (n, 3)), axis=0))
        self.wants = np.repeat(rng.choice(LADDER, (n // 3 + 1, 3)), 3, axis=0)
        self.allocator = Allocator(AllocationConfig(prior=PRIOR, block_decisions=2), story.limit)
        self.pursued: float | None = None

    def write(self) -> RunDirectory:
        story = self.story
        self.journal.append(NoteRow(0, "start", "run"))
        if story.learns:
            self._generation(0, None, 0, "made", {"origin": "random"})
            self._generation(0, None, 0, "promoted", {"origin": "random"})
        for number in range(story.decisions):
            if story.learns and number == story.decisions // 2:
                self._learn(START_NS + (number - 1) * HOUR_NS)
            self._decide(number)
        self.journal.append(NoteRow(START_NS, "end", story.note))
        self.journal.close()
        self._files()
        return self.directory

    def _learn(self, ts_ns: int) -> None:
        for number, variance in ((1, 0.25), (2, None)):
            row = UpdateRow(
                number, ts_ns, 10 * number, -0.1, 0.5, 1.5, 0.01, 0.1, variance, 0.002, 0.05, 0.01
            )
            self.journal.append(row)
        self._generation(1, 0, ts_ns, "made", {"kl": 0.01, "entropy_fraction": 0.9})
        self._generation(1, 0, ts_ns, "promoted", {"reason": "passed", **FOUND})
        self._generation(2, 1, ts_ns, "made", {"kl": 0.9, "entropy_fraction": 0.1})
        self._generation(
            2, 1, ts_ns, "rejected", {"reason": "kl", **FOUND, "tested_decisions": 64, "alpha": 0.02}
        )

    def _generation(
        self, number: int, parent: int | None, ts_ns: int, event: str, detail: dict[str, Any]
    ) -> None:
        digest = weights_sha256(WEIGHTS[number])
        self.journal.append(GenerationRow(number, ts_ns, event, parent, digest, json.dumps(detail)))

    def _decide(self, number: int) -> None:
        story, ts_ns = self.story, START_NS + number * HOUR_NS
        generation = int(story.learns and number >= story.decisions // 2)
        observation = self.observations[number]
        size, timing, logprob, value = 2, 2, None, None
        if story.learns:
            (size, timing), logprob, value = self.policies[generation].decide(
                observation, self.uniforms[number]
            )
        target, aims = self._allocate(number, ts_ns, generation) if story.experts else (LADDER[size], b"")
        verdict = ("passed", "drawdown", "no_order", "no_order")[number % 4]
        if verdict == "passed":
            self._order(number, ts_ns, generation)
        if verdict == "drawdown":
            self.journal.append(RefusalRow(number, ts_ns, "drawdown", 1, 5, 101.5))
        mid, equity = float(self.mids[number]), float(self.equity[number])
        self.journal.append(
            DecisionRow(
                number, ts_ns, "BTC/USD", generation, size, timing, target, 1.0, mid, equity, value, logprob,
                xxhash.xxh3_64_hexdigest(observation.tobytes()), verdict, 0.0 if number else None,
                number in story.tainted, observation.tobytes(), self.uniforms[number].tobytes(), aims,
            )
        )  # fmt: skip
        frozen = equity * 0.99 if story.learns else None
        self.journal.append(
            MarkRow(
                number, ts_ns, mid, equity - mid, 1.0, equity, 0.1 * (number // 4), 1000.0 + number, frozen
            )
        )

    def _allocate(self, number: int, ts_ns: int, generation: int) -> tuple[float, bytes]:
        """(what the account pursues, what each expert wants); generation 1 begins with the evidence of the one before."""
        experts = self.allocator.experts
        come = number == 0 or (generation == 1 and "generation 1" not in experts)
        if number == 0:
            self.allocator.add("trend")
            self.allocator.add("generation 0")
        elif come:
            self.allocator.add("generation 1", evidence=experts["generation 0"].evidence.copy())
        for name, share in shares_of_prior(experts, ("trend",)).items():
            experts[name].share = share
        self.allocator.weigh()
        equities = dict(zip(experts, self.paper[number].tolist(), strict=False))
        aims = dict(zip(experts, self.wants[number].tolist(), strict=False))
        if self.allocator.follow(equities, float(self.paper[number, 0])) or come:
            for name, expert in experts.items():
                detail = {"evidence": expert.evidence.state(), "unproven": False, "allocator": self.allocator.state(),
                          "leads": name == f"generation {generation}"}  # fmt: skip
                told = expert.weight, expert.evidence.log_e, equities[name], json.dumps(detail)
                self.journal.append(AllocationRow(number, ts_ns, name, *told))
        total = self.allocator.target(aims)
        if (
            self.pursued is None
            or abs(total - self.pursued) >= BAND
            or (total == 0.0 and self.pursued != 0.0)
        ):
            self.pursued = total
        return self.pursued, json.dumps(aims).encode()

    def _order(self, number: int, ts_ns: int, generation: int) -> None:
        """An order that fills a second later, one unit above the mid if it buys."""
        order_id = number // 4 + 1
        side = 1 if order_id % 2 else -1
        price = f"{self.mids[number] + 1:.2f}"
        ticks = round(float(price) * 100)
        self.journal.append(
            OrderRow(
                order_id,
                f"ztb-{order_id}",
                number,
                generation,
                ts_ns,
                side,
                50,
                "market",
                0,
                "GTC",
                False,
                False,
            )
        )
        self.journal.append(OrderEventRow(order_id, ts_ns + 50_000_000, "accepted", None, None))
        liquidity = "taker" if side > 0 else "maker"
        self.journal.append(
            FillRow(order_id, 100 + order_id, ts_ns + 10**9, side, 50, ticks, price, "0.50", liquidity, "0.1")
        )

    def _files(self) -> None:
        config = {
            "strategy": {"name": self.story.strategy, "sample": True},
            "ppo": {"hidden": list(SHAPE.hidden), "shared_trunk": SHAPE.shared_trunk},
            "execution": {"start_cash_quote": 1000.0, "band_fraction": BAND},
            "allocation": {"prior": PRIOR, "rules": ["trend"] if self.story.experts else []},
            "risk": RISK | {"max_drawdown_fraction": self.story.limit},
        }
        instrument = {
            "symbol": "BTC/USD", "venue": "nowhere", "tick_size": "0.01", "lot_size": "0.01", "maker_fee": "0.001",
            "taker_fee": "0.001", "spread_bps": 2.0, "inferred": [],
        }  # fmt: skip
        self.directory.write_json(
            self.directory.manifest,
            {"mode": "replay", "run_id": "ab" * 16, "seed": 0, "features": FEATURES, "ladder": LADDER,
             "instrument": instrument, "config": config, "data": ["/somewhere/private/bars.csv"]},
        )  # fmt: skip
        if self.story.summary is not None:
            self.directory.write_json(self.directory.summary, self.story.summary)
        if self.story.learns:
            self._checkpoints()

    def _checkpoints(self) -> None:
        """Numbers of files that are not those of generations."""
        manager = CheckpointManager(self.directory.checkpoints)
        manager.save({"weights": WEIGHTS[2]}, "policy", lineage={"note": "of no generation"})
        for number in (0, 1):
            manager.save({"weights": WEIGHTS[number]}, "policy", lineage={"generation": number})
        manager.close()


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunDirectory]:
    """`make_run(name, **what is special)`: a run directory, see `Story`."""

    def make(name: str = "run", **special: Any) -> RunDirectory:
        return Writer(tmp_path / name, Story(**special)).write()

    return make
