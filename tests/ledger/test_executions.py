"""What changed an account, as its journal tells it: in order, fees of every kind counted, and nothing after `last`."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from pathlib import Path

import pytest

from ztb.ledger.bookkeeper import BASE_FEE
from ztb.ledger.capital import Adoption, Opening
from ztb.ledger.executions import executions, movements
from ztb.ledger.journal import Journal
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import FillRow, OrderEventRow, OrderRow
from ztb.ledger.round_trips import Paid, PositionChange, RoundTrips

D = Decimal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An opening position, two orders of which the second paid a fee in base currency, funding, and an adoption."""
    journal = Journal(tmp_path / "journal.sqlite")
    journal.append(Opening(D(1000), D("0.5"), 90.0).note(1))
    for order, side, generation in ((1, 1, 0), (2, -1, 3)):
        journal.append(
            OrderRow(
                order, f"x-{order}", order, generation, order, side, 100, "market", 0, "IOC", False, False
            )
        )
    journal.append(FillRow(1, 1, 2, 1, 100, 10_000, "100.00", "1.00", "taker", "0.25"))
    journal.append(OrderEventRow(0, 3, "funded", None, "-0.75"))
    journal.append(OrderEventRow(2, 4, BASE_FEE, 11_000, "0.01"))
    journal.append(FillRow(2, 2, 4, -1, 100, 11_000, "110.00", "1.00", "taker", "0"))
    journal.append(Adoption(5, D(7), D("0.2"), 111.0).note(9, {}))
    journal.close()
    return journal.path


def test_a_fee_in_base_currency_leaves_the_position_and_counts_at_the_fill_s_price(path: Path):
    with contextlib.closing(JournalReader(path)) as journal:
        first, second = executions(journal)
    assert (first.quantity, first.fee) == (D(1), D("0.25"))
    assert (second.quantity, second.fee) == (D("-1.01"), D("1.1"))


def test_each_fill_pays_the_fees_that_stand_before_it_and_no_other_does(tmp_path: Path):
    journal = Journal(tmp_path / "several.sqlite")
    for number, fees in enumerate((("0.01", "0.02"), (), ("0.04",)), 1):
        for fee in fees:
            journal.append(OrderEventRow(number, number, BASE_FEE, 10_000, fee))
        journal.append(FillRow(number, number, number, 1, 100, 10_000, "100.00", "0.50", "taker", "0"))
    journal.close()
    with contextlib.closing(JournalReader(journal.path)) as reader:
        found = executions(reader)
        assert [one.quantity for one in found] == [D("0.47"), D("0.50"), D("0.46")]
        assert [one.fee for one in found] == [D(3), D(0), D(4)]
        assert executions(reader, last=found[1].seq) == found[:2]


def test_movements_come_in_the_order_in_which_they_happened(path: Path):
    with contextlib.closing(JournalReader(path)) as journal:
        assert movements(journal) == [
            PositionChange(1, D("0.5"), D("90.0")),
            PositionChange(2, D("1.00"), D("100.00"), D("0.25"), 1, 0),
            Paid(3, D("-0.75")),
            PositionChange(4, D("-1.01"), D("110.00"), D("1.1"), 2, 3),
            PositionChange(5, D("0.2"), D("111.0")),
        ]
        assert len(movements(journal, last=4)) == 2
        trips = RoundTrips(movements(journal))
    assert [trip.quantity for trip in trips.closed] == [D("0.5"), D("0.51")]
    assert sum(trip.quantity for trip in trips.open) == D("0.49") + D("0.2")


def test_of_a_long_journal_everything_is_told(tmp_path: Path):
    journal = Journal(tmp_path / "long.sqlite")
    for number in range(1, 301):
        journal.append(FillRow(number, number, number, 1, 100, 10_000, "100.00", "0.50", "taker", "0"))
    journal.close()
    with contextlib.closing(JournalReader(journal.path)) as reader:
        assert len(executions(reader)) == len(movements(reader)) == 300
        assert [one.seq for one in executions(reader, last=2)] == [1, 2]
