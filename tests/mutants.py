"""Changes the daemon on purpose, one place at a time, runs the tests that run the place, and lists what they let live.

`python tests/mutants.py venue recovery --sample 20 --seed 1` · `python tests/mutants.py --file ledger/accounts.py`
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

os.environ["NUMBA_DISABLE_JIT"] = "1"

import ccxt.pro  # noqa: F401 (what is large is imported once, before the first fork)
import numba  # noqa: F401
import numpy as np
import torch  # noqa: F401

from mutation.coverage import Covered
from mutation.forks import in_fork
from mutation.operators import Mutant, mutants
from mutation.rooms import PACKAGE, REPOSITORY, ROOMS, TESTS, Equivalent, equivalents, files_of, name_of
from mutation.warm import Collected, Fresh, Functions, measured, run_pytest

_MOST_FRESH = 100
"""Tests in a process that has imported nothing of ours, where each comes with its imports."""
_NAMED = 20  # a test that imports a file is as good a test of it as one that runs so many lines of it


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    files: dict[str, list[Path]]
    tests: list[str]
    sample: int
    seed: int
    limit_s: float
    budget_s: float


@dataclass(frozen=True)
class Tally:
    """What became of the mutants drawn of one file, or of a room."""

    mutants: int = 0
    drawn: int = 0
    killed: int = 0
    equivalent: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            mutants=self.mutants + other.mutants,
            drawn=self.drawn + other.drawn,
            killed=self.killed + other.killed,
            equivalent=self.equivalent + other.equivalent,
        )

    @property
    def score(self) -> float:
        """Of a hundred that can be noticed, those that were."""
        able = self.drawn - self.equivalent
        return 100.0 * self.killed / able if able else 100.0

    def row(self, name: str) -> str:
        figures = (self.mutants, self.drawn, self.killed, self.equivalent)
        return f"| {name} | {' | '.join(map(str, figures))} | {self.score:.1f} |"


class Trial:
    """The mutants of one file after another, each against the tests that run its line, the fastest first."""

    def __init__(self, asked: Asked, collected: Collected, fresh: Fresh) -> None:
        self._asked = asked
        self._collected = collected
        self._fresh = fresh
        self._tests = measured(collected, asked.limit_s)
        self._equivalent = equivalents()

    def of_file(self, path: Path) -> Tally:
        """Try a sample of the mutants of a file; survivors are printed as they are found."""
        every = mutants(path.read_text())
        chosen = np.random.default_rng(self._asked.seed).permutation(len(every))[: self._asked.sample]
        drawn = [every[i] for i in sorted(chosen)]
        alike = [one for one in drawn if self._reason(path, one)]
        functions = Functions(path)
        importing: list[Covered] | None = None
        killed = 0
        for mutant in drawn:
            if mutant in alike:
                continue
            tests = self._running(path, functions, mutant)
            if tests:
                killer = self._killer(path, functions, mutant, tests)
            else:
                importing = self._importing(path) if importing is None else importing
                tests, killer = importing, self._fresh.first_failure(path, mutant, importing)
            killed += bool(killer)
            if not killer:
                words = "" if tests else " (no test runs it)"
                print(f"{name_of(path)}:{mutant.line}: {mutant.what}{words}", flush=True)
        return Tally(len(every), len(drawn), killed, len(alike))

    def _reason(self, path: Path, mutant: Mutant) -> Equivalent | None:
        return next((each for each in self._equivalent if each.is_it(name_of(path), mutant)), None)

    def _running(self, path: Path, functions: Functions, mutant: Mutant) -> list[Covered]:
        """Tests that run the line of a change, or read it; there is none where importing its file does more."""
        lines = {mutant.line} if mutant.owner else functions.constants.readers(mutant)
        found = [one for one in self._tests if not lines.isdisjoint(one.lines.get(str(path), ()))]
        return self._within_budget(found)

    def _killer(self, path: Path, functions: Functions, mutant: Mutant, tests: list[Covered]) -> str:
        """The first of `tests` that fails on the mutant, by itself too, or ""."""
        while tests:
            killer = self._in_warm(path, functions, mutant, tests)
            place = next((i for i, one in enumerate(tests) if one.test == killer), 0)
            if not place or self._in_warm(path, functions, mutant, tests[place : place + 1]):
                return killer
            tests = tests[place + 1 :]  # it failed for what ran before it
        return ""

    def _in_warm(self, path: Path, functions: Functions, mutant: Mutant, tests: list[Covered]) -> str:
        """The first of `tests` that fails on the mutant, one after the other, or ""."""

        def work() -> str:
            return self._collected.first_failure(tests) if functions.change(mutant) else "nowhere"

        answer, _ = in_fork(work, 10.0)
        if answer == "nowhere":
            return self._fresh.first_failure(path, mutant, tests)
        return "the clock" if answer is None else str(answer)

    def _importing(self, path: Path) -> list[Covered]:
        """Tests of a file as a whole, which pass in a fresh process: those that name it or run most of it."""

        def worth(one: Covered) -> float:
            named = _module_of(path) in (REPOSITORY / one.test.split("::")[0]).read_text()
            return (len(one.lines.get(str(path), ())) + _NAMED * named) / (0.2 + one.seconds)

        most = sorted((one for one in self._tests if worth(one)), key=lambda one: -worth(one))
        tests = sorted(self._within_budget(most)[:_MOST_FRESH], key=lambda one: one.seconds)
        while tests and (failed := self._fresh.first_failure(path, None, tests)):
            tests = [one for one in tests if one.test != failed] if failed != "the clock" else []
        return tests

    def _within_budget(self, tests: list[Covered]) -> list[Covered]:
        spent, chosen = 0.0, []
        for one in tests:
            spent += one.seconds
            if spent > self._asked.budget_s and chosen:
                break
            chosen.append(one)
        return chosen


def _module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def report(asked: Asked, trial: Trial) -> list[str]:
    """Try everything that is asked for; the table of files and rooms."""
    table = ["| | mutants | drawn | killed | equivalent | of 100 |", "|---|---|---|---|---|---|"]
    for room, files in asked.files.items():
        whole = Tally()
        for path in files:
            tally = trial.of_file(path)
            table.append(tally.row(name_of(path)))
            print(table[-1], file=sys.stderr, flush=True)
            whole += tally
        table.append(whole.row(f"**{room}**"))
    return table


def asked_for(arguments: list[str]) -> Asked:
    """The command line, read."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"of {', '.join(ROOMS)}; all by default")
    parser.add_argument("--file", nargs="+", help="files below daemon/ztb instead of rooms")
    parser.add_argument("--tests", nargs="+", help="files or folders below tests, instead of the rooms' own")
    parser.add_argument("--sample", type=int, default=1_000_000, help="mutants of each file; all by default")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--limit-s", type=float, default=2.0, help="tests that take longer are left out")
    parser.add_argument("--budget-s", type=float, default=15.0, help="of tests for one mutant")
    given = parser.parse_args(arguments)
    if unknown := set(given.rooms) - set(ROOMS):
        parser.error(f"no room is called {', '.join(sorted(unknown))}: there are {', '.join(ROOMS)}")
    rooms = given.rooms or list(ROOMS)
    files = {room: files_of(room) for room in rooms}
    tests = given.tests or sorted({name for room in rooms for name in ROOMS[room].tests})
    if given.file:
        files = {"in all": [PACKAGE / name for name in given.file]}
    return Asked(
        files=files,
        tests=[str(TESTS / name) for name in tests],
        sample=given.sample,
        seed=given.seed,
        limit_s=given.limit_s,
        budget_s=given.budget_s,
    )


def main(arguments: list[str]) -> None:
    """Print the survivors, one a line, and then the table."""
    asked = asked_for(arguments)
    os.chdir(REPOSITORY)
    with tempfile.TemporaryDirectory() as folder:
        fresh = Fresh(f"{folder}/fresh")
        table = run_pytest(
            lambda collected: report(asked, Trial(asked, collected, fresh)), asked.tests, f"{folder}/warm"
        )
    print("\n".join(table))


if __name__ == "__main__":
    main(sys.argv[1:])
