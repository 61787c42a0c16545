"""The space that is varied: options of the configuration with the bounds that its schema publishes, and who
proposes values.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

from ztb.config import schema
from ztb.config.loading import is_own
from ztb.errors import ConfigError
from ztb.studies.spec import Parameter, Settings, StudySpec, Value

_HALVING = 3
"""Of the configurations that reach a rung one in so many goes on."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """One option: one of `choices`, or a number from `low` to `high`, whole if `whole`."""

    name: str
    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    step: float | None = None
    log: bool = False


def dimensions(spec: StudySpec, origin: str) -> list[Dimension]:
    """The options that `spec` varies. ConfigError: one is unknown, or out of the configuration's bounds."""
    published = schema()
    return [_dimension(name, item, published, f"{origin}: {name}") for name, item in spec.space.items()]


def _dimension(name: str, given: Parameter, published: dict[str, Any], place: str) -> Dimension:
    known: dict[str, Any] = {} if is_own(name) else _published(name, published, place)
    choices = given.choices or _enumerated(known)
    if choices and given.low is None and given.high is None:
        return Dimension(name, tuple(choices))
    numbers = [item for item in known.get("anyOf", [known]) if item.get("type") in ("number", "integer")]
    if known and not numbers:
        raise ConfigError(f"{place}: is no number: give choices")
    allowed = numbers[0] if numbers else {}
    low, high = _bound(given.low, allowed, "minimum", place), _bound(given.high, allowed, "maximum", place)
    if low >= high or (given.log and low <= 0):
        raise ConfigError(f"{place}: low must be below high{', and above 0 for log' if given.log else ''}")
    if given.log and given.step is not None:
        raise ConfigError(f"{place}: log and step exclude each other")
    own_whole = all(isinstance(x, int) for x in (given.low, given.high, given.step or 1))
    whole = allowed["type"] == "integer" if allowed else own_whole
    if whole and not all(float(x).is_integer() for x in (low, high, given.step or 1)):
        raise ConfigError(f"{place}: takes whole numbers alone")
    return Dimension(name=name, choices=(), low=low, high=high, whole=whole, step=given.step, log=given.log)


def _published(name: str, published: dict[str, Any], place: str) -> dict[str, Any]:
    """The schema of one option. ConfigError names the nearest known one."""
    options: dict[str, dict[str, Any]] = {}
    for section, content in published["properties"].items():
        reference = content.get("$ref") or next(iter(content.get("allOf", [{}]))).get("$ref", "")
        made = published["$defs"].get(reference.rsplit("/", 1)[-1], {})
        options |= {f"{section}.{key}": item for key, item in made.get("properties", {}).items()}
    if name not in options:
        near = get_close_matches(name, options, n=1, cutoff=0.5)
        raise ConfigError(
            f"{place}: no such option of the configuration{f'; did you mean {near[0]!r}?' if near else ''}"
            " (a strategy's own are strategy.options.NAME)"
        )
    return options[name]


def _enumerated(known: dict[str, Any]) -> tuple[Value, ...]:
    return (False, True) if known.get("type") == "boolean" else tuple(known.get("enum", ()))


def _bound(given: float | None, allowed: dict[str, Any], which: str, place: str) -> float:
    limit = allowed.get(which)
    strict = allowed.get(f"exclusive{which.capitalize()}")
    if given is None:
        if limit is None:
            raise ConfigError(
                f"{place}: the configuration has no {which} for it: give low and high, or choices"
            )
        return float(limit)
    below = which == "minimum"
    beyond = limit is not None and (given < limit if below else given > limit)
    beyond = beyond or (strict is not None and (given <= strict if below else given >= strict))
    if beyond:
        raise ConfigError(
            f"{place}: {given:g} is beyond what the configuration allows ({which} {limit or strict})"
        )
    return given


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A configuration to try: what it changes in the study's."""

    number: int
    settings: Settings


class Proposer(Protocol):
    """Says what to try, in groups, and who falls behind. Its answers depend on what it was told alone, and it is told
    in the order of numbers: so a study proposes the same whoever runs its trials, and after a kill.
    """

    def groups(self) -> Iterator[list[Suggestion]]:
        """Groups of configurations to try together; the next group knows how the ones before did."""
        ...

    def keeps(self, scores: dict[int, float | None], finished_folds: int) -> set[int]:
        """Of a group's configurations by number, those that go on. None: it failed."""
        ...

    def tell(self, number: int, score: float | None) -> None:
        """Take the outcome of a configuration that finished all its folds, or failed (None)."""
        ...

    def importance(self) -> dict[str, float]:
        """The share of each option in how the scores differ, by name; empty where nothing can be said."""
        ...


class Fixed:
    """The study's own configuration, alone."""

    def groups(self) -> Iterator[list[Suggestion]]:
        """See `Proposer`."""
        yield [Suggestion(0, {})]

    def keeps(self, scores: dict[int, float | None], finished_folds: int) -> set[int]:
        """See `Proposer`."""
        return set(scores)

    def tell(self, number: int, score: float | None) -> None:
        """See `Proposer`."""

    def importance(self) -> dict[str, float]:
        """See `Proposer`."""
        return {}


def rungs(folds: int, prunes: bool) -> list[int]:
    """Numbers of finished folds at which configurations are compared; the last is all."""
    if not prunes:
        return [folds]
    steps, at = [], first_rung(folds)
    while at < folds:
        steps.append(at)
        at *= _HALVING
    return [*steps, folds]


def first_rung(folds: int) -> int:
    """A ninth of the folds, rounded up."""
    return -(-folds // _HALVING**2)


class Tuned:
    """Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), with successive halving (Jamieson and
    Talwalkar 2016, asynchronous as in Li et al. 2020) on finished folds.
    """

    def __init__(self, spec: StudySpec, space: Sequence[Dimension], folds: int, journal: Path) -> None:
        """`journal`: Optuna's own file, made anew, for its dashboard. ConfigError: Optuna is not installed."""
        optuna = _optuna()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        journal.unlink(missing_ok=True)
        journal.with_name(journal.name + ".lock").unlink(missing_ok=True)
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
        self._study = optuna.create_study(
            storage=storage,
            study_name=spec.name,
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=spec.seed),
            pruner=optuna.pruners.SuccessiveHalvingPruner(
                min_resource=first_rung(folds), reduction_factor=_HALVING
            ),
        )
        self._spec, self._space, self._states = spec, space, optuna.trial.TrialState
        self._trials: dict[int, Any] = {}

    def groups(self) -> Iterator[list[Suggestion]]:
        """See `Proposer`."""
        for first in range(0, self._spec.trials, self._spec.together):
            count = min(self._spec.together, self._spec.trials - first)
            yield [self._ask() for _ in range(count)]

    def _ask(self) -> Suggestion:
        trial = self._study.ask()
        self._trials[trial.number] = trial
        return Suggestion(trial.number, {item.name: _suggest(trial, item) for item in self._space})

    def keeps(self, scores: dict[int, float | None], finished_folds: int) -> set[int]:
        """See `Proposer`."""
        for number, score in sorted(scores.items()):
            if score is not None:
                self._trials[number].report(score, finished_folds)
        going_on = set[int]()
        for number, score in sorted(scores.items()):
            if score is None:
                self._study.tell(number, state=self._states.FAIL)
            elif self._spec.prune and self._trials[number].should_prune():
                self._study.tell(number, state=self._states.PRUNED)
            else:
                going_on.add(number)
        return going_on

    def tell(self, number: int, score: float | None) -> None:
        """See `Proposer`."""
        if score is None:
            self._study.tell(number, state=self._states.FAIL)
        else:
            self._study.tell(number, score)

    def importance(self) -> dict[str, float]:
        """See `Proposer`; Optuna's, by fANOVA of a Parzen estimate (Watanabe et al. 2023)."""
        scores = {trial.value for trial in self._study.get_trials(states=[self._states.COMPLETE])}
        if len(scores) < 3:  # of fewer, or of all alike, it says nothing
            return {}
        found = importlib.import_module("optuna.importance").get_param_importances(self._study)
        return {name: float(share) for name, share in found.items()}


def _suggest(trial: Any, item: Dimension) -> Value:
    if item.choices:
        value: Value = trial.suggest_categorical(item.name, list(item.choices))
    elif item.whole:
        step = int(item.step) if item.step is not None else 1
        value = trial.suggest_int(item.name, int(item.low), int(item.high), step=step, log=item.log)
    else:
        value = trial.suggest_float(item.name, item.low, item.high, step=item.step, log=item.log)
    return value


def _optuna() -> Any:
    try:
        return importlib.import_module("optuna")
    except ImportError:
        raise ConfigError(
            "a study with a space proposes by Optuna, which is not installed: pip install 'ztb[tune]'"
        ) from None


def optuna_version() -> str:
    """Of the one that is installed: another one may propose otherwise. ConfigError: there is none."""
    return str(_optuna().__version__)
