"""How each generation stands is what the journal says of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from ztb.commands.generations import list_generations
from ztb.ledger.journal import Journal
from ztb.ledger.records import GenerationRow
from ztb.telemetry.standing import standings


def at(ts_ns):
    return datetime.fromtimestamp(ts_ns / 1e9, UTC).isoformat()


@pytest.fixture
def directory(make_run):
    return make_run(experts=True)


def test_the_generation_that_serves_leads_the_one_before_is_a_shadow_and_both_have_their_weight(directory):
    found = standings(directory.journal)
    assert [found[number].words for number in (0, 1, 2)] == [
        "shadow",
        "leads",
        "refused: too far from the incumbent",
    ]
    assert found[0].weight > 0.0 and found[1].weight > 0.0 and found[2].weight is None


def test_without_experts_what_led_before_is_no_shadow(make_run):
    found = standings(make_run().journal)
    assert (found[0].words, found[0].weight, found[1].words) == ("led before", None, "leads")


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([], "in test"),
        ([("rejected", {"reason": "worse"})], "refused: worse than the incumbent"),
        ([("rejected", {"reason": "superseded"})], "refused: gave way to a newer one"),
        ([("rejected", {"reason": "something_new"})], "refused: something new"),
        ([("promoted", {"reason": "passed"})], "leads"),
        ([("promoted", {}), ("rolled_back", {"reason": "manual"})], "rolled back (by hand), barred"),
        ([("quarantined", {"reason": "descent", "of": 4})], "barred: descends from generation 4"),
        ([("rejected", {"reason": "quarantined"})], "barred"),
    ],
)
def test_each_life_in_words(tmp_path, events, words):
    journal = Journal(tmp_path / "journal.sqlite")
    for event, detail in [("made", {}), *events]:
        journal.append(GenerationRow(5, 1, event, 0, "ab" * 32, json.dumps(detail)))
    if words.startswith("rolled back"):
        journal.append(GenerationRow(0, 1, "restored", None, "cd" * 32, json.dumps({"instead_of": 5})))
    journal.close()
    assert standings(tmp_path / "journal.sqlite")[5].words == words


def test_the_list_of_a_run_says_how_each_stands_with_its_weight(directory, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert list_generations(directory.checkpoints, None, False, directory.journal) == 0
    shown = capsys.readouterr().out
    assert "generation 0: shadow" in shown and "generation 1: leads" in shown, (
        "files have numbers of their own"
    )
    assert "%" in shown and "weight" in shown
    assert list_generations(directory.checkpoints, None, True, directory.journal) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["standing"] for one in listed] == [None, "shadow", "leads"], (
        "the first file is of no generation"
    )
    one = standings(directory.journal)[1]
    assert listed[2]["weight"] == one.weight
    assert listed[2]["made"] == at(one.made_ns) and listed[2]["decided"] == at(one.decided_ns)
    moments = [listed[2][name][:16].replace("T", " ") for name in ("made", "decided")]
    assert "made (market)" in shown and moments[0] in shown and f"{moments[1]} generation 1: leads" in shown
    assert listed[2]["created"][:4] not in shown, "when a file was written is no news of the market"


def test_what_a_training_left_has_no_standing(directory, capsys):
    directory.journal.unlink()
    assert list_generations(directory.checkpoints, None, False, directory.journal) == 0
    assert "good" in capsys.readouterr().out
