"""A study's page: what it says, and every fold, seed and configuration that it says it from. Made from its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ztb.errors import ResourceError, UsageError
from ztb.ledger.performance import finite
from ztb.studies.evidence import STRICT, Outcome, outcomes
from ztb.studies.reading import LoadedStudy
from ztb.studies.statistics import Floats
from ztb.studies.trial import TrialResult
from ztb.telemetry import texts
from ztb.telemetry.charts import ChartLine, equity_svg, scatter_svg
from ztb.telemetry.markup import Html, card, cards, facts, join, table, text, tone
from ztb.telemetry.report import static_page
from ztb.utils import files
from ztb.utils.full_disk import says_full_disk

_MOST_ROWS = 200
_COLORS = ("hold", "expert-1", "expert-2", "expert-3", "expert-4", "expert-5")


def write_page(study: LoadedStudy) -> Path:
    """Write it in one step; returns where it is. ResourceError: the disk is full. UsageError: it cannot be written."""
    place, told = study.directory.page, page(study)
    try:
        files.write_durably(place, told.encode())
    except OSError as error:
        kind = ResourceError if says_full_disk(error) else UsageError
        raise kind(
            f"{place}: cannot be written ({error.strerror}): mend that, then `ztb study show {study.directory.path}`"
        ) from None
    return place


def page(study: LoadedStudy) -> str:
    """The whole page."""
    view = _View(study)
    parts = [
        view.growth(),
        view.folds(),
        view.seeds(),
        view.parameters(),
        view.yardsticks(),
        view.looks(),
        view.failures(),
        view.provenance(),
    ]
    state = study.facts()["state"]
    return static_page(
        {
            "title": text(view.title),
            "eyebrow": text("ztb study"),
            "status": Html(
                f'<span class="status {"complete" if study.finished else "incomplete"}">{text(state)}</span>'
            ),
            "period": text(view.period),
            "verdict": text(view.evidence.sentence),
            "cards": view.cards(),
            "sections": join([part for part in parts if part]),
            "note": text(
                "Every figure is of spans that were traded and not trained on, after costs. Returns are counted by "
                f"periods of {texts.span(study.made_of.period_ns)}. Times are UTC."
            ),
        },
    )


class _View:
    """The sections, each empty where there is nothing to show."""

    def __init__(self, study: LoadedStudy) -> None:
        self.study, self.evidence = study, study.evidence
        made_of = study.made_of
        self.tried = outcomes(study.results.values(), made_of.folds, len(made_of.data), study.spec.seeds)
        self.best = next((one for one in self.tried if one.number == self.evidence.best), None)
        by_rank = [(one.score(study.spec.objective), one) for one in self.tried]
        self.ranked = sorted(
            by_rank,
            key=lambda pair: (not pair[1].complete, pair[0] is None, -(pair[0] or 0.0), pair[1].number),
        )

    @property
    def title(self) -> str:
        name = self.study.spec.base().strategy.name
        symbols = sorted({item.symbol for item in self.study.made_of.data})
        return f"{name} on {', '.join(symbols)}"

    @property
    def period(self) -> str:
        made_of, spec = self.study.made_of, self.study.spec
        begin = min(item.folds[0].test_from for item in made_of.data)
        end = max(item.folds[-1].test_to for item in made_of.data)
        tried = f"{len(self.tried):,} configuration{'' if len(self.tried) == 1 else 's'}"
        seeds = f"{spec.seeds} seed{'' if spec.seeds == 1 else 's'}"
        return f"{' to '.join(texts.ends(begin, end))} · {made_of.folds} folds × {tried} × {seeds}" + (
            f" × {len(made_of.data)} data sets" if len(made_of.data) > 1 else ""
        )

    def cards(self) -> Html:
        """The figures one looks for first."""
        told = self.evidence
        interval = told.sharpe_interval
        within = (
            f"95 %: {_ratio(interval[0])} to {_ratio(interval[1])}"
            if interval
            else "too few periods for more"
        )
        items = [
            card(
                "Grew by", texts.percent(told.growth), "best configuration, mean of seeds", tone(told.growth)
            ),
            card("Sharpe ratio a period", _ratio(told.sharpe), within),
            card("Luck alone gives the best", _ratio(told.luck_sharpe), f"of {_times(told.looks)}"),
            card(
                "Deflated Sharpe ratio",
                texts.percent(told.deflated_sharpe, 0, signed=False),
                f"wanted: {texts.percent(1.0 - STRICT, signed=False)} or more",
            ),
        ]
        if told.overfitting is not None:
            chosen = texts.percent(told.overfitting.probability, 0, signed=False)
            items.append(
                card("Overfitting, probability of", chosen, "of choosing the best in half of the time")
            )
        trials = sum(one.trials for one in self.tried)
        failed = sum(one.failed for one in self.tried)
        items.append(card("Trials", texts.count(trials), f"{failed:,} failed", "bad" if failed else ""))
        return cards(items)

    def growth(self) -> Html:
        """The account over all that was traded, against the yardsticks."""
        if self.best is None:
            return Html("")
        drawn = [self._curves(number) for number in range(len(self.study.made_of.data))]
        return _section("growth", "Growth over all folds", [one for one in drawn if one])

    def _curves(self, data_set: int) -> Html:
        made_of = self.study.made_of
        item = made_of.data[data_set]
        ends = [item.folds[0].test_from] + [
            end for fold in item.folds for end in fold.ends(made_of.period_ns)
        ]
        courses = {"best configuration": self._course("trial", data_set, self.evidence.best)}
        courses |= {name: self._course("rule", data_set, None, name) for name in self.study.spec.rules}
        known = {name: course for name, course in courses.items() if len(course) == len(ends)}
        if not known:
            return Html("")
        lines = [
            ChartLine(
                name,
                "ours" if not k else _COLORS[(k - 1) % len(_COLORS)],
                course,
                width=2.0 if not k else 1.3,
            )
            for k, (name, course) in enumerate(known.items())
        ]
        lines.append(ChartLine("flat", "flat", np.full(len(ends), 100.0), dash=(4, 4)))
        keys = " ".join(
            f'<span style="color:var(--{line.color})">■</span>\N{NO-BREAK SPACE}{text(line.name)}'
            for line in lines
        )
        name = f"<h3>{text(item.symbol)}</h3>" if len(made_of.data) > 1 else ""
        return Html(
            f"<figure><figcaption>{name}<p>What 100 became, each fold begun with what the one before left, mean of "
            f"seeds. {keys}</p></figcaption>"
            f"{equity_svg(np.array(ends, np.int64), lines, 'Growth of 100 over all folds')}</figure>"
        )

    def _course(self, kind: str, data_set: int, number: int | None, rule: str = "") -> Floats:
        returns: list[float] = []
        for fold in range(self.study.made_of.folds):
            group = self._of(kind, data_set, fold, number, rule)
            if not group:
                return np.zeros(0)
            returns += np.array([one.returns for one in group]).mean(axis=0).tolist()
        return np.concatenate([[100.0], 100.0 * np.cumprod(1.0 + np.array(returns))])

    def _of(
        self, kind: str, data_set: int, fold: int, number: int | None, rule: str = ""
    ) -> list[TrialResult]:
        return [
            one
            for _, one in sorted(self.study.results.items())
            if (one.kind, one.data_set, one.fold) == (kind, data_set, fold)
            and one.error is None
            and (number is None or one.configuration == number)
            and (not rule or one.key.startswith(f"rule-{rule}-d"))
        ]

    def folds(self) -> Html:
        """Each fold with what the best configuration and the yardsticks earned in it."""
        made_of, rules = self.study.made_of, self.study.spec.rules
        rows = []
        for data_set, item in enumerate(made_of.data):
            for fold in item.folds:
                group = self._of("trial", data_set, fold.number, self.evidence.best) if self.best else []
                earned = [one.figures["return"] for one in group]
                spread = (
                    f"{texts.percent(min(earned))} … {texts.percent(max(earned))}"
                    if len(earned) > 1
                    else texts.MISSING
                )
                began, ended = texts.ends(fold.test_from, fold.test_to)
                rows.append(
                    [
                        text(f"{item.symbol} " * (len(made_of.data) > 1) + str(fold.number + 1)),
                        text(f"{texts.ends(fold.train_from, fold.test_from)[0]} on"),
                        text(f"{began} to {ended}"),
                        text(texts.percent(float(np.mean(earned)) if earned else None)),
                        text(spread),
                        *(self._rule(name, data_set, fold.number) for name in rules),
                        self._reports(group),
                    ]
                )
        heads = (
            "Fold",
            "Trained",
            "Traded",
            "Best, mean of seeds",
            "Over seeds",
            *(name.capitalize() for name in rules),
        )
        return _section(
            "folds", "Folds", [table((*heads, "Runs"), rows, "What each fold earned, after costs", words=3)]
        )

    def _rule(self, name: str, data_set: int, fold: int) -> Html:
        group = self._of(kind="rule", data_set=data_set, fold=fold, number=None, rule=name)
        return text(texts.percent(group[0].figures["return"]) if group else texts.MISSING)

    def _reports(self, group: Sequence[TrialResult]) -> Html:
        """Links to the reports of runs that were kept."""
        kept = [one for one in group if (self.study.directory.runs / one.key / "report.html").exists()]
        links = [f'<a href="runs/{text(one.key)}/report.html">seed {one.seed}</a>' for one in kept]
        return Html(" ".join(links) or texts.MISSING)

    def seeds(self) -> Html:
        """The spread over seeds, fold by fold, of every trial of the best configuration."""
        found = [one for one in self.study.results.values() if one.kind == "trial" and one.error is None]
        points = [
            (one.data_set * self.study.made_of.folds + one.fold + 1.0, 100.0 * one.figures["return"])
            for one in found
            if self.best is not None and one.configuration == self.best.number
        ]
        if self.study.spec.seeds < 2 or len(points) < 2:
            return Html("")
        figure = scatter_svg(points, "Fold", "Return of a seed, %")
        said = "Each dot is the return of one seed in one fold; where they lie far apart, chance decides."
        return _section("seeds", "Seeds", [_figure(said, figure)])

    def parameters(self) -> Html:
        """A section on what was tried, and how it did."""
        if not self.study.spec.space:
            return Html("")
        names = list(self.study.spec.space)
        rows = [
            [
                text(str(one.number)),
                *(text(_value(one.settings.get(name))) for name in names),
                text(texts.count(len(one.parts))),
                text(texts.percent(_growth(one))),
                text(_ratio(score)),
            ]
            for score, one in self.ranked[:_MOST_ROWS]
        ]
        importance = (self.study.summary or {}).get("importance") or {}
        plots = [self._against(name, importance.get(name)) for name in names]
        told = "A dot is a configuration. Those that fell behind were ended early and have fewer folds."
        return _section(
            "parameters",
            "Parameters",
            [
                Html(f"<p>{text(told)}</p>"),
                Html(f'<div class="scatters">{join([one for one in plots if one])}</div>'),
                table(
                    ("No.", *names, "Folds", "Grew by", "Score"),
                    rows,
                    "Configurations: those that finished first, by score",
                ),
            ],
        )

    def _against(self, name: str, importance: float | None) -> Html:
        points = [
            (float(value), score)
            for score, one in self.ranked
            if score is not None and isinstance(value := one.settings.get(name), int | float)
        ]
        if len(points) < 2:
            return Html("")
        weighs = "" if importance is None else f" Importance {texts.percent(importance, 0, signed=False)}."
        return _figure(f"Score against {name}.{weighs}", scatter_svg(points, name, "Score"))

    def yardsticks(self) -> Html:
        """Hansen's test against each."""
        rows = [
            [text(one.name), text(texts.percent(one.growth)), text(texts.number(one.p_value, 3))]
            for one in self.evidence.against
        ]
        said = (
            "How often chance alone would make the best look so much better than each (superior predictive ability, "
            "Hansen 2005). Below 0.05 it is shown to earn more."
        )
        shown = table(("Yardstick", "Grew by", "p"), rows, "Against yardsticks on the same folds")
        return (
            _section("yardsticks", "Against yardsticks", [Html(f"<p>{text(said)}</p>"), shown])
            if rows
            else Html("")
        )

    def looks(self) -> Html:
        """A section on how often these data were looked at."""
        by = [(kind, texts.count(times)) for kind, times in sorted(self.evidence.looks_by_kind.items())]
        said = (
            f"{_times(self.evidence.looks)} at these data, over everything that lies beside this study. The best of so "
            "many is good by luck alone, and the deflated Sharpe ratio allows for it (Bailey and López de Prado 2014)."
        )
        return _section("looks", "Looks", [Html(f"<p>{text(said)}</p>"), facts(by)])

    def failures(self) -> Html:
        """A section on what failed, and why."""
        rows = [
            [text(one.key), text(one.error or "")]
            for _, one in sorted(self.study.results.items())
            if one.error is not None
        ]
        if not rows:
            return Html("")
        shown = table(("Trial", "Error"), rows[:_MOST_ROWS], f"{len(rows):,} trials failed", words=2)
        return _section("failures", "Failed trials", [shown])

    def provenance(self) -> Html:
        """A section on what it takes to get the same study again."""
        made_of, summary = self.study.made_of, self.study.summary or {}
        rows = [
            ("Study", made_of.id),
            ("Folder", self.study.directory.path.resolve().name),
            ("Digest of all trials", summary.get("digest")),
            ("Code", made_of.code_version),
            ("Optuna", made_of.optuna_version),
            ("Data, SHA-256", ", ".join(one.content_digest for one in made_of.data)),
        ]
        return _section(
            "provenance", "Provenance", [facts([(name, str(value)) for name, value in rows if value])]
        )


def _section(name: str, title: str, parts: Sequence[Html]) -> Html:
    if not parts:
        return Html("")
    return Html(
        f'<section aria-labelledby="{name}"><h2 id="{name}">{text(title)}</h2>{join(parts)}</section>'
    )


def _figure(caption: str, picture: Html) -> Html:
    return Html(f"<figure><figcaption><p>{text(caption)}</p></figcaption>{picture}</figure>")


def _times(looks: int) -> str:
    return "1 look" if looks == 1 else f"{looks:,} looks"


def _ratio(value: float | None) -> str:
    return texts.number(value, 3)


def _value(value: object) -> str:
    return (
        texts.significant(value)
        if isinstance(value, float)
        else texts.MISSING
        if value is None
        else str(value)
    )


def _growth(outcome: Outcome) -> float | None:
    returns = outcome.returns
    return finite(float(np.prod(1.0 + returns)) - 1.0) if len(returns) else None
