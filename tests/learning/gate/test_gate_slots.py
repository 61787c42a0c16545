"""Who gives way to whom in the gate's slots, who passes of several, and who begins anew when another serves."""

from __future__ import annotations

from dataclasses import replace

from learning.gate_support import GOOD, RULES, entrant, market, new_gate
from ztb.learning.gate.evidence import EProcess
from ztb.learning.gate.gate import Gate
from ztb.learning.settings import GateRules


def in_test(*evidence: float, rules: GateRules = RULES) -> Gate:
    """Candidates 1, 2, … in test, each with this sum of its evidence behind it, after half of the window."""
    gate = new_gate(GOOD, replace(rules, slots=len(evidence)))
    for number, weighted in enumerate(evidence, 1):
        gate.submit(entrant(number, GOOD, number - 1))
        gate.observe(market(100, 0).window(number - 1, number + 1), number)
        trial = gate._trials[-1]
        trial.evidence = EProcess(100, _square=1.0, _weighted=weighted, _weights=100.0, _v=100.0)
        trial.decisions = RULES.window_decisions // 2
    return gate


def test_only_whom_the_evidence_speaks_against_gives_way_and_of_those_the_least_favoured():
    for evidence, left in (((-9.0, -20.0, 25.0), (1, 3, 4)), ((18.0, 19.0, 25.0), (1, 2, 3))):
        gate = in_test(*evidence)
        assert [trial.evidence.log_better < 0.0 for trial in gate._trials] == [
            each < 0.0 for each in evidence
        ]
        assert gate._trials[0].evidence.log_better < 1.0
        gate.submit(entrant(4, GOOD, 3))
        gate.observe(market(100, 0).window(3, 5), 4)
        assert gate.in_test == left


def test_before_an_eighth_of_its_window_nobody_gives_way():
    patience = RULES.window_decisions // 8
    for decisions, left in ((patience - 1, (1,)), (patience, (2,))):
        gate = in_test(-20.0)
        gate._trials[0].decisions = decisions
        gate.submit(entrant(2, GOOD, 1))
        gate.observe(market(100, 0).window(1, 3), 2)
        assert gate.in_test == left


def test_of_two_that_would_pass_the_one_with_the_strongest_evidence_does_and_the_other_stays():
    gate = in_test(30.0, 40.0, 0.0)
    first, second, third = gate._trials
    verdicts = gate._conclude([(first, "passed"), (second, "passed"), (third, "undecided")])
    assert [(verdict.number, verdict.reason) for verdict in verdicts] == [(2, "passed"), (3, "undecided")]
    assert gate.in_test == (1,)


def test_who_serves_sends_away_who_has_not_seen_more():
    gate = in_test(0.0)
    gate.submit(entrant(2, GOOD, 50))
    gone = gate.serve(entrant(3, GOOD, 50))
    assert [(verdict.number, verdict.reason) for verdict in gone] == [(1, "superseded"), (2, "superseded")]
    assert gate.waiting == gate.in_test == ()
    gate.submit(entrant(4, GOOD, 60))
    gate.submit(entrant(5, GOOD, 51))
    assert gate.serve(entrant(6, GOOD, 50)) == [] and gate.waiting == (5,)


def test_those_who_begin_anew_do_so_in_the_order_of_what_they_have_seen():
    gate = in_test(0.0, 0.0)
    gate._trials.reverse()
    gate.submit(entrant(9, GOOD, 1))
    assert gate.serve(entrant(0, GOOD, -1)) == [] and gate.waiting == (1, 2, 9)
