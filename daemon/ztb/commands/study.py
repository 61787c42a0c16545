"""`ztb study run|status|show|looks|schema`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast, get_args

import typer

from ztb.commands.options import say_if_it_compiles
from ztb.config import Config, load_config, read_object
from ztb.errors import UsageError
from ztb.ledger.looks import Looks
from ztb.studies.evidence import StudyEvidence
from ztb.studies.page import write_page
from ztb.studies.reading import ExecutorName, LoadedStudy, run_study
from ztb.studies.spec import StudySpec, study_schema
from ztb.studies.study import Keep, Progress
from ztb.studies.trial import TrialResult
from ztb.telemetry import texts

_SPACE = 'give one such as {"ppo.learning_rate": {"low": 1e-4, "high": 1e-2}}'


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """The flags of `ztb study run` as given; `asked`: those that stand for keys of study.json."""

    spec: Path | None
    data: tuple[Path, ...]
    config: Path | None
    flags: dict[str, Any]
    space: Path | None
    asked: dict[str, Any]
    out: Path | None
    resume: Path | None
    executor: str
    workers: int | None
    cluster: str | None
    keep: str
    as_json: bool

    @property
    def gives_study(self) -> bool:
        """True if anything says what to study."""
        return any((self.spec, self.data, self.config, self.flags, self.space, self.asked, self.out))


def run_study_command(options: StudyOptions) -> int:
    """Run a study and print what it says; returns the exit code."""
    executor = cast(ExecutorName, _one_of(options.executor, get_args(ExecutorName), "--executor"))
    keep = cast(Keep, _one_of(options.keep, get_args(Keep), "--keep"))
    if options.resume is not None and options.gives_study:
        raise UsageError("--resume: what a study asks stands in its folder: give no other flags of it")
    spec = None if options.resume is not None else _spec(options)
    if not options.as_json:
        say_if_it_compiles(lambda text: typer.echo(f"ztb: {text}", err=True))
    study = run_study(
        spec,
        out=options.out,
        resume=options.resume,
        executor=executor,
        workers=options.workers,
        cluster=options.cluster,
        keep=keep,
        listener=_lines if options.as_json else _say,
    )
    if options.as_json:
        typer.echo(json.dumps({**(study.summary or {}), "study": str(study.directory.path)}))
    else:
        _print(study)
    return 0


def _one_of(text: str, known: tuple[str, ...], flag: str) -> str:
    if text not in known:
        raise UsageError(f"{flag} {text!r}: give one of {', '.join(known)}")
    return text


def _spec(options: StudyOptions) -> StudySpec:
    """The file, and what flags say over it."""
    content = {} if options.spec is None else StudySpec.read(options.spec).model_dump(mode="json")
    content |= options.asked
    if options.data:
        content["data"] = [[str(path) for path in options.data]]
    if options.space is not None:
        content["space"] = read_object(options.space, _SPACE)
        content.setdefault("trials", 1)
        if "trials" not in options.asked and content["trials"] == 1:
            content["trials"] = 16
    if options.config is not None or options.flags or options.spec is None:
        before = content.get("config", {})
        content["config"] = _merged(before, _differing(load_config(options.config, options.flags).config))
    return StudySpec.of(content, str(options.spec or "flags"))


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return {name: {**first.get(name, {}), **second.get(name, {})} for name in sorted({*first, *second})}


def _differing(config: Config) -> dict[str, dict[str, Any]]:
    """The settings that are not the default's."""
    default = Config().model_dump(mode="json")
    found = {
        section: {key: value for key, value in keys.items() if default[section][key] != value}
        for section, keys in config.model_dump(mode="json").items()
    }
    return {section: keys for section, keys in found.items() if keys}


def _lines(result: TrialResult, progress: Progress) -> None:
    """One line of JSON a trial."""
    typer.echo(json.dumps({**asdict(result), "progress": asdict(progress)}))


def _say(result: TrialResult, progress: Progress) -> None:
    earned = (
        texts.percent(result.figures.get("return")) if result.error is None else f"failed: {result.error}"
    )
    left = "" if progress.left_s is None else f", {texts.span(int(progress.left_s * 1e9))} left at most"
    best = "" if progress.best is None else f", best {progress.best[0]} at {progress.best[1]:.3f}"
    typer.echo(f"{progress.done}/{progress.total}{left}{best}: {result.key} {earned}", err=True)


def status(path: Path, as_json: bool) -> int:
    """Say how far the study in `path` is."""
    facts = LoadedStudy(path).facts()
    if as_json:
        typer.echo(json.dumps(facts))
        return 0
    typer.echo(f"{path}: {facts['state']}, {facts['done']} of {facts['total']} trials at most")
    if facts["best"]:
        typer.echo(f"best so far: configuration {facts['best'][0]}, score {facts['best'][1]:.4f}")
    if facts["state"] == "stopped":
        typer.echo(f"go on with: ztb study run --resume {path}")
    return 0


def show(path: Path, as_json: bool) -> int:
    """Say what the study in `path` says so far, and make its page again."""
    study = LoadedStudy(path)
    # What it says comes first: a full disk has no room for a page.
    if as_json:
        typer.echo(json.dumps({**study.facts(), **study.statistics, "page": str(study.directory.page)}))
    else:
        _print(study)
    write_page(study)
    return 0


def _print(study: LoadedStudy) -> None:
    evidence = study.evidence
    typer.echo(evidence.sentence)
    for name, value in _rows(study, evidence):
        typer.echo(f"  {name:<28} {value}")


def _rows(study: LoadedStudy, evidence: StudyEvidence) -> list[tuple[str, str]]:
    best = "–" if evidence.best is None else f"{evidence.best} {json.dumps(evidence.settings)}"
    interval = evidence.sharpe_interval
    rows = [
        ("best configuration", best),
        ("grew by", texts.percent(evidence.growth)),
        ("Sharpe ratio a year", texts.number(evidence.sharpe_year)),
        ("Sharpe ratio a period", texts.number(evidence.sharpe, 3)),
        ("  95 % of the time within", "–" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"),
        ("  luck alone gives the best", texts.number(evidence.luck_sharpe, 3)),
        ("deflated Sharpe ratio", texts.percent(evidence.deflated_sharpe, 1, signed=False)),
    ]
    if evidence.overfitting is not None:
        rows.append(
            ("probability of overfitting", texts.percent(evidence.overfitting.probability, 0, signed=False))
        )
    rows += [
        (f"no better than {one.name}", f"p = {one.p_value:.3f} ({one.name} {texts.percent(one.growth)})")
        for one in evidence.against
    ]
    by = ", ".join(f"{times} by {kind}" for kind, times in sorted(evidence.looks_by_kind.items()))
    rows += [
        ("looks at these data", f"{evidence.looks} ({by})"),
        ("trials that failed", str(evidence.failed)),
    ]
    return [*rows, ("page", str(study.directory.page))]


def looks(folder: Path, as_json: bool) -> int:
    """Say how often each data were looked at."""
    found = Looks.beside(folder)
    seen = found.all()
    if as_json:
        typer.echo(json.dumps({"file": str(found.path), "looks": [asdict(look) for look in seen]}))
        return 0
    if not seen:
        typer.echo(f"{found.path}: no looks yet")
    groups: dict[tuple[str, int, int, str], int] = {}
    for look in seen:
        place = (look.data, look.first_ns, look.last_ns, look.kind)
        groups[place] = groups.get(place, 0) + 1
    for (data, first, last, kind), times in sorted(groups.items(), key=lambda one: (one[0][0], one[0][1])):
        began, ended = texts.ends(first, last)
        typer.echo(f"{data[:12]}  {began} to {ended}  {kind:<6} {times:,}")
    return 0


def print_schema() -> int:
    """The JSON Schema of study.json."""
    typer.echo(json.dumps(study_schema(), indent=2))
    return 0
