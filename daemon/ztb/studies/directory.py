"""A study's folder: what was asked, what it was made of, and one line for each trial that ended."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ztb.errors import DataError, ResourceError, UsageError
from ztb.ledger.run_directory import RunDirectory, next_free
from ztb.studies.folds import Fold
from ztb.studies.spec import StudySpec, digest_of
from ztb.studies.trial import TrialResult

BUSY = "this study is being run already; `ztb study status {}` says how far it is"


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set as a study found it: its files, the digest of their bytes, its symbol and its folds."""

    files: tuple[str, ...]
    content_digest: str
    symbol: str
    first_ns: int
    last_ns: int
    folds: tuple[Fold, ...]


@dataclass(frozen=True, slots=True)
class MadeOf:
    """The inputs that a study's figures depend on beside `study.json`. `id`: a function of all of it."""

    id: str
    code_version: str
    optuna_version: str | None
    period_ns: int
    data: tuple[DataSet, ...]

    @property
    def folds(self) -> int:
        """Folds of each data set."""
        return len(self.data[0].folds)

    @classmethod
    def of(cls, content: dict[str, Any]) -> MadeOf:
        """Back from JSON."""
        sets = list[DataSet]()
        for item in content["data"]:
            folds = tuple(Fold(**fold) for fold in item["folds"])
            facts: dict[str, Any] = {**item, "files": tuple(item["files"]), "folds": folds}
            sets.append(DataSet(**facts))
        whole: dict[str, Any] = {**content, "data": tuple(sets)}
        return cls(**whole)


class StudyDirectory:
    """Reads and writes the folder of one study."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files = RunDirectory(path)

    @classmethod
    def create(cls, out: Path | None, name: str) -> StudyDirectory:
        """`out`, or the next free `studies/<name>-NNN`. UsageError if a study is there already."""
        made = cls(out or next_free(Path("studies"), name))
        if made.spec_file.exists():
            raise UsageError(
                f"{made.path}: holds a study already: choose another --out, or go on with --resume"
            )
        return made

    @classmethod
    def open(cls, path: Path) -> StudyDirectory:
        """The study in a folder. DataError: there is none."""
        found = cls(path)
        if not found.spec_file.exists():
            raise DataError(f"{path}: holds no study (no study.json): name the folder of one")
        return found

    @property
    def spec_file(self) -> Path:
        """The path of the study's specification."""
        return self.path / "study.json"

    @property
    def page(self) -> Path:
        """The page about it."""
        return self.path / "report.html"

    @property
    def runs(self) -> Path:
        """Folders of trials' runs, by key."""
        return self.path / "runs"

    @property
    def optuna_journal(self) -> Path:
        """Optuna's own file, for its dashboard."""
        return self.path / "optuna.journal"

    @property
    def summary_file(self) -> Path:
        """The figures of a study that ended."""
        return self.path / "summary.json"

    @property
    def _made_of_file(self) -> Path:
        return self.path / "made_of.json"

    @property
    def _results_file(self) -> Path:
        return self.path / "trials.jsonl"

    @cached_property
    def spec(self) -> StudySpec:
        """As asked. ConfigError: the file was changed into nonsense."""
        return StudySpec.read(self.spec_file)

    @cached_property
    def made_of(self) -> MadeOf:
        """The inputs it was made of. DataError: the study never began."""
        return MadeOf.of(self._files.read_json(self._made_of_file))

    @property
    def running(self) -> bool:
        """True if a process is at it."""
        return self._files.is_held

    def held(self) -> Any:
        """A context in which no other process may run it, its folder made. UsageError: one does, or it cannot be."""
        return self._files.make().held(BUSY)

    def begin(self, spec: StudySpec, made_of: MadeOf) -> None:
        """Write down what is asked, so that it can be gone on with; once it began, DataError if it is not the same."""
        if self._made_of_file.exists():
            self._check_same(made_of)
            return
        self._files.write_json(self._made_of_file, asdict(made_of))
        self._files.write_json(self.spec_file, spec.model_dump(mode="json"))

    def _check_same(self, now: MadeOf) -> None:
        then = self.made_of
        if then.id == now.id:
            return
        same_data = [item.content_digest for item in then.data] == [item.content_digest for item in now.data]
        changed = [
            name
            for name, differs in (
                ("the data", not same_data),
                (
                    f"the code ({then.code_version} then, {now.code_version} now)",
                    then.code_version != now.code_version,
                ),
                (f"Optuna ({then.optuna_version} then)", then.optuna_version != now.optuna_version),
            )
            if differs
        ]
        raise DataError(
            f"{self.path}: {' and '.join(changed) or 'study.json'} changed since it began: put it back, or begin "
            "another study"
        )

    def results(self) -> dict[str, TrialResult]:
        """By key, of every trial that ended. A last line that was being written when its writer died is left out."""
        if not self._results_file.exists():
            return {}
        lines = self._results_file.read_bytes().split(b"\n")
        found: dict[str, TrialResult] = {}
        for number, line in enumerate(lines[:-1], 1):
            try:
                content: dict[str, Any] = json.loads(line)
                content["returns"] = tuple(content["returns"])
                result = TrialResult(**content)
            except (ValueError, TypeError, KeyError):
                raise DataError(
                    f"{self._results_file}:{number}: is no result of a trial: restore the file"
                ) from None
            found[result.key] = result
        return found

    def drop_torn_line(self) -> None:
        """Cut off what a writer that died left unfinished."""
        if self._results_file.exists():
            content = self._results_file.read_bytes()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                os.truncate(self._results_file, whole)

    def add(self, result: TrialResult) -> None:
        """Keep a result, durable on return. ResourceError: the disk is full."""
        line = json.dumps(asdict(result), allow_nan=False) + "\n"
        try:
            with self._results_file.open("ab", buffering=0) as file:
                if file.write(line.encode()) != len(line.encode()):
                    raise OSError("a part was written alone")
                os.fsync(file.fileno())
        except OSError as error:
            raise self.no_room(error) from None

    def no_room(self, error: OSError) -> ResourceError:
        """The error that names what kept it from being written, as `error` does, and the way on."""
        return ResourceError(
            f"{error.filename or self.path}: cannot be written ({error.strerror or error}): make room and go on with "
            f"--resume {self.path}; what was done is kept"
        )

    def keep_runs(self, keys: Iterable[str]) -> None:
        """Remove every run's folder but those."""
        kept = set(keys)
        for folder in self.runs.iterdir() if self.runs.is_dir() else ():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the figures."""
        self._files.write_json(self.summary_file, summary)

    def summary(self) -> dict[str, Any] | None:
        """The figures; None while it has not ended."""
        return self._files.read_json(self.summary_file) if self.summary_file.exists() else None


def digest_of_results(results: Iterable[TrialResult]) -> str:
    """Over every trial's figures and returns, in the order of keys: the same whoever ran them."""
    return digest_of([one.reproducible for one in sorted(results, key=lambda one: one.key)])
