"""Experts who decide without Python are weighed, journaled and pursued as if each decision had been heard of at once."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from learning.allocation.test_experts import GROWN, NOTHING, Paper, Stage, info
from ztb.features.forecast import Foreseen
from ztb.learning.allocation.stretches import ExpertsInStretch
from ztb.learning.benchmarks import UNLEARNT
from ztb.ledger.records import AllocationRow
from ztb.trading.bridge import FACT_EQUITY, FACT_POSITION
from ztb.trading.course import Course

DECISIONS, COST, DEVIATION = 110, 1e-4, 0.006
NAMES = ("rule", "generation 0", "generation 4")


def course(decisions: int = DECISIONS, noted: int = 5) -> Course:
    """A stretch in which nothing has been noted yet."""
    empty: dict[str, Any] = dict.fromkeys(Course._fields)
    empty |= {"facts": np.full((decisions, noted, 7), np.nan), "aims": np.zeros((decisions, noted))}
    empty |= {"ts_ns": 10 * np.arange(decisions), "foreseen": np.zeros((decisions, 4))}
    return Course(**empty)


class Market:
    """What happens to the lanes: by decision, the equity and position of each, the account's and what was foreseen."""

    def __init__(self, decisions: int = DECISIONS) -> None:
        rng = np.random.default_rng(7)
        names = (*NAMES, "account", "unlearnt")
        self.equity = {name: np.exp(np.cumsum(rng.normal(0.0, DEVIATION, decisions))) for name in names}
        self.position = {name: rng.normal(0.0, 0.01, decisions) for name in names}
        self.foreseen = np.column_stack(
            [np.full(decisions, 100.0), *rng.normal(0.0, DEVIATION, (3, decisions))]
        )
        self.foreseen[:, 2] = DEVIATION
        self.foreseen[::9] = 0.0

    def at(self, k: int, stage: Stage, account: Paper) -> None:
        """Let decision `k` come."""
        for name, lane in stage.experts.lanes.items():
            lane.equity, lane.position = self.equity[name][k], self.position[name][k]  # type: ignore[misc, attr-defined]
        account.equity = self.equity["account"][k]
        if stage.experts.account_unlearnt is not None:
            stage.experts.account_unlearnt.equity = self.equity["unlearnt"][k]  # type: ignore[misc]


def learnt(unproven: bool = False) -> Stage:
    """Generation 4 leads, which was learnt."""
    stage = Stage(unproven=unproven)
    for number in (0, 4):
        stage.experts.begin(info(number), 1.0, None if unproven else GROWN.copy())
    stage.serving = 4
    return stage


def one_by_one(market: Market, stage: Stage) -> dict[int, list[AllocationRow]]:
    told = {}
    account = Paper(1.0)
    for k in range(DECISIONS):
        market.at(k, stage, account)
        row = market.foreseen[k].tolist()
        foreseen = Foreseen(*row, COST) if row[0] else None
        _, rows = stage.experts.weigh(10 * k, 100 + k, account.equity, foreseen)
        stage.experts.pursue_unlearnt(10 * k, 100 + k, NOTHING, account.equity)
        if rows:
            told[k] = rows
    return told


def in_stretch(market: Market, stage: Stage) -> tuple[ExpertsInStretch, Course]:
    """The account, and that which learnt nothing, have not decided yet when a block ends."""
    account, seen = Paper(1.0), course()
    among = ExpertsInStretch(stage.experts, account, COST)  # type: ignore[arg-type]
    seen.foreseen[:] = market.foreseen
    for name, lane in stage.experts.lanes.items():
        seen.facts[:, among.place(lane), FACT_EQUITY] = market.equity[name]
        seen.facts[:, among.place(lane), FACT_POSITION] = market.position[name]
    done = 0
    while (ends := done + stage.experts.allocator.left) < DECISIONS:
        seen.facts[:ends, [0, 4], FACT_EQUITY] = np.transpose(
            [market.equity["account"][:ends], market.equity["unlearnt"][:ends]]
        )
        market.at(ends, stage, account)
        among.weigh(seen, ends, 100 + ends)
        done = ends + 1
    seen.facts[:, 0, FACT_EQUITY] = market.equity["account"]
    seen.facts[:, 4, FACT_EQUITY] = market.equity["unlearnt"]
    among.take_in(seen, DECISIONS)
    return among, seen


@pytest.mark.parametrize("unproven", [False, True])
def test_a_stretch_weighs_as_decisions_one_by_one_do(unproven):
    market, one, other = Market(), learnt(unproven), learnt(unproven)
    told = one_by_one(market, one)
    among, seen = in_stretch(market, other)
    assert [k for k, _ in among.rows] == [*range(0, DECISIONS, 16)]
    assert [k for k, rows in among.rows if rows] == list(told)
    for k, rows in ((k, rows) for k, rows in among.rows if rows):
        assert [(row.decision, row.ts_ns, row.expert) for row in rows] == [
            (row.decision, row.ts_ns, row.expert) for row in told[k]
        ]
        assert [(row.weight, row.equity) for row in rows] == [
            pytest.approx((row.weight, row.equity)) for row in told[k]
        ]
    for mine, theirs in (
        (one.experts.allocator, other.experts.allocator),
        (one.experts.unlearnt, other.experts.unlearnt),
    ):
        assert mine is not None and theirs is not None
        assert mine.state() == pytest.approx(theirs.state()) and mine.state()["peak"] > 0.0
        for name, expert in mine.experts.items():
            assert expert.evidence.state() == pytest.approx(theirs.experts[name].evidence.state())
            assert expert.weight == pytest.approx(theirs.experts[name].weight)
    assert set(other.experts.unlearnt.experts) == {"rule", "generation 0"}  # type: ignore[union-attr]
    assert one.experts.learnt_had_weight is other.experts.learnt_had_weight is not unproven
    beside = among.beside(seen, DECISIONS)
    assert beside["frozen"].tolist() == market.equity["generation 0"].tolist()
    wanted = "account" if unproven else "unlearnt"
    assert beside[UNLEARNT].tolist() == market.equity[wanted].tolist()


def test_who_learnt_nothing_has_the_accounts_equity_until_it_has_an_account_of_its_own():
    stage, seen, account = learnt(), course(), Paper(0.75)
    among = ExpertsInStretch(stage.experts, account, COST)  # type: ignore[arg-type]
    seen.facts[:] = 1.0
    among.take_in(seen, 3)
    before = among.seats()
    assert among.seats() is before
    assert before.account.tolist() == [account.place]
    assert before.noted.tolist() == [account.place, *(lane.place for lane in stage.experts.lanes.values())]
    among.weigh(seen, 3, 3)
    beside: Any = stage.experts.account_unlearnt
    assert beside is not None and beside.equity == 0.75
    after = among.seats()
    assert after.noted.tolist() == [*before.noted.tolist(), beside.place]
    assert after.living.tolist() == [*before.living.tolist(), beside.place]
    assert after.deciding.tolist() == before.deciding.tolist()
    seen.facts[:, 0, FACT_EQUITY], seen.facts[:, 4, FACT_EQUITY] = 2.0, 3.0
    assert among.beside(seen, 6)[UNLEARNT].tolist() == [2.0, 2.0, 2.0, 3.0, 3.0, 3.0]
    among.weigh(seen, 4, 4)
    assert among.seats() is after, "it has its place already"
    again = ExpertsInStretch(stage.experts, account, COST)  # type: ignore[arg-type]
    assert again.place(beside) == 4
    assert again.beside(seen, 3)[UNLEARNT].tolist() == [3.0, 3.0, 3.0], "from the first decision on"


def test_nothing_is_taken_in_twice():
    stage, seen = learnt(), course()
    seen.facts[:] = 1.0
    among = ExpertsInStretch(stage.experts, Paper(1.0), COST)  # type: ignore[arg-type]
    for until in (2, 2, 5):
        among.take_in(seen, until)
    assert stage.experts.allocator.state()["decisions"] == 5


def test_the_account_and_who_learnt_nothing_pursue_by_the_weights_of_their_own():
    stage, account = learnt(), Paper(1.0)
    experts = stage.experts
    among = ExpertsInStretch(experts, account, COST)  # type: ignore[arg-type]
    told = among.pursuits()
    assert told.places.tolist() == [[account.place], [-1]] and told.band == experts.band
    assert told.experts.tolist() == [lane.place for lane in experts.lanes.values()]
    assert experts.unlearnt is not None
    known = [experts.allocator.experts, experts.unlearnt.experts]
    for j, weighed in enumerate(known):
        assert told.weights[j].tolist() == [
            weighed[name].weight if name in weighed else 0.0 for name in NAMES
        ]
        assert NAMES[told.heaviest[j]] == max(weighed, key=lambda name: weighed[name].weight)
    assert np.isnan(told.pursued).all(), "nothing yet"
    among.pursued(told._replace(pursued=np.array([0.25, math.nan])))
    assert (experts.pursued, experts.pursued_unlearnt) == (0.25, None)
    among.pursued(told._replace(pursued=np.array([0.0, 0.5])))
    assert (experts.pursued, experts.pursued_unlearnt) == (0.0, 0.5)
    assert among.pursuits().pursued.tolist() == [0.0, 0.5]
    experts.account_unlearnt = Paper(1.0)  # type: ignore[assignment]
    beside: Any = experts.account_unlearnt
    assert among.pursuits().places.tolist() == [[account.place], [beside.place]]


def test_where_nothing_was_learnt_the_account_alone_pursues():
    stage = Stage()
    stage.experts.begin(info(0), 1.0, GROWN.copy())
    among = ExpertsInStretch(stage.experts, Paper(1.0), COST)  # type: ignore[arg-type]
    told = among.pursuits()
    assert len(told.places) == len(told.weights) == len(told.pursued) == 1
    among.pursued(told._replace(pursued=np.array([0.5])))
    assert (stage.experts.pursued, stage.experts.pursued_unlearnt) == (0.5, None)
    seen = course()
    seen.facts[:] = 1.0
    among.weigh(seen, 0, 0)
    assert stage.experts.account_unlearnt is None
    assert among.beside(seen, 2)[UNLEARNT].tolist() == [1.0, 1.0]


def test_aims_are_journaled_by_name():
    stage, seen = learnt(), course(3)
    seen.aims[:] = [[9.0, 0.5, -1.0, 1.0, 9.0], [9.0, 0.0, 0.0, 0.0, 9.0], [9.0, 0.5, -1.0, 1.0, 9.0]]
    among = ExpertsInStretch(stage.experts, Paper(1.0), COST)  # type: ignore[arg-type]
    first, second = dict(zip(NAMES, (0.5, -1.0, 1.0), strict=True)), dict.fromkeys(NAMES, 0.0)
    assert [msgspec.json.decode(each) for each in among.aims(seen, 3)] == [first, second, first]
    assert len(among.aims(seen, 2)) == 2
