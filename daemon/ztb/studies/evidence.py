"""What a study's results say together: each configuration's course over all that was traded, and a verdict on the best.

The verdict's error is stated: where nothing can be earned, "it works" at most 5 times in 100.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ztb.ledger.looks import Looks, by_kind
from ztb.ledger.performance import A_RATIO_NS, YEAR_NS, finite
from ztb.studies.directory import MadeOf
from ztb.studies.spec import StudySpec
from ztb.studies.statistics import (
    Floats,
    Overfitting,
    bootstrap_interval,
    deflated_sharpe,
    expected_maximum,
    overfitting,
    sharpe_ratio,
    superior_ability,
)
from ztb.studies.trial import TrialResult

LEVEL = 0.05
"""Of error, against each yardstick."""
STRICT = 0.025
"""Of error, in each test of the verdict: of a single configuration it is the verdict's own, and 0.05 is promised."""
_LEAST_PERIODS = 60
_MANY = 0.2
"""From this probability on, choosing the best in one part of the time says little of the rest."""

Verdict = Literal["works", "overfit", "unproven", "loses", "too_short", "nothing_traded"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A configuration's results. `parts`: simple returns, mean over seeds and period by period, of each data set and
    fold that has any, in their order; `complete`: every fold of every data set has.
    """

    number: int
    settings: dict[str, Any]
    parts: tuple[Floats, ...]
    trials: int
    failed: int
    complete: bool

    @property
    def returns(self) -> Floats:
        """Of all that was traded (T,)."""
        return np.concatenate(self.parts) if self.parts else np.zeros(0)

    def score(self, objective: str) -> float | None:
        """What is maximised: the Sharpe ratio a period, or the mean log growth a period. None: a trial failed."""
        if self.failed or not self.parts:
            return None
        if objective == "sharpe":
            return sharpe_ratio(self.returns)
        return float(np.log1p(np.maximum(self.returns, -1.0 + 1e-12)).mean())


def outcomes(results: Iterable[TrialResult], folds: int, data_sets: int, seeds: int) -> list[Outcome]:
    """Of each configuration that has a result, by number."""
    found: dict[int, list[TrialResult]] = {}
    for one in results:
        if one.kind == "trial":
            found.setdefault(one.configuration, []).append(one)
    return [_outcome(number, found[number], folds, data_sets, seeds) for number in sorted(found)]


def _outcome(number: int, trials: list[TrialResult], folds: int, data_sets: int, seeds: int) -> Outcome:
    places: dict[tuple[int, int], list[TrialResult]] = {}
    for one in sorted(trials, key=lambda one: one.key):
        places.setdefault((one.data_set, one.fold), []).append(one)
    sound = {
        place: [one.returns for one in group if one.error is None]
        for place, group in sorted(places.items())
        if len(group) == seeds
    }
    parts = tuple(np.array(group).mean(axis=0) for group in sound.values() if group)
    failed = sum(one.error is not None for one in trials)
    return Outcome(number, trials[0].settings, parts, len(trials), failed, len(parts) == folds * data_sets)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The best configuration against a yardstick: what the yardstick grew by, and the p-value of "no configuration
    earns more" (Hansen 2005)."""

    name: str
    growth: float | None
    p_value: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Statistics of a study. Sharpe ratios are a period; `sharpe_year` is annualised, None for less than 30 days.

    `looks`: how often the span was looked at, this study included, and by what.
    """

    verdict: Verdict
    sentence: str
    best: int | None
    settings: dict[str, Any]
    periods: int
    period_ns: int
    growth: float | None
    growth_interval: tuple[float, float] | None
    sharpe: float | None
    sharpe_interval: tuple[float, float] | None
    sharpe_year: float | None
    deflated_sharpe: float | None
    luck_sharpe: float | None
    overfitting: Overfitting | None
    against: tuple[Comparison, ...]
    looks: int
    looks_by_kind: dict[str, int]
    failed: int

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @property
    def is_overfit(self) -> bool:
        """Whether the best of several is called a choice of luck."""
        return self.verdict == "overfit"


def evidence_of(
    spec: StudySpec, made_of: MadeOf, results: Mapping[str, TrialResult], looks: Looks
) -> Evidence:
    """What the results of a study say, as far as it is."""
    data_sets = len(made_of.data)
    found = outcomes(results.values(), made_of.folds, data_sets, spec.seeds)
    seen = [
        look
        for item in made_of.data
        for look in looks.at(item.content_digest, item.folds[0].test_from, item.folds[-1].test_to)
    ]
    rules = {
        name: _outcome(-1, group, made_of.folds, data_sets, 1)
        for name in spec.rules
        if (
            group := [
                one for one in results.values() if one.kind == "rule" and one.key.startswith(f"rule-{name}-d")
            ]
        )
    }
    complete = [one for one in found if one.complete]
    own = len({one.configuration for one in results.values() if one.kind == "trial"}) * spec.seeds
    return judge(
        complete,
        {"flat": None, **{name: rule.returns for name, rule in rules.items() if rule.complete}},
        np.array([sharpe_ratio(one.returns) for one in found if len(one.returns) > 1]),
        looks=max(len(seen), own),
        by=by_kind(seen),
        period_ns=made_of.period_ns,
        objective=spec.objective,
        failed=sum(one.failed for one in found),
        seed=spec.seed,
    )


def judge(
    complete: list[Outcome],
    yardsticks: Mapping[str, Floats | None],
    ratios: Floats,
    *,
    looks: int,
    by: dict[str, int],
    period_ns: int,
    objective: str = "sharpe",
    failed: int = 0,
    seed: int = 0,
) -> Evidence:
    """Statistics and verdict on configurations that traded everything; `ratios`: Sharpe ratios of all that were tried.

    A yardstick without returns is one that earns nothing: flat.
    """
    scored = [(score, -one.number, one) for one in complete if (score := one.score(objective)) is not None]
    best = max(scored, key=lambda one: one[:2])[2] if scored else None
    generator = np.random.Generator(np.random.PCG64(seed))
    returns = best.returns if best is not None else np.zeros(0)
    grown = np.log1p(np.maximum(returns, -1.0 + 1e-12))
    # All of one length: they traded the same folds.
    matrix = np.stack([one.returns for one in complete], axis=1) if best is not None else np.zeros((0, 0))
    against = tuple(
        Comparison(
            name,
            0.0 if other is None else _growth(other),
            superior_ability(matrix, np.zeros(len(matrix)) if other is None else other, generator),
        )
        for name, other in yardsticks.items()
        if best is not None
    )
    chosen = overfitting(matrix) if len(complete) > 1 else None
    ratio = sharpe_ratio(returns)
    deflated = deflated_sharpe(returns, looks, ratios) if len(returns) > 1 else None
    verdict = _verdict(returns, deflated, against, chosen, len(complete), failed)
    span_ns = len(returns) * period_ns
    chance = 1.0 / max(len(returns) - 1, 1)
    variance = max(float(ratios.var(ddof=1)), chance) if len(ratios) > 1 else chance
    return Evidence(
        verdict=verdict,
        sentence=_sentence(verdict, deflated, chosen, against, looks, len(complete), len(returns)),
        best=None if best is None else best.number,
        settings={} if best is None else best.settings,
        periods=len(returns),
        period_ns=period_ns,
        growth=_growth(returns) if best is not None else None,
        growth_interval=bootstrap_interval(grown, "mean", generator),
        sharpe=ratio if best is not None else None,
        sharpe_interval=bootstrap_interval(returns, "sharpe", generator),
        sharpe_year=finite(ratio * float(np.sqrt(YEAR_NS / period_ns))) if span_ns >= A_RATIO_NS else None,
        deflated_sharpe=deflated,
        luck_sharpe=expected_maximum(looks, variance) if best is not None else None,
        overfitting=chosen,
        against=against,
        looks=looks,
        looks_by_kind=by,
        failed=failed,
    )


def _growth(returns: Floats) -> float | None:
    """What one unit of money grew by."""
    return finite(float(np.prod(1.0 + returns)) - 1.0)


def _verdict(
    returns: Floats,
    deflated: float | None,
    against: tuple[Comparison, ...],
    chosen: Overfitting | None,
    configurations: int,
    failed: int,
) -> Verdict:
    """It works where the best is beyond the luck of so many looks, and some configuration beyond flat."""
    if len(returns) < _LEAST_PERIODS or deflated is None:
        return "too_short"
    if not returns.any():
        return "nothing_traded"
    flat = next((one.p_value for one in against if one.name == "flat"), 1.0)
    if deflated >= 1.0 - STRICT and flat <= STRICT and not failed:
        return "works"
    if float(returns.mean()) <= 0.0:
        return "loses"
    if configurations > 1 and (
        deflated < 1.0 - STRICT or (chosen is not None and chosen.probability >= _MANY)
    ):
        return "overfit"
    return "unproven"


def _sentence(
    verdict: Verdict,
    deflated: float | None,
    chosen: Overfitting | None,
    against: tuple[Comparison, ...],
    looks: int,
    configurations: int,
    periods: int,
) -> str:
    """The verdict in words, with what to do."""
    said = {
        "works": "It works on these data: the best is beyond the luck of so many looks, and beyond doing nothing.",
        "overfit": "The best of those tried is no better than the luck of choosing: do not trade it; try fewer, "
        "simpler configurations on more data.",
        "unproven": "It earned something, and chance does as much: not proved. More data would say more, more tries "
        "would not.",
        "loses": "It loses after costs: do not trade it.",
        "too_short": f"{periods} periods say nothing: give more data, or longer tests.",
        "nothing_traded": "Nothing was traded: what is to be proved never had any of the account.",
    }[verdict]
    if deflated is None or verdict in ("too_short", "nothing_traded"):
        return said
    times = "one look" if looks == 1 else f"{looks:,} looks"
    said += (
        f" After {times}, the probability that it has any skill is {100 * deflated:.0f}\N{NO-BREAK SPACE}%"
    )
    if chosen is not None:
        said += (
            f"; the best of {configurations} in one half of the time was below the middle in the other half in "
            f"{100 * chosen.probability:.0f}\N{NO-BREAK SPACE}% of ways to halve it"
        )
    beaten = [one.name for one in against if one.name != "flat" and one.p_value <= LEVEL]
    others = [one.name for one in against if one.name != "flat" and one.p_value > LEVEL]
    if verdict == "works" and others:
        said += f"; that it earns more than {' or '.join(others)} is not shown"
    if beaten:
        said += f"; it earns more than {' and '.join(beaten)}"
    return said + "."
