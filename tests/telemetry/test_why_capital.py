"""Where an account that follows experts went, and why, is made again from the journal, bit for bit."""

from __future__ import annotations

import json
import sqlite3

import pytest

from ztb.commands.report import why
from ztb.ledger.records import NoteRow
from ztb.ledger.run_directory import RunDirectory
from ztb.telemetry.why import Explanation, explain

START_NS = 1_500_001_200_000_000_000
HOUR_NS = 3_600_000_000_000
DECISIONS = range(40)


@pytest.fixture
def directory(make_run) -> RunDirectory:
    return make_run(experts=True)


def answer_to(directory: RunDirectory, decision: int) -> Explanation:
    return explain(directory, str(START_NS + decision * HOUR_NS))


def change(directory: RunDirectory, statement: str, *values: object) -> None:
    with sqlite3.connect(directory.journal) as connection:
        assert connection.execute(statement, values).rowcount >= 1
    connection.close()


def test_every_decision_holds_and_its_target_is_the_sum_or_what_was_pursued_before(directory):
    kinds: set[str] = set()
    for number in DECISIONS:
        answer = answer_to(directory, number)
        found = answer.capital
        assert answer.holds and found.agrees
        assert found.sum == pytest.approx(
            sum(share.weight * share.wanted for share in found.shares), abs=1e-15
        )
        assert (found.target == found.sum) if found.how == "moved" else (found.target == found.before)
        assert found.how == "moved" or abs(found.sum - found.target) < found.band == 0.03
        kinds.add(found.how)
    assert kinds == {"moved", "stayed"}, "the story has both"


def test_weights_that_the_limit_on_losses_bounds_are_made_again_too(make_run):
    bounded = make_run(experts=True, limit=0.012)
    answers = [answer_to(bounded, number) for number in DECISIONS]
    assert all(answer.holds and answer.capital.agrees for answer in answers)
    assert any(share.weight > 0.0 for answer in answers[4:] for share in answer.capital.shares)


def test_the_experts_are_those_that_wanted_something_and_the_generation_that_served_leads(directory):
    names = [share.expert for share in answer_to(directory, 10).capital.shares]
    later = answer_to(directory, 30).capital.shares
    assert names == ["trend", "generation 0"]
    assert [(share.expert, share.leads) for share in later] == [
        ("trend", False), ("generation 0", False), ("generation 1", True),
    ]  # fmt: skip


@pytest.mark.parametrize("number", DECISIONS)
def test_a_weight_that_was_altered_is_caught_whether_the_account_moved_or_not(directory, number):
    newest = "SELECT max(seq) FROM allocations WHERE decision <= ? AND expert = 'trend'"
    change(directory, f"UPDATE allocations SET weight = weight * (1 + 1e-15) WHERE seq = ({newest})", number)
    answer = answer_to(directory, number)
    assert not answer.holds and not answer.capital.shares[0].same_weight
    assert answer.recomputed.agrees, "the choice is as it was"


def test_a_want_that_was_altered_is_caught_where_the_account_went_by_it(directory):
    found = [answer_to(directory, number).capital for number in DECISIONS]
    moved = [number for number, one in enumerate(found) if one.target not in (one.before, 0.0)]
    assert len(moved) > 5
    for number in moved:
        aims = {share.expert: share.wanted for share in answer_to(directory, number).capital.shares}
        aims["trend"] += 0.01
        change(
            directory, "UPDATE decisions SET aims = ? WHERE decision = ?", json.dumps(aims).encode(), number
        )
        answer = answer_to(directory, number)
        assert not answer.holds and not answer.capital.same_target


def test_a_target_or_evidence_that_was_altered_is_caught(directory):
    stayed = next(number for number in DECISIONS if answer_to(directory, number).capital.how == "stayed")
    change(directory, "UPDATE decisions SET target = target * (1 + 1e-15) WHERE decision = ?", stayed)
    assert not answer_to(directory, stayed).capital.same_target
    change(
        directory, "UPDATE allocations SET log_evidence = log_evidence + 1e-12 WHERE expert = 'generation 0'"
    )
    shares = answer_to(directory, 12).capital.shares
    assert [share.same_evidence for share in shares] == [True, False]


def test_an_expert_without_a_row_has_no_weight_and_that_is_said(directory):
    change(directory, "DELETE FROM allocations WHERE expert = 'trend'")
    answer = answer_to(directory, 12)
    assert not answer.holds and answer.capital.shares[0].weight is None


def test_an_account_that_was_being_closed_pursues_nothing_until_it_trades_again(directory):
    """What was pursued before is not known after it; the band still is."""
    change(directory, "UPDATE decisions SET target = 0.0 WHERE decision BETWEEN 10 AND 12")
    assert not answer_to(directory, 11).holds
    place = "(SELECT seq FROM decisions WHERE decision = ?)"
    for kind, before in (("flattening", 10), ("resumed", 13)):
        note = NoteRow(0, kind, "{}")
        change(
            directory, f"INSERT INTO notes SELECT seq - 1, ?, ?, ? FROM {place}",
            note.ts_ns, note.kind, note.detail, before,
        )  # fmt: skip
    closing = answer_to(directory, 11).capital
    assert closing.how == "closing" and closing.agrees and closing.before is None
    assert answer_to(directory, 13).capital.before is None and answer_to(directory, 13).holds
    assert answer_to(directory, 15).capital.before is not None


def test_an_account_that_follows_nobody_has_no_such_part(make_run, capsys):
    directory = make_run()
    assert explain(directory, "3").capital is None
    assert why("3", directory.path, as_json=False) == 0
    assert "Capital" not in capsys.readouterr().out


def test_the_terminal_says_who_wanted_what_and_what_the_account_did(directory, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    stayed = next(number for number in DECISIONS if answer_to(directory, number).capital.how == "stayed")
    assert why(str(START_NS + stayed * HOUR_NS), directory.path, as_json=False) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for words in ("the account went on pursuing", "nearer than the band of 3.00 %", "which leads, chose", "by generation",
                  "by the account", "weight × wanted", "trend", "generation 0", "leads", "so it stayed there",
                  "shares ✓", "evidence ✓", "target ✓", "Account on paper of generation"):  # fmt: skip
        assert words in shown, words


def test_json_has_the_shares(directory, capsys):
    assert why("3", directory.path, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)["capital"]
    assert set(found) == {"shares", "sum", "band", "before", "target", "how", "same_target"}
    assert found["shares"][0]["expert"] == "trend" and found["shares"][0]["weight"] > 0.0
