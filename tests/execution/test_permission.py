"""Every gate that obeys a permission is told each change of it at once, and one that left is told no more."""

from __future__ import annotations

import numpy as np
import pytest

from ztb.execution.permission import Permission
from ztb.execution.protection import floor_of, trigger_price
from ztb.execution.risk_gate import GATE

TOLD = ("halted", "reduce_only", "flattening", "held")


class Memory:
    def __init__(self) -> None:
        self.row = np.full(1, 9, np.uint8).repeat(GATE.itemsize).view(GATE)

    @property
    def told(self) -> tuple[int, ...]:
        return tuple(int(self.row[name][0]) for name in TOLD)


def test_who_begins_to_obey_is_told_what_is_so():
    memory = Memory()
    Permission().obeyed_by(memory)
    assert memory.told == (0, 0, 0, 0)
    Permission(flattening=True).obeyed_by(memory)
    assert memory.told == (0, 0, 1, 0)


def test_each_change_is_told_to_everybody_at_once():
    permission, memories = Permission(), (Memory(), Memory())
    for memory in memories:
        permission.obeyed_by(memory)
    for place, name in enumerate(TOLD[:3]):
        assert getattr(permission, name) is False
        setattr(permission, name, True)
        assert getattr(permission, name) is True
        assert [memory.told for memory in memories] == [(*(int(i <= place) for i in range(3)), 0)] * 2
    permission.no_longer_obeyed_by(memories[1])
    permission.halted = False
    assert [memory.told[0] for memory in memories] == [0, 1]


def test_holds_are_counted_as_they_come_and_go():
    permission, memory = Permission(), Memory()
    permission.obeyed_by(memory)
    permission.holds["stale"] = "no news"
    permission.holds["skew"] = "the clock"
    assert memory.told[3] == 2
    assert permission.holds.pop("stale") == "no news" and memory.told[3] == 1
    assert permission.holds.pop("stale", None) is None
    permission.holds = {"a": "", "b": "", "c": ""}
    assert memory.told[3] == 3 and list(permission.holds) == ["a", "b", "c"]
    permission.holds = {}
    assert memory.told[3] == 0 and not permission.holds


@pytest.mark.parametrize(
    ("reference", "equity", "floor"),
    [
        (100.0, 100.0, 80.0),
        (100.0, 84.2, 80.0),  # nearer than a quarter of the fraction: 80 / 0.95 = 84.2105
        (100.0, 84.3, 80.0),
        (100.0, 80.0, 64.0),
        (200.0, 100.0, 80.0),
    ],
)
def test_a_stop_keeps_all_but_its_fraction_and_is_never_placed_next_to_what_is_left(reference, equity, floor):
    expected = floor if equity != 84.2 else 84.2 * 0.8
    assert floor_of(reference, equity, 0.2) == pytest.approx(expected)


def test_the_stop_is_where_the_account_is_worth_what_it_keeps_and_not_below_half_the_price():
    assert trigger_price(80.0, 20.0, 2.0, 40.0) == 30.0
    assert trigger_price(80.0, 70.0, 2.0, 40.0) == 20.0


def test_next_to_what_is_left_begins_beyond_a_quarter_of_the_fraction():
    """In numbers that floats hold: an eighth of 100 is 12.5."""
    assert floor_of(175.0, 100.0, 0.5) == 87.5
    assert floor_of(175.1, 100.0, 0.5) == 50.0
