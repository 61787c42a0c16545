"""A story of a live daemon, drawn from a seed: whatever happens in it, books and invariants hold.

`.ci/year` tells a year of them; here are some hours, as proofs some days.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from collections import Counter
from pathlib import Path
from random import SystemRandom
from uuid import uuid4

import pytest

from chaos import year
from chaos.branches import BRANCHES
from chaos.faults import FAULTS
from chaos.recipe import Failure, Recipe, hold
from chaos.stage import Stage
from chaos.storm import PAIRS
from chaos.story import EVENTS, LEARNS_EACH, Seen, tell
from chaos.year import STORY_H, Told, figures
from utils.checkpoint_states import proof_sample

REPOSITORY = Path(__file__).resolve().parents[2]
HOURS, TWICE_HOURS, PROOF_HOURS, MOST_STORIES = 1.0, 0.5, 24.0, 40


def told_wrong(recipe: Recipe, hours: float, folder: Path) -> Failure | None:
    seen, schedule = Seen(), recipe.schedule(keep=True)
    try:
        tell(recipe, hours, folder / str(uuid4()) / "run", seen, schedule)
    except Exception:
        return Failure(traceback.format_exc(), seen.faults, schedule.taken)
    return None


@pytest.mark.seeds(1)
def test_some_hours_in_the_life_of_a_daemon(recipe: Recipe, shrink: bool, tmp_path: Path, request) -> None:
    """One that was asked for, the week that it had in the year."""
    hours = STORY_H if request.config.getoption("--seed") else HOURS
    hold(recipe, lambda tried: told_wrong(tried, hours, tmp_path), shrink)


def test_a_story_told_twice_is_the_same_one_and_a_chance_that_is_not_the_seeds_is_seen(
    tmp_path: Path, monkeypatch
) -> None:
    recipe, latency_s = Recipe(3), Stage._latency_s
    first, second = (tell(recipe, TWICE_HOURS, tmp_path / str(k) / "run") for k in range(2))
    assert first == second and first.choices > 1000 and first.digest
    chance = SystemRandom()
    monkeypatch.setattr(Stage, "_latency_s", lambda it: latency_s(it) + chance.uniform(0.0, 0.01))
    assert tell(recipe, TWICE_HOURS, tmp_path / "2" / "run").trace != first.trace


@pytest.mark.proof
@pytest.mark.parametrize("seed", [3, LEARNS_EACH - 1, 12])
def test_a_story_is_the_same_in_each_process_whatever_its_hashes(seed: int, tmp_path: Path) -> None:
    """By the command: a daemon's life and a half, one that learns among them."""
    stories = list[Told]()
    for salt in ("1", "2"):
        command = ["-m", "chaos.year", "--hours", "30", "--story-hours", "30", "--first", str(seed)]
        subprocess.run(
            [sys.executable, *command, "--processes", "1", "--out", tmp_path / salt],
            cwd=REPOSITORY, env=os.environ | {"PYTHONPATH": "daemon:tests", "PYTHONHASHSEED": salt},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        stories.append(json.loads((tmp_path / salt / "told.jsonl").read_text()))
    # What generation 0 was made from is journaled, and is in another folder; how long it took is the machine's.
    first, second = (
        {name: story[name] for name in story if name not in ("digest", "processor_s")} for story in stories
    )
    assert first == second and first["defect"] == "" and first["hours"] >= 30.0


@pytest.mark.proof
@pytest.mark.seeds(proof=range(1000, 1020))
def test_a_day_in_the_life_of_a_daemon(recipe: Recipe, tmp_path: Path) -> None:
    seen = tell(recipe, PROOF_HOURS, tmp_path / "run")
    print(seen)
    assert seen.fills > 10 and seen.comparisons > 3  # who learns trades less than who draws


@pytest.mark.proof
def test_every_branch_of_recovery_is_taken(tmp_path: Path) -> None:
    """Two days after two days, until each has been; a sample is one story, in which a fifth of them are."""
    seeds, taken = proof_sample(MOST_STORIES), Counter[str]()
    never = {branch.name for branch in BRANCHES}
    for seed in seeds:
        told = tell(Recipe(2000 + seed), 2 * PROOF_HOURS, tmp_path / str(seed) / "run")
        taken.update(told.branches)
        never -= taken.keys()
        print(f"stories to seed {2000 + seed}: never {sorted(never)}")
        if not never:
            break
    print(taken)
    assert len(taken) >= len(BRANCHES) / 5
    assert not never or len(seeds) < MOST_STORIES


def told(**changes: object) -> Told:
    """A story in which everything came once."""
    seen = Seen(hours=1.0)
    seen.struck.kinds.update(list(FAULTS))
    seen.struck.pairs.update(PAIRS)
    seen.branches.update(branch.name for branch in BRANCHES)
    seen.events.update([*EVENTS, "a kill", "a clean end"])
    return year.entered(seed=1, seen=seen, processor_s=1.0, defect="") | changes


def test_the_figures_are_well_only_if_everything_came_and_nothing_was_wrong():
    assert figures([told()])[1]
    assert not figures([])[1]
    for name in ("kinds", "pairs", "branches", "events"):
        left = dict(list(told()[name].items())[1:])
        lines, well = figures([told(**{name: left})])
        assert not well and any("never" in line for line in lines)
    lines, well = figures([told(defect="AssertionError: books differ")])
    assert not well and any("--seed 1" in line for line in lines)


def test_a_story_that_fails_is_told_of_and_the_next_one_is_told(tmp_path: Path, monkeypatch) -> None:
    def broken(recipe: Recipe, _hours: float, _folder: Path, seen: Seen) -> Seen:
        seen.hours = 1.0
        assert recipe.seed != 1, "one is wrong"
        return seen

    monkeypatch.setattr(year, "tell", broken)
    stories = [year.told_of(seed, 1.0) for seed in (1, 2)]
    assert ["one is wrong" in story["defect"] for story in stories] == [True, False]
