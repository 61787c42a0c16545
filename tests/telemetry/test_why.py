"""Every order can be traced to the generation that gave it, and recomputed bit for bit."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sqlite3
import struct

import pytest

from ztb.commands.report import why
from ztb.errors import NotFoundError
from ztb.execution.orders import PROTECTIVE_FROM
from ztb.execution.risk import REASONS, RefusalReason, RiskLimits
from ztb.ledger.run_directory import RunDirectory
from ztb.telemetry.why import explain
from ztb.telemetry.why.explanation import ACCOUNT_NAMES
from ztb.telemetry.why.words import TIMING_NAMES, reason_words
from ztb.trading.observation import ACCOUNT_SIZE
from ztb.trading.sizing import TIMINGS

START_NS = 1_500_001_200_000_000_000
HOUR_NS = 3_600_000_000_000


@pytest.fixture
def directory(make_run) -> RunDirectory:
    return make_run()


def change(directory: RunDirectory, statement: str, *values: object) -> None:
    with sqlite3.connect(directory.journal) as connection:
        connection.execute(statement, values)
    connection.close()


@pytest.mark.parametrize(
    ("what", "decision", "order", "fill", "refusal"),
    [
        ("3", 8, 3, None, None),
        ("ztb-3", 8, 3, None, None),
        ("fill:103", 8, 3, 103, None),
        ("refusal:2", 5, None, None, 2),
        (str(START_NS + 7 * HOUR_NS), 7, None, None, None),
        (str(START_NS + 8 * HOUR_NS - 1), 7, None, None, None),
        ("2017-07-14T10:59:59", 7, None, None, None),
        ("2017-07-14T10:00:00Z", 7, None, None, None),
        ("2017-07-14T12:30:00+02:00", 7, None, None, None),
        ("2030-01-01", 39, None, None, None),
    ],
)
def test_each_way_of_asking_finds_its_decision(directory, what, decision, order, fill, refusal):
    subject = explain(directory, what).subject
    assert (subject.decision.decision, subject.order_id, subject.fill_id, subject.refusal) == (
        decision, order, fill, refusal,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("what", "said"),
    [("11", "no order 11 in this run \\(it has 1 to 10\\)"), ("nonsense", "no order 'nonsense'"),
     ("fill:1", "no fill 1 in this run, which has 10"), ("refusal:11", "no refusal 11 in this run, which has 10"),
     ("refusal:0", "no refusal 0"), ("2001-01-01", "no decision had been made by then")],
)  # fmt: skip
def test_what_is_not_there_is_said_with_what_is(directory, what, said):
    with pytest.raises(NotFoundError, match=said):
        explain(directory, what)


@pytest.mark.parametrize("number", range(0, 40, 3))
def test_any_decision_is_made_again_from_disk_bit_for_bit(directory, number):
    answer = explain(directory, str(START_NS + number * HOUR_NS))
    again, decision = answer.recomputed, answer.subject.decision
    assert answer.holds and again.agrees
    assert (again.logprob, again.value) == (decision.logprob, decision.value)
    assert again.checkpoint == decision.generation + 1
    assert [sum(head) for head in again.probabilities] == pytest.approx([1.0, 1.0])


def test_an_answer_has_the_order_its_events_fills_fees_and_lineage(directory):
    answer = explain(directory, "fill:106")
    (sent,) = answer.orders
    assert [event.event for event in sent.events] == ["accepted"]
    assert (sent.fills[0].fill_id, sent.fees) == (106, 0.1)
    assert [(each.generation, each.parent) for each in answer.lineage] == [(1, 0), (0, None)]
    assert answer.lineage[1].numbers["origin"] == "random"
    assert [name for name, _ in answer.features] == ["one", "two", "three"]
    assert answer.mark.hold_equity == 1020.0


def test_a_refusal_is_explained_by_the_limit_behind_it(directory):
    answer = explain(directory, "refusal:1")
    assert answer.verdict == "equity was too far below its peak (risk.max_drawdown_fraction is 0.9)"
    assert answer.refusals[0].lots == 5 and answer.orders == []


def test_every_reason_has_words_and_an_existing_limit():
    limits = dataclasses.asdict(RiskLimits())
    assert set(REASONS) == set(RefusalReason)
    for reason, (_, limit) in REASONS.items():
        assert limit is None or f"risk.{limit} is" in reason_words(reason, limits)
    assert len(ACCOUNT_NAMES) == ACCOUNT_SIZE and len(TIMING_NAMES) == TIMINGS


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [("logprob", -1.0000000000000002, "same_logprob"), ("value", 0.0, "same_value"),
     ("action_timing", -1, "same_action")],
)  # fmt: skip
def test_a_journal_that_says_something_else_is_caught(directory, capsys, column, value, what):
    change(directory, f"UPDATE decisions SET {column} = ? WHERE decision = 8", value)
    assert why("3", directory.path, as_json=True) == 3
    answer = json.loads(capsys.readouterr().out)
    assert answer["recomputed"][what] is False and answer["holds"] is False


def test_an_observation_that_was_changed_is_caught(directory):
    changed = struct.pack("<10f", *range(10))
    change(directory, "UPDATE decisions SET observation = ? WHERE decision = 8", changed)
    answer = explain(directory, "3")
    assert not answer.observation_intact and not answer.holds


def test_a_changed_observation_is_caught_where_there_is_no_network_to_notice(make_run, capsys):
    directory = make_run(learns=False)
    change(
        directory, "UPDATE decisions SET observation = ? WHERE decision = 8", struct.pack("<10f", *range(10))
    )
    assert why("3", directory.path, as_json=False) == 3
    assert "✗ differs: its hash is the journal's" in capsys.readouterr().out


def test_weights_of_another_generation_are_caught(directory):
    change(directory, "UPDATE generations SET weights_sha256 = ? WHERE generation = 0", "0" * 64)
    answer = explain(directory, "3")
    assert answer.recomputed.same_action and not answer.recomputed.same_weights and not answer.holds


def test_weights_that_are_gone_are_said_to_be_gone(directory, capsys):
    shutil.rmtree(directory.checkpoints)
    assert why("3", directory.path, as_json=False) == 3
    assert "the weights of generation 0 were not kept" in " ".join(capsys.readouterr().out.split())


def test_damaged_weights_are_said_to_be_damaged(directory):
    path = sorted((directory.checkpoints / "policy").glob("*.ckpt"))[1]
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    answer = explain(directory, "3")
    assert answer.recomputed is None and not answer.holds and answer.not_recomputed


def test_a_rule_is_said_to_be_a_rule_and_the_rest_is_shown(make_run, capsys):
    directory = make_run(learns=False, strategy="ema_cross")
    assert why("3", directory.path, as_json=False) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for words in ("ema_cross decides by a rule", "fill 103", "ztb-3", "verdict passed"):
        assert words in shown


def test_the_terminal_shows_all_of_it(directory, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert why("fill:103", directory.path, as_json=False) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for words in ("why fill 103", "generation 0,", "drawn with", "◀ chosen", "log-prob ✓", "value ✓", "action ✓",
                  "weights ✓ generation 0, from checkpoint 1", "+50.0 ms accepted", "origin: random"):  # fmt: skip
        assert words in shown


def test_json_is_one_object_with_everything(directory, capsys):
    assert why("3", directory.path, as_json=True) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["holds"] and answer["orders"][0]["order"]["client_id"] == "ztb-3"
    assert answer["subject"]["decision"]["observation"] and answer["features"][0][0] == "one"


def test_a_protective_stop_is_called_one(directory, capsys):
    number = PROTECTIVE_FROM + 1
    for table in ("orders", "order_events", "fills"):
        change(directory, f"UPDATE {table} SET order_id = ? WHERE order_id = 3", number)
    assert why(str(number), directory.path, as_json=False) == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"The protective stop, order {number} " in said and "The protective stop, order 1 " not in said
