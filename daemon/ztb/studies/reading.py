"""A study as Python reads it: finished, running or killed, from its folder alone; and one call that runs one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from ztb.errors import UsageError
from ztb.ledger.looks import Looks
from ztb.studies.directory import StudyDirectory
from ztb.studies.evidence import StudyEvidence, evidence_of
from ztb.studies.executors import Executor, InProcess, ProcessPool
from ztb.studies.spec import StudySpec
from ztb.studies.study import Keep, Listener, Progress, Study, progress_of

ExecutorName = Literal["processes", "here"]


class LoadedStudy:
    """A study's folder, read: `trials` and `returns` are tables, `statistics` what they say."""

    def __init__(self, path: str | Path) -> None:
        """DataError: there is no study, or it is damaged."""
        self.directory = StudyDirectory.open(Path(path))
        self.spec = self.directory.spec
        self.made_of = self.directory.made_of
        self._results = self.directory.results()

    @property
    def finished(self) -> bool:
        """True if it came to its end."""
        return self.directory.summary_file.exists()

    @property
    def summary(self) -> dict[str, Any] | None:
        """The figures with which it ended; None while it has not."""
        return self.directory.summary()

    @property
    def evidence(self) -> StudyEvidence:
        """The evidence in the results so far."""
        return evidence_of(self.spec, self.made_of, self._results, Looks.beside(self.directory.path))

    @property
    def statistics(self) -> dict[str, Any]:
        """`evidence` as plain data."""
        return self.evidence.facts()

    @property
    def trials(self) -> pa.Table:
        """One row a trial, with its settings by dotted name and the figures of its run; times are UTC."""
        settings = sorted({name for one in self._results.values() for name in one.settings})
        rows = [
            {
                "key": one.key,
                "kind": one.kind,
                "data_set": one.data_set,
                "fold": one.fold,
                "configuration": one.configuration,
                "seed": one.seed,
                "error": one.error,
                "seconds": one.seconds,
                **{name: one.settings.get(name) for name in settings},
                **{
                    name: value
                    for name, value in one.figures.items()
                    if name not in ("first_ts", "last_ts", "trade_first_ts")
                },
                **self._span(one.data_set, one.fold),
            }
            for one in sorted(self._results.values(), key=lambda one: one.key)
        ]
        return _utc(pa.Table.from_pylist(rows))

    @property
    def returns(self) -> pa.Table:
        """One row a period of a trial: `key`, `end` (UTC), `return`."""
        keys, ends, returns = list[str](), list[int](), list[float]()
        for one in sorted(self._results.values(), key=lambda one: one.key):
            fold = self.made_of.data[one.data_set].folds[one.fold]
            keys += [one.key] * len(one.returns)
            ends += fold.ends(self.made_of.period_ns)[: len(one.returns)]
            returns += one.returns
        return _utc(pa.table({"key": keys, "end": ends, "return": returns}))

    def _span(self, data_set: int, fold: int) -> dict[str, int]:
        found = self.made_of.data[data_set].folds[fold]
        return {"test_from": found.test_from, "test_to": found.test_to}

    @property
    def results(self) -> Mapping[str, Any]:
        """Results by key."""
        return self._results

    def progress(self, workers: int = 1) -> Progress:
        """The progress of the study, where so many trials run at a time."""
        return progress_of(self.spec, self.made_of, self._results, workers)

    def facts(self) -> dict[str, Any]:
        """The progress of the study, as JSON."""
        return {
            "study": str(self.directory.path),
            "state": "finished" if self.finished else "running" if self.directory.running else "stopped",
            **asdict(self.progress()),
        }


_TIMES = ("test_from", "test_to", "end")


def _utc(table: pa.Table) -> pa.Table:
    for name in _TIMES:
        if name in table.column_names:
            place = table.column_names.index(name)
            column = table.column(name).cast(pa.int64()).cast(pa.timestamp("ns", "UTC"))
            table = table.set_column(place, name, column)
    return table


def load_study(path: str | Path) -> LoadedStudy:
    """The study in a folder, finished or not. DataError: there is none."""
    return LoadedStudy(path)


def make_executor(name: ExecutorName, workers: int | None, cluster: str | None) -> Executor:
    """The executor of the trials: `workers` at a time, as many as there are cores by default; a cluster, if one is
    named.
    """
    if cluster is not None:
        from ztb.studies.cluster import RayCluster

        return RayCluster(cluster, workers)
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}: give 1 or more")
    if name == "here":
        return InProcess()
    return ProcessPool(workers or len(os.sched_getaffinity(0)))


def run_study(
    spec: StudySpec | Mapping[str, Any] | str | Path | None = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    executor: ExecutorName = "processes",
    workers: int | None = None,
    cluster: str | None = None,
    keep: Keep = "best",
    listener: Listener = lambda _result, _progress: None,
    **settings: Any,
) -> LoadedStudy:
    """Run a study to its end; it comes back read.

    `spec`: a file, or what one holds; `settings` are keys of it, such as `folds=4`. `resume`: a folder to go on with,
    in place of all of them. `cluster`: a Ray cluster's HOST:PORT, `auto` for the one of this machine, `local` for a
    node of our own. Errors: as `ztb study run` has exit codes for.
    """
    if resume is not None:
        if spec is not None or settings or out is not None:
            raise UsageError("resume: what a study asks stands in its folder: give nothing else")
        directory = StudyDirectory.open(Path(resume))
        asked = directory.spec
    else:
        asked = _asked(spec, settings)
        directory = StudyDirectory.create(None if out is None else Path(out), asked.name)
    made = make_executor(executor, workers, cluster)
    try:
        Study(spec=asked, directory=directory, executor=made, keep=keep, listener=listener).run()
    finally:
        made.close()
    study = LoadedStudy(directory.path)
    from ztb.studies.page import write_page  # it reads what is read here

    write_page(study)
    return study


def _asked(spec: StudySpec | Mapping[str, Any] | str | Path | None, settings: Mapping[str, Any]) -> StudySpec:
    if isinstance(spec, str | Path):
        spec = StudySpec.read(Path(spec))
    given = spec.model_dump(mode="json") if isinstance(spec, StudySpec) else dict(spec or {})
    return StudySpec.of({**given, **settings}, "study")
