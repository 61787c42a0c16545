"""Mutants differ from their source in one place, and the tool says which of them the tests let live."""

from __future__ import annotations

import ast

from mutants import mutants

SOURCE = '''
def send(order, price):
    """Words are nothing to change."""
    write(order)
    if price > 0 and not order.done:
        venue.send(order)
    return price * 2
'''


def test_every_mutant_is_a_program_of_its_own_and_the_same_each_time():
    found = mutants(SOURCE)
    plain = ast.unparse(ast.parse(SOURCE))
    assert len({mutant.source for mutant in found} | {plain}) == len(found) + 1
    assert all(ast.parse(mutant.source) for mutant in found)
    assert mutants(SOURCE) == found


def test_what_acts_is_left_out_and_changes_places_and_conditions_turn():
    said = {mutant.what for mutant in mutants(SOURCE)}
    assert {"left out: write(order)", "left out: venue.send(order)", "and is or", "a not is gone"} <= said
    assert {"a comparison is another", "a number is one more", "an operator is its opposite"} <= said
    two = "async def go():\n    await durable()\n    await send()\n"
    later = next(one for one in mutants(two) if one.what == "later: await durable()")
    assert later.source.index("send") < later.source.index("durable")
