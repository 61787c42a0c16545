"""Capital that came or went is in the journal what it was, and worth what it says."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from ztb.ledger.capital import Adoption, Opening

D = Decimal


@pytest.mark.parametrize("opening", [Opening(D(1000)), Opening(D("1e-9"), D("-0.5"), 90.0)])
def test_an_opening_is_read_as_it_was_written(opening):
    note = opening.note(7)
    assert (note.ts_ns, note.kind) == (7, "opening") and Opening.of(note) == opening
    assert list(json.loads(note.detail)) == ["cash", "position", "price"]
    assert "E" not in note.detail


def test_an_adoption_is_read_as_it_was_written_with_its_evidence():
    adopted = Adoption(5, D("-7"), D("0.2"), 110.0)
    note = adopted.note(9, {"z": 1, "a": 2})
    assert (note.ts_ns, note.kind) == (5, "adopted") and Adoption.of(note) == adopted
    told = json.loads(note.detail)
    assert list(told) == sorted(told) and told["rows"] == 9 and told["evidence"] == {"a": 2, "z": 1}


def test_what_came_is_worth_its_cash_and_its_position_at_the_price():
    assert Opening(D(1000)) == Opening(D(1000), D(0), 0.0) and Opening(D(1000)).equity == 1000.0
    assert Opening(D(1000), D("0.5"), 90.0).equity == 1045.0
    assert Adoption(5, D("-7"), D("0.2"), 110.0).value == 15.0
