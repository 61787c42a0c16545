"""Promotion: verdicts carried out, alarms before the next decision, quarantine of a whole descent, manual commands."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from learning.service.test_process_learning import check_forward_only, prepare, rows
from runtime.lenient import LENIENT
from runtime.modes.test_replay import run
from ztb.errors import InvariantError, UsageError
from ztb.learning.alarms import Alarms
from ztb.learning.gate.candidate import Candidate, Verdict
from ztb.learning.generations import GenerationInfo, Lineage, ServedPolicy
from ztb.learning.online import Dropped, Restart
from ztb.learning.service.promotion import Promotion
from ztb.learning.settings import GateRules
from ztb.ledger.records import DecisionRow, GenerationRow, NoteRow
from ztb.runtime.modes.replay import run_to_end
from ztb.trading.decided import Decided
from ztb.trading.policy.categorical import greatest_entropy
from ztb.trading.policy.weights import NetworkShape, Weights, initial_weights
from ztb.trading.strategy import Action

SHAPE = NetworkShape(4, (3, 3), (8,))
RULES = GateRules(alarm_drawdown_fraction=0.1)
FIGURES = {
    "reward": 1e-4, "incumbent_reward": -5e-4, "reward_sd": 1e-3, "growth": 1e-4, "tested_decisions": 400,
}  # fmt: skip


class Shelf:
    """A store that keeps everything in memory."""

    def __init__(self) -> None:
        self.states: dict[int, dict[str, Any]] = {}
        self.conclusions: list[tuple[int, bool]] = []

    def put(
        self, info: GenerationInfo, state: dict[str, Any], marks: tuple[str, ...], metrics: object
    ) -> None:
        self.states[info.number] = state

    def concluded(self, generation: int, promoted: bool) -> None:
        self.conclusions.append((generation, promoted))

    def load(self, generation: int) -> dict[str, Any]:
        return self.states[generation]


class Desk:
    """A promotion with everything it needs, and what the learner was told."""

    def __init__(self, past: Lineage | None = None, shelf: Shelf | None = None) -> None:
        self.lineage = Lineage() if past is None else replace(past, resumed=True)
        if past is None:
            info = self.lineage.make(None, initial_weights(SHAPE, 0))
        else:
            info = GenerationInfo(1, 0, initial_weights(SHAPE, 1), past.known[1].sha256)
        self.policy = ServedPolicy(SHAPE, info, True)
        self.rows: list[Any] = []
        self.shelf = shelf or Shelf()
        alarms = Alarms(RULES, greatest_entropy(SHAPE.heads))
        shelf: Any = self.shelf
        journal: Any = SimpleNamespace(append=self.rows.append)
        self.alerts: list[tuple[str, str]] = []
        self.promotion = Promotion(
            policy=self.policy,
            lineage=self.lineage,
            alarms=alarms,
            journal=journal,
            store=shelf,
            extra_state=dict,
            alert=lambda key, text: self.alerts.append((key, text)),
        )
        self.told: list[tuple[Candidate, Restart]] = []
        learner: Any = SimpleNamespace(serve=lambda serving, restart: self.told.append((serving, restart)))
        self.promotion.begin(0, "random", {"of": 0}, learner)
        self.decision = -1

    def make(self, update: int, era: int = 0, weights: Weights | None = None) -> bool:
        made = initial_weights(SHAPE, update) if weights is None else weights
        return self.promotion.made(
            Candidate(
                number=update,
                weights=made,
                trained_to=10 * update,
                trained_to_ns=10 * update,
                updater_state={"of": update},
                era=era,
            )
        )

    def conclude(self, update: int, passed: bool = True, reason: str = "passed") -> None:
        self.promotion.conclude(Verdict(update, passed, reason, dict(FIGURES)))

    def decide(self, equity: float = 1.0, value: float = 0.0, reward: float = 0.0) -> None:
        self.decision += 1
        action = Action(0, 0, -2.0, value)
        seen, drawn = np.zeros(4, np.float32), np.zeros(2)
        self.promotion.follow(
            Decided(self.decision, self.decision, seen, drawn, action, 0.0, 1.0, 0.0, 1.0, equity, 0.0, ""),
            reward,
        )

    @property
    def serves(self) -> int:
        return self.policy.info.number

    def events(self, generation: int) -> list[tuple[str, str]]:
        found = [row for row in self.rows if isinstance(row, GenerationRow) and row.generation == generation]
        return [(row.event, json.loads(row.detail).get("reason", "")) for row in found]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_pass_is_promoted_and_a_refusal_is_not_both_with_their_figures(desk):
    desk.make(1), desk.make(2)
    desk.conclude(1, passed=False, reason="worse")
    desk.conclude(2)
    assert desk.serves == 2 and (desk.lineage.promoted, desk.lineage.rejected) == (1, 1)
    assert desk.events(1) == [("made", ""), ("rejected", "worse")]
    assert desk.events(2) == [("made", ""), ("promoted", "passed")]
    assert desk.shelf.conclusions == [(1, False), (2, True)]
    ((told, restart),) = desk.told
    assert (told.number, told.trained_to, restart) == (2, 20, Restart.NONE)
    details = [json.loads(row.detail) for row in desk.rows if row.event in ("promoted", "rejected")]
    assert all(detail["reward_sd"] == 1e-3 for detail in details[1:])


@pytest.mark.parametrize("bad", ["nan", "shape"])
def test_what_is_swapped_in_is_checked_once_more(desk, bad):
    weights = initial_weights(SHAPE if bad == "nan" else NetworkShape(5, (3, 3), (8,)), 1)
    weights["trunk.0.bias"][0] = math.nan if bad == "nan" else 0.0
    desk.make(1, weights=weights)
    desk.conclude(1)
    assert desk.serves == 0
    assert desk.events(1)[-1] == ("rejected", "non_finite" if bad == "nan" else "network")


def test_an_alarm_goes_back_to_the_last_good_generation_before_the_next_decision(desk):
    desk.make(1)
    desk.conclude(1)
    desk.make(2)
    desk.conclude(2)
    desk.decide(1.0)
    desk.decide(0.95)
    assert desk.serves == 2
    desk.decide(0.89)
    assert desk.serves == 1 and desk.lineage.rolled_back == 1
    assert desk.events(2)[-1] == ("rolled_back", "drawdown") and desk.events(1)[-1] == ("restored", "")
    told, restart = desk.told[-1]
    assert restart is Restart.SET_BACK and told.updater_state == {"of": 1} and told.era == 1
    # The one that was good before is good still: what the market takes now is no alarm.
    desk.decide(0.5)
    assert desk.serves == 1


def test_a_promotion_is_held_to_what_the_incumbent_earned_not_to_the_luck_of_its_own_test(desk):
    """The incumbent lost half a deviation a decision; going back to it for less than that would be a loss."""
    desk.make(1)
    desk.conclude(1)
    for _ in range(2000):
        desk.decide(reward=-4e-4)
    assert desk.serves == 1
    for _ in range(300):
        desk.decide(reward=-12e-4)
    assert desk.serves == 0 and desk.events(1)[-1] == ("rolled_back", "reward_shift")


def test_the_whole_descent_of_a_bad_generation_is_barred_for_good(desk):
    desk.make(1)
    desk.conclude(1)
    for update in (2, 3):
        desk.make(update)
    desk.conclude(2, passed=False, reason="undecided")
    assert desk.lineage.known[3].parent == 2
    desk.decide(1.0)
    desk.decide(0.8)
    assert desk.serves == 0 and desk.lineage.quarantined == {1, 2, 3}
    assert desk.events(2)[-1] == ("quarantined", "descent")
    assert ("rejected", "quarantined") in desk.events(3)
    # A verdict that was on its way, and a candidate made before the learner heard of it, come to nothing.
    desk.conclude(3)
    assert not desk.make(4, era=0) and desk.events(4)[-1] == ("rejected", "quarantined")
    desk.conclude(4)
    assert desk.serves == 0
    for generation in (1, 2, 3, 4):
        with pytest.raises(UsageError, match="quarantine"):
            desk.promotion.promote(generation, "operator")
    # The same weights under another number are the same weights.
    assert not desk.make(5, era=1, weights=initial_weights(SHAPE, 1))
    # What is made after the learner was set back descends from the good one, and may serve.
    assert desk.make(6, era=1) and desk.lineage.known[6].parent == 0
    desk.conclude(6)
    assert desk.serves == 6


def test_an_output_that_is_not_finite_rolls_back_and_the_first_generation_stops_the_run(desk):
    desk.make(1)
    desk.conclude(1)
    desk.decide(value=math.nan)
    assert desk.serves == 0 and desk.events(1)[-1] == ("rolled_back", "non_finite")
    with pytest.raises(InvariantError, match="none to go back to"):
        desk.decide(value=math.inf)


def test_an_operator_promotes_any_generation_that_is_kept_and_goes_back(desk):
    desk.make(1), desk.make(2)
    desk.conclude(1, passed=False, reason="undecided")
    desk.promotion.promote(1, "operator")
    assert desk.serves == 1 and desk.events(1)[-1] == ("promoted", "manual")
    desk.promotion.promote(2, "operator")
    assert desk.serves == 2
    desk.conclude(2)
    assert desk.serves == 2 and desk.lineage.promoted == 2
    assert desk.promotion.rollback(None, "operator") == 1
    assert desk.serves == 1 and desk.events(2)[-1] == ("rolled_back", "manual")
    assert desk.promotion.rollback(0, "operator") == 0
    for wrong in (None, 0, 1, 2, 99):
        with pytest.raises(UsageError):
            desk.promotion.rollback(wrong, "operator")
    for wrong in (0, 99):
        with pytest.raises(UsageError):
            desk.promotion.promote(wrong, "operator")


def test_after_a_restart_the_generation_before_is_found_on_disk(desk):
    """As a resumed run begins: the one that served last serves, and what served before is known by number alone."""
    desk.make(1)
    desk.conclude(1)
    again = Desk(desk.lineage, desk.shelf)
    assert again.serves == 1
    assert again.promotion.rollback(None, "operator") == 0
    assert again.serves == 0 and again.told[-1][0].updater_state == {"of": 0}


def test_a_learner_that_died_takes_its_tests_with_it(desk):
    desk.make(1)
    desk.promotion.lost()
    assert desk.events(1)[-1] == ("rejected", "learner_lost")
    desk.conclude(1)
    assert desk.serves == 0


@pytest.mark.parametrize("passed", [True, False])
def test_a_freeze_lets_no_verdict_promote_and_what_comes_after_it_may(desk, passed):
    """A pass that came meanwhile is not held back for later either: it says nothing of what serves by then."""
    desk.make(1), desk.make(2)
    desk.promotion.freezes = frozenset({"by_hand"})
    desk.conclude(1, passed=passed, reason="passed" if passed else "worse")
    assert desk.serves == 0 and desk.events(1)[-1] == ("rejected", "frozen" if passed else "worse")
    assert (desk.lineage.promoted, desk.lineage.rejected, desk.told) == (0, 1, [])
    desk.promotion.freezes = frozenset()
    desk.conclude(1)
    assert desk.serves == 0
    desk.conclude(2)
    assert desk.serves == 2


def test_while_frozen_an_operator_still_promotes_and_an_alarm_still_goes_back(desk):
    desk.make(1)
    desk.promotion.freezes = frozenset({"by_hand"})
    desk.promotion.promote(1, "operator")
    assert desk.serves == 1
    desk.decide(1.0)
    desk.decide(0.8)
    assert desk.serves == 0 and desk.events(1)[-1] == ("rolled_back", "drawdown")


def notes(desk: Desk) -> list[tuple[str, dict[str, Any]]]:
    return [(row.kind, json.loads(row.detail)) for row in desk.rows if isinstance(row, NoteRow)]


def test_a_dropped_update_is_journaled_and_an_alert_and_changes_nothing_else(desk):
    desk.make(1)
    desk.decide()
    desk.promotion.dropped(Dropped(2, "reward nan of environment 3 at step 4", False), 20, 0)
    why = "reward nan of environment 3 at step 4"
    assert notes(desk) == [("update_dropped", {"after_decision": 20, "decision": 0, "update": 2, "why": why})]
    assert desk.alerts == [("update_dropped", f"update 2 was dropped: {why}")]
    assert desk.told == [] and desk.events(1) == [("made", "")]


def test_a_learner_that_has_gone_wrong_begins_anew_from_what_serves_and_its_candidates_descend_from_that(
    desk,
):
    desk.make(1)
    desk.conclude(1)
    desk.make(2), desk.make(3)
    desk.promotion.dropped(Dropped(4, "a weight of the network is not finite", True), 40, 0)
    assert [kind for kind, _ in notes(desk)] == ["update_dropped", "learner_made_anew"]
    assert notes(desk)[1][1] == {"generation": 1, "era": 1, "decision": -1}
    assert [key for key, _ in desk.alerts] == ["update_dropped", "learner_made_anew"]
    told, restart = desk.told[-1]
    assert restart is Restart.ANEW and told.era == 1 and told.updater_state is None
    assert np.array_equal(told.weights["trunk.0.weight"], desk.policy.info.weights["trunk.0.weight"])
    # Who serves goes on, nobody is barred; what was in test gives way.
    assert desk.serves == 1 and not desk.lineage.quarantined and desk.lineage.rolled_back == 0
    assert desk.events(2)[-1] == desk.events(3)[-1] == ("rejected", "superseded")
    # What it says before it has heard of that does not have it made anew once more.
    desk.promotion.dropped(Dropped(5, "a weight of the network is not finite", True), 41, 0)
    assert desk.told[-1][0].era == 1
    assert desk.make(6, era=1) and desk.lineage.known[desk.lineage.made - 1].parent == 1


@pytest.mark.parametrize("part", ["weights", "moments"])
def test_a_candidate_that_is_not_finite_is_refused_at_once_and_never_saved(desk, part):
    weights, state = initial_weights(SHAPE, 1), {"adam": {"mean": np.zeros(3, np.float32)}}
    array = weights["trunk.0.bias"] if part == "weights" else state["adam"]["mean"]
    array[0] = math.nan
    assert not desk.promotion.made(Candidate(1, weights, 10, 10, updater_state=state))
    assert desk.events(1) == [("made", ""), ("rejected", "non_finite")] and 1 not in desk.shelf.states
    desk.promotion.keep(weights, 2, state)
    assert desk.lineage.made == 2 and [key for key, _ in desk.alerts] == ["not_kept"]


def test_no_figure_that_is_not_finite_enters_the_journal(desk):
    desk.make(1)
    desk.promotion.conclude(Verdict(1, False, "worse", {"kl": math.inf, "course": [1.0, math.nan]}))
    desk.promotion.note("condition", {"volatility_ratio": math.nan})
    (row,) = [row for row in desk.rows if isinstance(row, GenerationRow) and row.event == "rejected"]
    assert json.loads(row.detail)["kl"] is None and json.loads(row.detail)["course"] == [1.0, None]
    assert notes(desk)[0][1]["volatility_ratio"] is None
    assert not any(word in row.detail for row in desk.rows for word in ("NaN", "Infinity"))


NERVOUS = {key.replace(".", "__"): value for key, value in LENIENT.items()} | {
    "gate__alarm_drawdown_fraction": 1e-9, "gate__most_false_promotion": 0.5,
    # Trades at every other decision, whatever that has cost: there is something to fall from.
    "strategy__sample": True, "risk__max_daily_loss_fraction": 1.0, "risk__max_drawdown_fraction": 1.0,
}  # fmt: skip


def check_rollbacks(directory) -> int:
    """In a journal: whatever is rolled back or barred never decides after that. How often that happened."""
    generations = rows(directory, GenerationRow)
    decisions = rows(directory, DecisionRow)
    rolled_back = [row for row in generations if row.event == "rolled_back"]
    for row in rolled_back:
        detail = json.loads(row.detail)
        after = [d for d in decisions if d.decision > detail["after_decision"]]
        assert all(d.generation != row.generation for d in after)
        assert not after or after[0].generation == detail["to"]
        assert not any(
            other.event == "promoted" and other.generation == row.generation and other.ts_ns > row.ts_ns
            for other in generations
        )
    assert len(rows(directory, NoteRow, "kind = 'alarm'")) == len(rolled_back)
    return len(rolled_back)


def test_in_a_replay_the_very_next_decision_is_the_good_generations(write_bars, tmp_path):
    summary, directory = run(write_bars(1400), tmp_path / "run", **NERVOUS)
    check_forward_only(directory)
    assert check_rollbacks(directory) == summary["generations"]["rolled_back"] >= 1


async def test_with_the_learner_in_a_process_too_and_it_goes_on_from_the_good_state(write_bars, tmp_path):
    flags = {key.replace("__", "."): value for key, value in NERVOUS.items()} | {
        "online.learner": "process", "online.update_every_decisions": 64, "checkpoint.interval_updates": 2,
    }  # fmt: skip
    made, directory = prepare(write_bars(1400), tmp_path / "run", flags)
    summary = await run_to_end(made)
    assert summary["status"] == "complete"
    assert check_rollbacks(directory) == summary["generations"]["rolled_back"] >= 1


def test_learning_freezes_itself_when_it_is_clear_that_it_hurts(monkeypatch, write_bars, tmp_path):
    """Told to, and not otherwise; said in the journal with the comparison. The policy that serves goes on serving."""
    monkeypatch.setattr("ztb.learning.benchmarks.BenchmarkTracker.answer", "hurts")
    frozen, directory = run(write_bars(500), tmp_path / "frozen", online__stop_if_not_helping=True)
    (note,) = rows(directory, NoteRow, "kind = 'learning_frozen'")
    told = json.loads(note.detail)
    assert told["reason"] == "not_helping" and told["decision"] <= 1 and "difference" in told
    assert frozen["updates"] == 0 and frozen["decisions"] > 400
    going_on, directory = run(write_bars(500), tmp_path / "going-on")
    assert going_on["updates"] > 0 and rows(directory, NoteRow, "kind = 'learning_frozen'") == []
