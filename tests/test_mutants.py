"""Mutants differ from their source in one place; the tool finds those that tests notice, and those that they do not."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys

import pytest

from mutation.forks import in_fork
from mutation.operators import Owner, changed, function_code, mutants
from mutation.rooms import REPOSITORY, equivalents

SOURCE = '''
LIMIT = 5
class Desk:
    @staticmethod
    async def send(order, price, flags=0):
        """Words are nothing to change: 1 < 2."""
        await write(order)
        row = await venue.send(order)
        if price >= 0.5 and not order.done:
            self.sent += 1
            raise ValueError(f"{price + 1}")
        book(row)
        return price * 2
'''


def test_every_mutant_is_a_program_of_its_own_and_the_same_each_time():
    found = mutants(SOURCE)
    made = {ast.unparse(changed(SOURCE, mutant)) for mutant in found}
    assert len(made | {ast.unparse(ast.parse(SOURCE))}) == len(found) + 1
    assert mutants(SOURCE) == found and all(mutant.text in SOURCE for mutant in found)


def test_each_kind_of_change_is_made_and_words_are_left_alone():
    said = {mutant.what for mutant in mutants(SOURCE)}
    assert said == {
        "5 -> 6", "5 -> 4", "0 -> 1", "0 -> -1",
        "removed: await write(order)", "later: await write(order), after row = await venue.send(order)",
        "later: await write(order), after book(row)",
        "price >= 0.5 -> price > 0.5", "price >= 0.5 -> price < 0.5", "0.5 -> 1.0", "0.5 -> 0.0",
        "price >= 0.5 and (not order.done) -> price >= 0.5 or not order.done",
        "not order.done -> bool(order.done)", "removed: self.sent += 1", "1 -> 2", "1 -> 0",
        "removed: raise ValueError(f'{price + 1}')", "removed: book(row)",
        "price * 2 -> price / 2", "price * 2 -> None", "2 -> 3", "2 -> 1",
    }  # fmt: skip


def test_a_change_in_a_function_is_in_the_code_of_its_owner_and_what_importing_runs_has_none():
    found = mutants(SOURCE)
    owner = Owner("Desk.send", 4)
    assert {mutant.owner for mutant in found if mutant.line > 5} == {owner}
    assert {mutant.what for mutant in found if mutant.owner is None} >= {"5 -> 6"}
    code = compile(changed(SOURCE, found[-1]), "desk.py", "exec")
    assert function_code(code, owner).co_name == "send"
    with pytest.raises(LookupError, match="no code of lost"):
        function_code(code, Owner("lost", 1))


def test_a_fork_that_spends_too_much_or_dies_says_nothing():
    def forever() -> None:
        while True:
            pass

    assert in_fork(lambda: {"a": 1}, 5.0)[0] == {"a": 1}
    assert in_fork(forever, 0.3)[0] is None
    assert in_fork(lambda: os._exit(1), 5.0)[0] is None


def test_every_equivalent_mutant_is_still_one_and_says_why():
    assert all(len(each.why) > 20 for each in equivalents())


def tried(*arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY / 'daemon'}{os.pathsep}{REPOSITORY / 'tests'}"}
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "tests" / "mutants.py"), *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.proof
def test_no_change_of_the_kill_switch_goes_unnoticed():
    """Of the smallest of those that safety rests on; the others take minutes each, see RESULTS.md."""
    said = tried("--file", "runtime/daemon/kill_switch.py", "--tests", "runtime/daemon/test_kill_switch.py")
    assert re.search(r"\*\*in all\*\* .* 100\.0 \|", said), said
