"""A seed that fails is shrunk to the few faults and choices that it takes, written down, and repeated by `pytest --seed`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.recipe import Failure, Recipe, fewest, hold, shrunk

REPOSITORY = Path(__file__).resolve().parents[2]
EVERYTHING = Failure("all of it", range(40), {number: number % 3 + 1 for number in range(200)})


def fails(recipe: Recipe) -> Failure | None:
    """With the faults 7 and 31, and choice 41 taken for the third that could happen."""
    faults = EVERYTHING.faults if recipe.faults is None else recipe.faults
    choices = EVERYTHING.choices if recipe.choices is None else recipe.choices
    wrong = {7, 31} <= set(faults) and choices.get(41) == 3
    return Failure("all of it", faults, choices) if wrong else None


def test_what_is_left_is_what_it_takes():
    assert shrunk(Recipe(5), fails) == Recipe(5, (7, 31), {41: 3})
    assert len(fewest(range(100), lambda some: sum(some) >= 180)) == 2


def test_what_two_alone_leave_is_left():
    assert fewest("abcd", lambda some: len(some) % 2 == 0 and "a" in some) in (
        ["a", "b"],
        ["a", "c"],
        ["a", "d"],
    )


@pytest.mark.parametrize(
    "recipe", [Recipe(17), Recipe(17, ()), Recipe(17, (3, 9), {41: 2, 57: 1}), Recipe(0, None, {})]
)
def test_a_recipe_is_read_as_it_was_written(recipe):
    assert Recipe.read(str(recipe)) == recipe


@pytest.mark.parametrize("text", ["", "x", "17/choices", "17/choices=4", "17/faults=a", "17/colour=red"])
def test_what_is_no_recipe_is_refused(text):
    with pytest.raises(ValueError):
        Recipe.read(text)


def test_a_failure_says_how_to_repeat_it():
    with pytest.raises(AssertionError, match="--seed 5; --shrink"):
        hold(Recipe(5), fails, shrink=False)
    with pytest.raises(AssertionError, match="--seed 5/faults=7,31/choices=41:3"):
        hold(Recipe(5), fails, shrink=True)
    hold(Recipe(5, ()), fails, shrink=False)


PLANTED = """
import pytest
from chaos.recipe import Failure, hold
from runtime.venue.test_schedules import fill_after_a_halt, tried

def wrong(recipe):
    said, schedule = tried(recipe, fill_after_a_halt)
    return Failure(said, (), schedule.taken) if said else None

@pytest.mark.seeds(1)
def test_planted(recipe, shrink):
    hold(recipe, wrong, shrink)
"""


@pytest.mark.proof
def test_pytest_finds_shrinks_and_repeats_a_planted_fault_of_order(tmp_path: Path) -> None:
    from runtime.venue.test_schedules import MOST_CHOICES, broken, fill_after_a_halt

    (tmp_path / "test_planted.py").write_text(PLANTED)
    seed = next(seed for seed in range(1000) if broken(Recipe(seed), fill_after_a_halt))

    def ask(*options: str) -> str:
        command = [sys.executable, "-m", "pytest", "-p", "conftest", "-c", "pyproject.toml", "-n0", *options]
        path = f"{REPOSITORY / 'tests'}:{REPOSITORY / 'daemon'}"
        done = subprocess.run(
            [*command, str(tmp_path)], cwd=REPOSITORY, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
        )  # fmt: skip
        return done.stdout

    assert "1 passed" in ask("--seed", "1")
    said = ask("--seed", str(seed), "--shrink")
    small = re.findall(rf"again: --seed ({seed}/\S+)", said)[0]
    assert 0 < len(Recipe.read(small).choices or {}) <= MOST_CHOICES
    assert ask("--seed", small).count("1 trades, 0 heard of") >= 1
