"""Who is an expert when: what is found bad leaves and lends nothing, and what was learnt is no part of "nothing learnt"."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ztb.features.forecast import Foreseen
from ztb.learning.allocation import Experts, GrowthEvidence
from ztb.learning.allocation.experts import pursuit_band, shares_of_prior
from ztb.learning.generations import GenerationInfo
from ztb.learning.settings import AllocationConfig
from ztb.ledger.records import AllocationRow
from ztb.trading.bridge import Wanted
from ztb.trading.sizing import TIMING_AGGRESSIVE, TIMING_PASSIVE, TIMING_WAIT

GROWN = GrowthEvidence(0.9995, blocks=100, s=40.0, v=100.0, square=1e-4)
NOTHING = np.zeros(1, np.float32)


class Paper:
    """A lane that holds nothing and wants to be fully long."""

    places = 0

    def __init__(self, equity: float, strategy: Any = None) -> None:
        Paper.places += 1
        self.place = Paper.places
        self.equity = equity
        self.aim = 1.0
        self.position = 0.0
        self.timing = 2
        self.strategy = strategy
        self.broker = SimpleNamespace(account={"cash": equity})
        self.pursued: list[float] = []
        self.charged: float | None = None
        self.left = False

    @property
    def marked(self) -> float:
        return self.equity

    def pursue(self, _ts_ns: int, _decision: int, _features: Any, wanted: Any) -> None:
        self.pursued.append(wanted.exposure)

    def charge(self, correction: float) -> None:
        self.charged = correction

    def leave(self) -> None:
        self.left, self.equity = True, math.nan


class Together:
    """Lanes that decide at once, and have nothing to decide."""

    def __init__(self, lanes: Any) -> None:
        self.lanes = tuple(lanes)
        assert not any(lane.left for lane in self.lanes), "it has no place any more"
        self.places = np.array([lane.place for lane in self.lanes])
        self.decided: list[int] = []
        self.advanced: list[tuple[int, int]] = []

    def decide(self, _ts_ns: int, decision: int, *_: Any) -> None:
        self.decided.append(decision)

    def advance(self, _ticks: Any, i0: int, i1: int) -> None:
        self.advanced.append((i0, i1))


def info(number: int) -> GenerationInfo:
    return GenerationInfo(number, None, {}, str(number))


class Stage:
    """Experts whose serving generation is `serving`."""

    def __init__(
        self,
        library: int = 2,
        unproven: bool = False,
        band: float = 0.01,
        rules: dict[str, Any] | None = None,
        limit: float = 1.0,
    ) -> None:
        self.serving = 0
        config = AllocationConfig(library=library)
        rules = {"rule": Paper(1.0)} if rules is None else rules
        make: Any = lambda _info, cash: Paper(cash)  # noqa: E731
        account: Any = Paper
        together: Any = Together
        self.experts = Experts(
            config=config,
            band=band,
            rules=rules,
            make=make,
            make_account=account,
            serving=lambda: info(self.serving),
            unproven=unproven,
            limit=limit,
            together=together,
        )

    def decide(self, serving: int) -> list[AllocationRow]:
        self.serving = serving
        self.experts.decide(0, 0, np.zeros(1), NOTHING)
        _, rows = self.experts.weigh(0, 0, 1.0)
        self.experts.pursue_unlearnt(0, 0, NOTHING, 1.0)
        return rows


def test_one_that_is_promoted_goes_on_with_the_evidence_of_who_led_and_one_found_bad_leaves():
    stage = Stage()
    stage.experts.begin(info(0), 1.0, GROWN.copy())
    stage.decide(0)
    stage.decide(3)
    known = stage.experts.allocator.experts
    assert stage.experts.leader == "generation 3" and known["generation 3"].evidence == GROWN
    stage.decide(0)
    assert stage.experts.leader == "generation 0" and set(known) == {"rule", "generation 0"}


def test_those_who_led_before_stay_in_the_library_with_their_evidence_and_the_least_of_too_many_goes():
    stage = Stage(library=2)
    stage.experts.begin(info(0), 1.0)
    known = stage.experts.allocator.experts
    for serving, log_growth in ((1, 0.02), (2, 0.01), (3, 0.03)):
        stage.decide(serving)
        known[f"generation {serving}"].evidence.become(
            GrowthEvidence(**GROWN.state() | {"s": 1000.0 * log_growth})
        )
    assert set(known) == {"rule", "generation 0", "generation 1", "generation 2", "generation 3"}
    assert known["generation 1"].evidence.state()["s"] == 20.0
    stage.decide(4)
    assert set(known) == {"rule", "generation 0", "generation 1", "generation 3", "generation 4"}


def test_the_account_moves_by_its_band_or_not_at_all():
    """Experts' targets that tremble cost nothing; to leave altogether is always worth it."""
    stage = Stage(band=0.1)
    stage.experts.begin(info(0), 1.0, GROWN.copy())
    stage.decide(0)
    began, lanes = stage.experts.pursued, stage.experts.lanes.values()
    assert began is not None and began > 0.5

    def pursued(aim: float) -> float | None:
        for lane in lanes:
            lane.aim = aim
        stage.decide(0)
        return stage.experts.pursued

    assert pursued(0.95) == pursued(1.02) == began
    assert pursued(0.5) == pytest.approx(0.5 * began) and pursued(0.0) == 0.0


def test_who_is_no_expert_any_more_is_journaled_to_have_nothing():
    stage = Stage()
    stage.experts.begin(info(0), 1.0, GROWN.copy())
    told = [row for serving in (0, 3, 0) for row in stage.decide(serving)]
    rows = [row for row in told if row.expert == "generation 3"]
    assert len(rows) == 2 and rows[0].weight > 0.0 == rows[1].weight
    assert rows[1].equity == 1.0, "what it had when it left"


def test_one_that_comes_back_as_it_was_is_journaled_as_one_that_came():
    stage = Stage(unproven=True)
    stage.experts.begin(info(0), 1.0)
    told = [row.expert for serving in (0, 3, 0, 3) for row in stage.decide(serving)]
    assert told.count("generation 3") == 3


def test_an_older_one_that_comes_back_from_outside_the_library_has_nothing_of_who_was_found_bad():
    stage = Stage(library=0)
    stage.experts.begin(info(0), 1.0)
    for serving in (0, 1, 2):
        stage.decide(serving)
    known = stage.experts.allocator.experts
    assert "generation 1" not in known
    known["generation 2"].evidence.become(GROWN)
    stage.decide(1)
    assert known["generation 1"].evidence == GrowthEvidence(0.9995) and "generation 2" not in known


def test_nothing_learnt_is_weighed_without_what_was_learnt_after_a_restart_too():
    fresh, again = Stage(), Stage()
    fresh.experts.begin(info(0), 1.0)
    fresh.decide(0)
    assert fresh.experts.unlearnt is None and fresh.experts.account_unlearnt is None
    fresh.decide(4)
    again.serving = 4  # a start that goes on where generation 4 led
    again.experts.begin(info(0), 1.0)
    again.experts.begin(info(4), 1.0)
    again.decide(4)
    again.decide(5)
    for stage in (fresh, again):
        assert stage.experts.unlearnt is not None
        assert set(stage.experts.unlearnt.experts) == {"rule", "generation 0"}
        account: Any = stage.experts.account_unlearnt
        assert account.pursued


def test_nothing_is_credited_to_what_was_learnt_before_it_has_had_weight():
    """One that leads with no share of the account leaves the account what it would have been."""
    stage = Stage(unproven=True)
    stage.experts.begin(info(0), 1.0)
    for serving in (0, 4, 4):
        stage.decide(serving)
    assert stage.experts.leader == "generation 4" and stage.experts.unlearnt is not None
    assert not stage.experts.learnt_had_weight and stage.experts.account_unlearnt is None
    assert stage.experts.pursue_unlearnt(0, 0, NOTHING, 0.75) == 0.75
    leads = stage.experts.allocator.experts["generation 4"]
    leads.evidence.become(GROWN)
    leads.unproven = False
    stage.experts.allocator.weigh()
    stage.decide(4)
    assert stage.experts.learnt_had_weight and stage.experts.account_unlearnt is not None


def test_the_band_is_what_twenty_trips_cost_or_the_least():
    assert pursuit_band(0.05, 0.001) == 0.05 and pursuit_band(0.01, 0.001) == pytest.approx(0.02)


def test_generations_share_half_of_the_prior_and_rules_the_rest():
    assert shares_of_prior(["one", "two", "g0", "g1", "g4"], ["one", "two"]) == pytest.approx(
        {"one": 0.25, "two": 0.25, "g0": 0.5 / 3, "g1": 0.5 / 3, "g4": 0.5 / 3}
    )
    assert shares_of_prior(["g0", "g1"], []) == {"g0": 0.5, "g1": 0.5}
    assert shares_of_prior(["rule"], ["rule"]) == {"rule": 0.5}


def rehearsed(decisions: int) -> Experts:
    """Experts whose rule has earned something in so many moments before the account trades."""
    experts = Stage().experts
    lane: Any = experts.lanes["rule"]
    for k in range(decisions):
        lane.equity = 1.0 + 0.01 * k
        experts.rehearse(k, np.zeros(1), NOTHING)
    return experts


@pytest.mark.parametrize(("decisions", "blocks"), [(16, 0), (17, 1), (32, 1), (33, 2)])
def test_rules_decide_and_are_weighed_block_by_block_before_the_account_trades(decisions, blocks):
    experts = rehearsed(decisions)
    group: Any = experts._rule_lanes
    assert group.decided == list(range(decisions))
    assert experts.allocator.experts["rule"].evidence.blocks == blocks
    assert experts.allocator.experts["rule"].opened == pytest.approx(1.0 + 0.16 * blocks)
    assert experts.allocator.state()["decisions"] == 0


def test_a_rule_is_weighed_by_what_it_has_once_it_has_decided():
    experts = Stage().experts
    group: Any = experts._rule_lanes
    group.decide = lambda *_: setattr(experts.lanes["rule"], "equity", 2.0)
    experts.rehearse(0, np.zeros(1), NOTHING)
    assert experts.allocator.experts["rule"].equity == 2.0


def begun(**settings: Any) -> Stage:
    stage = Stage(**settings)
    stage.experts.begin(info(0), 1.0, GROWN.copy())
    return stage


def test_everybody_decides_and_lives_with_whom_they_accompany_and_who_has_left_does_not():
    stage = begun()
    stage.decide(0)
    stage.decide(4)
    experts, others = stage.experts, [Paper(1.0), Paper(1.0)]
    unlearnt: Any = experts.account_unlearnt
    experts.accompany(others[:1], others)  # type: ignore[arg-type]
    lanes: Any = list(experts.lanes.values())
    assert experts.deciding.lanes == (others[0], *lanes)
    assert experts.living.lanes == (*others, *lanes, unlearnt)
    assert [*experts.lanes] == ["rule", "generation 0", "generation 4"]
    stage.decide(0)
    assert lanes[2].left and not any(lane.left for lane in (*lanes[:2], *others, unlearnt))
    assert experts.deciding.lanes == (others[0], *lanes[:2])
    assert experts.living.lanes == (*others, *lanes[:2], unlearnt)
    deciding: Any = experts.deciding
    experts.advance(np.zeros(3), 1, 3)  # type: ignore[arg-type]
    living: Any = experts.living
    assert living.advanced == [(1, 3)] and deciding.decided == [0]


def test_who_leads_is_followed_and_said_once():
    stage = begun()
    experts = stage.experts

    def decided(serving: int) -> bool:
        stage.serving = serving
        return experts.decide(0, 0, np.zeros(1), NOTHING)

    assert (experts.leader, decided(0)) == ("generation 0", False)
    assert (decided(2), decided(2), experts.leader) == (True, False, "generation 2")
    assert (decided(5), experts.leader) == (True, "generation 5")


def test_it_is_steady_while_nobody_comes_goes_or_is_to_lead():
    stage = begun()
    experts = stage.experts
    assert not experts.steady, "generation 0 has come, and nobody was told"
    stage.decide(0)
    assert experts.steady
    stage.serving = 2
    assert not experts.steady
    stage.decide(2)
    assert experts.steady
    stage.serving = 0
    experts.decide(0, 0, np.zeros(1), NOTHING)
    assert not experts.steady
    assert {row.expert for row in experts.weighed(5, 6, 1.0)} >= {"generation 2"} and experts.steady


def test_every_account_on_paper_is_charged_and_whoever_comes_later_too():
    stage = begun()
    experts = stage.experts
    assert {lane.charged for lane in experts.lanes.values()} == {0.0}  # type: ignore[attr-defined]
    experts.charge(0.25)
    stage.decide(0)
    stage.decide(4)
    lanes: Any = [*experts.lanes.values(), experts.account_unlearnt]
    assert len(lanes) == 4 and {lane.charged for lane in lanes} == {0.25}
    experts.charge(0.5)
    assert {lane.charged for lane in lanes} == {0.5}


def test_rules_that_look_far_back_are_shown_prices_before_anything_is_ready():
    seen: list[tuple[int, float]] = []
    looks_back = SimpleNamespace(warm_up=lambda ts_ns, mid: seen.append((ts_ns, mid)), decide=None)
    stage = Stage(rules={"far": Paper(1.0, looks_back), "near": Paper(1.0, SimpleNamespace())})
    stage.experts.warm_up(7, 100.0)
    assert seen == [(7, 100.0)]


def test_capital_that_comes_comes_to_every_account_and_every_weighing():
    stage = begun()
    stage.decide(0)
    experts = stage.experts
    before = experts.allocator.state()
    experts.adopted(0.5)
    assert experts.allocator.state()["peak"] == before["peak"] + 0.5
    stage.decide(4)
    lanes: Any = [*experts.lanes.values(), experts.account_unlearnt]
    cash = [lane.broker.account["cash"] for lane in lanes]
    assert experts.unlearnt is not None
    peaks = [each.state()["peak"] for each in (experts.allocator, experts.unlearnt)]
    experts.adopted(0.25)
    assert [lane.broker.account["cash"] for lane in lanes] == [each + 0.25 for each in cash]
    assert [each.state()["peak"] for each in (experts.allocator, experts.unlearnt)] == [
        each + 0.25 for each in peaks
    ]


def test_what_each_wants_is_told_by_name():
    experts = begun().experts
    experts.lanes["rule"].aim = -0.5  # type: ignore[misc]
    experts.weigh(7, 3, 1.0)
    assert json.loads(experts.aims) == {"rule": -0.5, "generation 0": 1.0}


def test_an_expert_is_journaled_with_all_that_its_weight_rests_on_when_that_changes():
    stage = begun(unproven=True)
    experts = stage.experts
    stage.serving = 0
    _, rows = experts.weigh(7, 3, 1.0)
    assert [row.expert for row in rows] == ["rule", "generation 0"]
    for row in rows:
        expert, detail = experts.allocator.experts[row.expert], json.loads(row.detail)
        assert (row.decision, row.ts_ns, row.weight, row.equity) == (3, 7, expert.weight, 1.0)
        assert row.log_evidence == expert.evidence.log_e
        assert detail == {
            "evidence": expert.evidence.state(),
            "unproven": row.expert == "rule",
            "leads": row.expert == "generation 0",
            "allocator": experts.allocator.state(),
        }
    assert experts.weigh(8, 4, 1.0)[1] == [], "no block has ended"
    experts.allocator.experts["rule"].evidence.become(GROWN)
    experts.allocator.weigh()
    told = experts.weighed(9, 5, 1.0)
    assert [row.expert for row in told] == ["rule", "generation 0"], "either weight is another"
    assert experts.weighed(10, 6, 1.0) == []


def restarted(rows: dict[str, AllocationRow]) -> Experts:
    experts = Stage().experts
    experts.recall(rows)
    return experts


def test_a_start_goes_on_with_what_was_journaled_last_of_each():
    stage = begun()
    experts = stage.experts
    lanes: Any = experts.lanes
    stage.decide(0)
    lanes["rule"].equity, lanes["generation 0"].equity = 1.5, 2.5
    grown = GrowthEvidence(**GROWN.state() | {"s": 20.0})
    experts.allocator.experts["rule"].evidence.become(grown)
    experts.allocator.experts["rule"].unproven = True
    experts.allocator.weigh()
    rows = {row.expert: row for row in experts.weighed(9, 5, 3.0)}
    assert set(rows) == {"rule", "generation 0"}
    again = restarted({"rule": rows["rule"], "generation 0": replace_decision(rows["generation 0"], 4)})
    known = again.allocator.experts
    assert known["rule"].evidence == grown and known["rule"].unproven
    assert (again.cash("generation 0", 1.0), again.cash("generation 9", 1.0)) == (2.5, 1.0)
    again.begin(info(0), 1.0)
    assert again.lanes["generation 0"].equity == 2.5 and known["generation 0"].evidence == GROWN
    assert not known["generation 0"].unproven
    assert again.cash("generation 0", 1.0) == 1.0, "what it had is taken up once"
    assert again.allocator.state() == experts.allocator.state()
    assert again.pursued == 0.0, "something had a share, so that what is held is ours"
    idle = {name: with_weight(row, 0.0) for name, row in rows.items()}
    assert restarted(idle).pursued is None and restarted({}).pursued is None


def replace_decision(row: AllocationRow, decision: int) -> AllocationRow:
    """An older row, of which the allocator's state is no more what it was."""
    detail = json.loads(row.detail) | {
        "allocator": {"decisions": 1, "highest": 0.0, "reference": 0.0, "cushion": 0.0}
    }
    return AllocationRow(
        decision, row.ts_ns, row.expert, row.weight, row.log_evidence, row.equity, json.dumps(detail)
    )


def with_weight(row: AllocationRow, weight: float) -> AllocationRow:
    return AllocationRow(
        row.decision, row.ts_ns, row.expert, weight, row.log_evidence, row.equity, row.detail
    )


def test_nothing_is_pursued_before_anything_has_a_share():
    stage = begun(unproven=True)
    stage.experts.allocator.experts["generation 0"].evidence.become(GrowthEvidence(0.9995))
    stage.experts.allocator.experts["generation 0"].unproven = True
    stage.experts.allocator.weigh()
    assert stage.experts.waits
    wanted, _ = stage.experts.weigh(0, 0, 1.0)
    assert wanted == Wanted(0.0, TIMING_WAIT) and stage.experts.pursued is None


def test_the_account_follows_the_timing_of_the_heaviest_and_goes_to_another_target_at_once():
    stage = begun(band=0.1)
    experts, lanes = stage.experts, [*stage.experts.lanes.values()]
    lane: Any
    for lane in lanes:
        lane.timing = TIMING_PASSIVE if lane is lanes[1] else TIMING_AGGRESSIVE
    assert experts.allocator.heaviest.name == "generation 0" and not experts.waits
    target = experts.allocator.invested
    assert experts.weigh(0, 0, 1.0)[0] == Wanted(pytest.approx(target), TIMING_PASSIVE)

    def wanted(aim: float, timing: int) -> Wanted:
        for lane in lanes:
            lane.aim, lane.timing = aim, timing  # type: ignore[misc]
        return experts.weigh(0, 0, 1.0)[0]

    assert wanted(1.0, TIMING_WAIT) == Wanted(pytest.approx(target), TIMING_WAIT), "it is there already"
    assert wanted(0.5, TIMING_WAIT) == Wanted(pytest.approx(target / 2), TIMING_AGGRESSIVE)
    assert wanted(-0.5, TIMING_PASSIVE) == Wanted(pytest.approx(-target / 2), TIMING_PASSIVE)
    assert wanted(-0.05 / target, TIMING_WAIT) == Wanted(pytest.approx(-0.05), TIMING_AGGRESSIVE)
    assert wanted(0.0, TIMING_WAIT) == Wanted(0.0, TIMING_AGGRESSIVE)
    assert wanted(0.0, TIMING_WAIT) == Wanted(0.0, TIMING_WAIT), "flat already"
    assert wanted(0.05 / target, TIMING_WAIT) == Wanted(0.0, TIMING_WAIT)


def test_who_learnt_nothing_is_weighed_by_its_own_account_and_what_was_foreseen():
    stage = begun()
    stage.decide(0)
    stage.decide(4)
    experts = stage.experts
    beside: Any = experts.account_unlearnt
    assert experts.unlearnt is not None and beside.equity == 1.0
    beside.equity = 3.0
    experts.lanes["generation 0"].position = 0.01  # type: ignore[misc]
    experts.weigh(0, 5, 1.0, Foreseen(100.0, 0.001, 0.006, 0.002, 1e-4))
    assert experts.pursue_unlearnt(0, 5, NOTHING, 1.0) == 3.0
    assert experts.unlearnt.state()["peak"] == 3.0 and experts.allocator.state()["peak"] == 1.0
    assert experts.unlearnt.experts["generation 0"].evidence.state()["followed"] == 1
    assert experts.allocator.experts["generation 0"].evidence.state()["followed"] == 1


def test_the_limit_is_the_allocators():
    """The account is cut back to nothing before it has lost so much."""
    stage = begun(limit=0.2)
    experts = stage.experts
    for equity, invested in ((1.0, True), (0.81, False)):
        for _ in range(16):
            experts.weigh(0, 0, equity)
        assert (experts.allocator.invested > 0.0) is invested
    assert math.isclose(experts.allocator.cushion, 0.0)
