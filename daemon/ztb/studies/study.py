"""The driver of a study: proposes configurations, orders their trials, keeps what comes back.

It decides by results alone, and in the order of numbers: after a kill it goes the same way again from the beginning,
past what is known, and comes to the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ztb.config import Config, with_settings
from ztb.errors import ConfigError, DataError
from ztb.ledger.looks import Look, Looks
from ztb.market.history import History, expand
from ztb.market.ticks import BAR
from ztb.runtime.modes.replay import ReplayRequest, open_data
from ztb.studies.directory import DataSet, MadeOf, StudyDirectory, digest_of_results
from ztb.studies.evidence import Evidence, Outcome, evidence_of, outcomes
from ztb.studies.executors import Executor
from ztb.studies.folds import period_of, walk
from ztb.studies.space import Fixed, Proposal, Proposer, Tuned, dimensions, optuna_version, rungs
from ztb.studies.spec import StudySpec, digest_of
from ztb.studies.trial import Kind, TrialOrder, TrialResult, key_of
from ztb.utils.full_disk import says_full_disk
from ztb.utils.installation import code_version
from ztb.utils.moments import parse_span_of

Keep = Literal["best", "all", "none"]
_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a study is: trials that ended of those that there are at most; `left_s` by the speed so far, None where
    nothing is known; `best` configuration's number and score.
    """

    done: int
    total: int
    left_s: float | None
    best: tuple[int, float] | None


Listener = Callable[[TrialResult, Progress], None]


class Study:
    """One study, begun or gone on with: make it, `run` it."""

    def __init__(
        self,
        spec: StudySpec,
        directory: StudyDirectory,
        executor: Executor,
        keep: Keep = "best",
        listener: Listener = lambda _result, _progress: None,
    ) -> None:
        """Reads the data. ConfigError, DataError, UsageError: they or what is asked make no study."""
        self.directory = directory
        self._executor, self._keep, self._listener = executor, keep, listener
        self._base = spec.base()
        self._space = dimensions(spec, "space")
        self.made_of = made_of(spec, self._base)
        # By its own files, so that it can be gone on with from any folder.
        self.spec = spec.model_copy(update={"data": tuple(item.files for item in self.made_of.data)})
        self._rules = [(name, rule_config(self._base, name)) for name in spec.rules]
        self._looks = Looks.beside(directory.path)
        self._results: dict[str, TrialResult] = {}
        self._before = 0

    def run(self) -> dict[str, Any]:
        """To its end; the figures. What ended is kept whatever ends it. ResourceError: the disk is full."""
        with self.directory.held():
            self.directory.begin(self.spec, self.made_of)
            self.directory.drop_torn_line()
            self._results = self.directory.results()
            self._before = len(self._results)
            try:
                return self._run()
            except OSError as error:
                if says_full_disk(error):
                    raise self.directory.no_room(error) from None
                raise
            finally:
                self._executor.close()

    def _run(self) -> dict[str, Any]:
        proposer = self._proposer()
        self._finish([order for name, config in self._rules for order in self._rule(name, config)])
        for group in proposer.groups():
            self._try(group, proposer)
            self._tidy()
        summary = {**self._summary(self.evidence()), "importance": proposer.importance()}
        self.directory.finish(summary)
        return summary

    def _proposer(self) -> Proposer:
        if not self._space:
            return Fixed()
        return Tuned(self.spec, self._space, self.made_of.folds, self.directory.optuna_journal)

    def _try(self, group: Sequence[Proposal], proposer: Proposer) -> None:
        """Take configurations through their folds, rung by rung, as long as they keep up."""
        alive, done = {one.number: one for one in group}, 0
        steps = rungs(self.made_of.folds, self.spec.prune and bool(self._space))
        for rung in steps:
            self._look(alive.values())
            self._finish(
                [
                    order
                    for proposal in alive.values()
                    for fold in range(done, rung)
                    for order in self._orders(proposal, fold)
                ]
            )
            done = rung
            scores = self._scores(alive, done)
            if done == steps[-1]:
                for number, score in sorted(scores.items()):
                    proposer.tell(number, score)
            else:
                going_on = proposer.keeps(scores, done)
                alive = {number: alive[number] for number in going_on}

    def _orders(self, proposal: Proposal, fold: int) -> list[TrialOrder]:
        name = f"{proposal.number:05}"
        return [
            self._order("trial", name, data, fold, seed, proposal.number, proposal.settings, self._base)
            for data in range(len(self.made_of.data))
            for seed in range(self.spec.seed, self.spec.seed + self.spec.seeds)
        ]

    def _rule(self, name: str, config: Config) -> list[TrialOrder]:
        return [
            self._order("rule", name, data, fold, self.spec.seed, -1, {}, config)
            for data in range(len(self.made_of.data))
            for fold in range(self.made_of.folds)
        ]

    def _order(
        self,
        kind: Kind,
        name: str,
        data: int,
        fold: int,
        seed: int,
        number: int,
        settings: dict[str, Any],
        config: Config,
    ) -> TrialOrder:
        key, item = key_of(kind, name, data, fold, seed), self.made_of.data[data]
        keep = self._keep == "all" or (self._keep == "best" and kind == "trial")
        return TrialOrder(
            key=key, kind=kind, data_set=data, fold=item.folds[fold], configuration=number, seed=seed,
            settings=settings, config=config.model_dump(mode="json"), data=item.files,
            period_ns=self.made_of.period_ns, folder=str(self.directory.runs / key), keep=keep,
            code_version=self.made_of.code_version,
        )  # fmt: skip

    def _finish(self, orders: Iterable[TrialOrder]) -> None:
        """Have a result of each, known or new. DataError: what is known is of other settings."""
        for order in orders:
            known = self._results.get(order.key)
            if known is None:
                self._executor.submit(order)
            elif known.settings != order.settings:
                raise DataError(
                    f"{self.directory.path}: {order.key} was tried with {known.settings}, and {order.settings} is "
                    "proposed now: trials.jsonl was changed; begin another study"
                )
        for result in self._executor.results():
            self.directory.add(result)
            self._results[result.key] = result
            self._listener(result, self.progress())

    def progress(self) -> Progress:
        """How far it is."""
        return progress_of(self.spec, self.made_of, self._results, self._executor.workers)

    def _look(self, proposals: Iterable[Proposal]) -> None:
        """Count what is about to be seen: each configuration with each seed is a look at all that is traded."""
        self._looks.add(
            Look(
                item.content_digest, item.folds[0].test_from, item.folds[-1].test_to, "study",
                f"{self.made_of.id[:16]}/d{data}/{digest_of(one.settings)[:16]}/s{seed}", str(self.directory.path),
            )
            for one in proposals
            for data, item in enumerate(self.made_of.data)
            for seed in range(self.spec.seed, self.spec.seed + self.spec.seeds)
        )  # fmt: skip

    def _scores(self, numbers: Iterable[int], folds: int) -> dict[int, float | None]:
        """By what its first `folds` brought, of each configuration: a study that is gone on with knows more of some."""
        known = [one for one in self._results.values() if one.fold < folds]
        found = {one.number: one for one in outcomes(known, folds, len(self.made_of.data), self.spec.seeds)}
        return {number: found[number].score(self.spec.objective) for number in numbers}

    def outcomes(self) -> list[Outcome]:
        """What came of each configuration so far."""
        return outcomes(self._results.values(), self.made_of.folds, len(self.made_of.data), self.spec.seeds)

    def _tidy(self) -> None:
        """Remove the folders of runs that are not to be kept."""
        if self._keep != "best":
            return
        best = self.progress().best
        self.directory.keep_runs(
            one.key for one in self._results.values() if best is not None and one.configuration == best[0]
        )

    def evidence(self) -> Evidence:
        """What it all says."""
        return evidence_of(self.spec, self.made_of, self._results, self._looks)

    def _summary(self, evidence: Evidence) -> dict[str, Any]:
        trials = [one for one in self._results.values() if one.kind == "trial"]
        failed = [one for one in self._results.values() if one.error is not None]
        if trials and len(failed) == len(self._results):
            raise DataError(f"{self.directory.path}: every trial failed; the first: {failed[0].error}")
        return {
            "id": self.made_of.id,
            "name": self.spec.name,
            "code_version": self.made_of.code_version,
            "folds": self.made_of.folds,
            "configurations": len({one.configuration for one in trials}),
            "seeds": self.spec.seeds,
            "trials": len(trials),
            "failed": len(failed),
            "digest": digest_of_results(self._results.values()),
            **evidence.facts(),
        }


def progress_of(spec: StudySpec, made_of: MadeOf, results: dict[str, TrialResult], workers: int) -> Progress:
    """How far a study with these results is, where so many trials run at a time."""
    per_configuration = made_of.folds * len(made_of.data) * spec.seeds
    total = spec.configurations * per_configuration + len(spec.rules) * made_of.folds * len(made_of.data)
    found = outcomes(results.values(), made_of.folds, len(made_of.data), spec.seeds)
    scores = [(one.number, one.score(spec.objective)) for one in found if one.complete]
    ranked = [(number, score) for number, score in scores if score is not None]
    best = max(ranked, key=lambda one: (one[1], -one[0]), default=None)
    trials = [one.seconds for one in results.values() if one.kind == "trial"]
    left = (total - len(results)) * sum(trials) / len(trials) / workers if trials else None
    return Progress(len(results), total, left, best)


def made_of(spec: StudySpec, base: Config) -> MadeOf:
    """Look at the data and cut them into folds. DataError, UsageError: they cannot be."""
    start_ns, end_ns = parse_span_of(spec.start, spec.end)
    seen: list[tuple[History, tuple[str, ...], int, int]] = []
    for paths in spec.data:
        files = tuple(
            str(path.resolve()) for path in (expand([Path(name) for name in paths]) if paths else ())
        )
        request = ReplayRequest(base, tuple(Path(file) for file in files), spec.seed, start_ns, end_ns)
        history = open_data(request)
        seen.append((history, files, *_reach(history)))
    folds = min(len(walk(spec, first, last)) for _, _, first, last in seen)
    same = spec.model_copy(update={"folds": folds})
    sets = tuple(
        DataSet(
            files,
            history.content_digest,
            history.instrument.symbol,
            first,
            last,
            tuple(walk(same, first, last)),
        )
        for history, files, first, last in seen
    )
    shortest = min(item.folds[0].test_to - item.folds[0].test_from for item in sets)
    optuna = optuna_version() if spec.space else None
    asked = {**spec.model_dump(mode="json"), "data": [item.content_digest for item in sets]}
    identity = digest_of([asked, code_version(), optuna, [item.symbol for item in sets]])
    return MadeOf(identity, code_version(), optuna, period_of(shortest), sets)


def _reach(history: History) -> tuple[int, int]:
    """From the first tick (a bar's opening) to just after the last."""
    first, last = None, 0
    for block in history.blocks(_ROWS):
        head = block[0]
        if first is None:
            first = int(head["ts_ns"]) - (int(head["span_ns"]) if head["kind"] == BAR else 0)
        last = int(block["ts_ns"][-1]) + 1
    if first is None:
        raise DataError("the data hold no ticks")
    return first, last


def rule_config(base: Config, name: str) -> Config:
    """The study's configuration with another strategy. ConfigError: there is none of that name, or it learns."""
    from ztb.strategies.loader import load_strategy

    if load_strategy(name).learns:
        raise ConfigError(f"rules: {name} learns; only rules are yardsticks")
    return with_settings(base, {"strategy.name": name, "strategy.options": {}}, "rules")
