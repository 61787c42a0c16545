"""Who is an expert when: what is found bad leaves and lends nothing, and what was learnt is no part of "nothing learnt"."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ztb.learning.allocation import Experts, GrowthEvidence
from ztb.learning.generations import GenerationInfo
from ztb.learning.settings import AllocationConfig
from ztb.ledger.records import AllocationRow

GROWN = GrowthEvidence(0.9995, blocks=100, s=40.0, v=100.0, square=1e-4)
NOTHING = np.zeros(1, np.float32)


class Paper:
    """A lane that holds nothing and wants to be fully long."""

    def __init__(self, equity: float) -> None:
        self.equity = equity
        self.aim = 1.0
        self.position = 0.0
        self.timing = 2
        self.pursued: list[float] = []

    @property
    def marked(self) -> float:
        return self.equity

    def pursue(self, _ts_ns: int, _decision: int, _features: Any, wanted: Any) -> None:
        self.pursued.append(wanted.exposure)

    def charge(self, correction: float) -> None:
        self.charged = correction

    def leave(self) -> None:
        """It has no place on any floor."""


class Together:
    """Lanes that decide at once, and have nothing to decide."""

    def __init__(self, _lanes: Any) -> None: ...

    def decide(self, *_: Any) -> None: ...


def info(number: int) -> GenerationInfo:
    return GenerationInfo(number, None, {}, str(number))


class Stage:
    """Experts whose serving generation is `serving`."""

    def __init__(self, library: int = 2, unproven: bool = False, band: float = 0.01) -> None:
        self.serving = 0
        config = AllocationConfig(library=library)
        rules: dict[str, Any] = {"rule": Paper(1.0)}
        make: Any = lambda _info, cash: Paper(cash)  # noqa: E731
        account: Any = Paper
        together: Any = Together
        self.experts = Experts(
            config, band, rules, make, account, lambda: info(self.serving), unproven, together
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
    weights = [row.weight for row in told if row.expert == "generation 3"]
    assert len(weights) == 2 and weights[0] > 0.0 and weights[1] == 0.0


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
