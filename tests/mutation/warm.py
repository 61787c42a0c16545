"""Tests in forks of one process that has imported and collected everything: coverage of each, and a mutant's end.

Kernels run as the plain Python that they are written in (`NUMBA_DISABLE_JIT=1`): nothing is compiled, so that a changed
kernel is the changed kernel. A change inside a function takes the place of that function's code in the fork, whoever
has imported it. A change of what runs when its file is imported needs a process that has not: there, `Fresh` is asked.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from mutation.constants import Constants
from mutation.coverage import Covered, Tracer
from mutation.forks import in_fork, next_within
from mutation.operators import Mutant, changed, function_code
from mutation.rooms import PACKAGE, REPOSITORY, TESTS

KEPT = REPOSITORY / ".mutants"
OPTIONS = [
    "-o", "addopts=", "-p", "no:terminal", "-p", "no:cacheprovider", "--strict-markers", "--import-mode=importlib",
    "--capture=sys", "-m", "not proof", "--rootdir", str(REPOSITORY),
]  # fmt: skip
_OFTEN = 3.0  # times as long as it takes, traced, a test may take before it counts as one that never ends
_AT_LEAST_S = 4.0


class Collected:
    """pytest's plugin that keeps what was collected, and has something else done than run it all."""

    def __init__(self, work: Callable[[Collected], Any]) -> None:
        self._work = work
        self.items: dict[str, pytest.Item] = {}
        self.done: Any = None
        self._failed = False
        self._passed = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        self.done = self._work(self)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed |= report.failed
        self._passed |= report.when == "call" and report.passed

    def passes(self, test: str, following: str | None = None) -> bool:
        """Run one test; whether it passed, neither failed nor skipped."""
        self._failed = self._passed = False
        item, after = self.items[test], self.items[following] if following else None
        item.ihook.pytest_runtest_protocol(item=item, nextitem=after)
        return self._passed and not self._failed

    def first_failure(self, tests: list[Covered]) -> str:
        """The first of `tests` that fails, or ""; one that takes far too long ends the process."""
        for one, after in zip(tests, [*tests[1:], None], strict=False):
            signal.setitimer(signal.ITIMER_PROF, limit_of(one))
            next_within(limit_of(one))
            if not self.passes(one.test, after.test if after else None):
                return one.test
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        return ""


def limit_of(test: Covered) -> float:
    """Seconds after which a test of a mutant is one that never ends."""
    return _OFTEN * test.seconds + _AT_LEAST_S


def run_pytest(work: Callable[[Collected], Any], tests: list[str], folder: str) -> Any:
    """What `work` made of the tests that pytest collected; None where it could not collect them."""
    collected = Collected(work)
    pytest.main([*OPTIONS, "--basetemp", folder, *tests], plugins=[collected])
    return collected.done


def measured(collected: Collected, limit_s: float) -> list[Covered]:
    """Coverage of each test that passes in time; as it was where neither tests nor what they ran have changed."""
    support = [path for path in TESTS.rglob("*.py") if not path.name.startswith("test_") and _counts(path)]
    of_files: dict[str, list[str]] = {}
    for test in collected.items:
        of_files.setdefault(test.split("::")[0], []).append(test)
    KEPT.mkdir(exist_ok=True)
    found: list[Covered] = []
    for file, tests in of_files.items():
        kept = KEPT / f"{Path(file).stem}-{_digest([*support, REPOSITORY / file])}-{limit_s:g}.json"
        rows = _as_it_was(kept)
        if rows is None:
            rows = [one for test in tests if (one := _covered(collected, test, limit_s))]
            print(f"{file}: {len(rows)} of {len(tests)} tests pass in time", file=sys.stderr, flush=True)
            ran = {path: _digest([Path(path)]) for one in rows for path in one.lines}
            kept.write_text(json.dumps({"ran": ran, "rows": [asdict(one) for one in rows]}))
        found += rows
    return sorted((one for one in found if one.test in collected.items), key=lambda one: one.seconds)


def _as_it_was(kept: Path) -> list[Covered] | None:
    """The coverage that was kept, if all that the tests ran is as it was."""
    if not kept.exists():
        return None
    told = json.loads(kept.read_text())
    same = all(
        Path(path).exists() and _digest([Path(path)]) == digest for path, digest in told["ran"].items()
    )
    return [Covered(**row) for row in told["rows"]] if same else None


def _covered(collected: Collected, test: str, limit_s: float) -> Covered | None:
    def work() -> dict[str, list[int]] | None:
        tracer = Tracer(str(PACKAGE))
        return tracer.lines() if tracer.run(lambda: collected.passes(test)) else None

    lines, seconds = in_fork(work, limit_s)
    return Covered(test, seconds, lines) if lines is not None else None


def _counts(path: Path) -> bool:
    """Whether tests may stand on a file: not on this tool, nor on what is run by hand."""
    return not {"mutation", "benchmarks", "mutants.py"} & set(path.parts)


def _digest(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class Functions:
    """The living functions of a file, by the name and line of their code, and the constants that they read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.constants = Constants(path)
        self._functions = [
            each
            for each in gc.get_objects()
            if type(each) is FunctionType and each.__code__.co_filename == str(path)
        ]

    def change(self, mutant: Mutant) -> bool:
        """Give the owner of the place its changed code; False where it is nowhere, or bound to other variables."""
        if mutant.owner is None:
            self.constants.change(mutant)
            return True
        code = compile(changed(self._path.read_text(), mutant), str(self._path), "exec")
        new = function_code(code, mutant.owner)
        found = [
            function
            for function in self._functions
            if (function.__code__.co_qualname, function.__code__.co_firstlineno)
            == (mutant.owner.name, mutant.owner.line)
        ]
        for function in found:
            if len(function.__code__.co_freevars) != len(new.co_freevars):
                return False
            function.__code__ = new
        return bool(found)


class Fresh:
    """A process that has imported what is large, and nothing of ours: its forks import a changed file."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        asks, self._asks = os.pipe()
        self._answers, answers = os.pipe()
        if os.fork() == 0:
            os.close(self._asks)
            with os.fdopen(asks) as lines:
                for line in lines:
                    os.write(answers, json.dumps(self._serve(**json.loads(line))).encode() + b"\n")
            os._exit(0)
        os.close(asks)
        self._lines = os.fdopen(self._answers)

    def first_failure(self, path: Path, mutant: Mutant | None, tests: list[Covered]) -> str:
        """As `Collected.first_failure`, of a process that imports the file at `path` changed."""
        number = -1 if mutant is None else mutant.number
        asked = {"path": str(path), "number": number, "tests": [asdict(one) | {"lines": {}} for one in tests]}
        os.write(self._asks, json.dumps(asked).encode() + b"\n")
        answer: str = json.loads(self._lines.readline())
        return answer

    def _serve(self, path: str, number: int, tests: list[dict[str, Any]]) -> str:
        chosen = [Covered(**one) for one in tests]

        def work() -> str | None:
            if number >= 0:
                _import_changed(path, number)
            names = [one.test for one in chosen]
            done: str | None = run_pytest(lambda c: c.first_failure(chosen), names, self._folder)
            return "its import" if done is None else done

        answer, _ = in_fork(work, 60.0)
        return "the clock" if answer is None else str(answer)


def _import_changed(path: str, number: int) -> None:
    from mutation.operators import mutants

    source = Path(path).read_text()
    code = compile(changed(source, mutants(source)[number]), path, "exec")
    plain = SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, name: str) -> Any:
        return code if loader.path == path else plain(loader, name)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]
