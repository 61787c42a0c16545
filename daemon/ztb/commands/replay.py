"""`ztb replay`: run a strategy over recorded history, or repeat a run and compare."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ztb.commands.options import say_if_it_compiles
from ztb.config import load_config, recorded_config
from ztb.errors import DataError, UsageError
from ztb.learning.service.initial_policy import parse_span
from ztb.ledger.run_directory import RunDirectory, create_run_directory
from ztb.runtime.modes.replay import Replay, ReplayRequest, open_data, run_to_end, seen_in_training
from ztb.secrets import known_secrets
from ztb.telemetry.logs import configure_logging
from ztb.utils.kernel import take_turns
from ztb.utils.moments import parse_span_of

if TYPE_CHECKING:
    from rich.progress import Progress

    from ztb.runtime.verify.record import Recorded
    from ztb.runtime.verify.repeating import Repeated

_IN_STEP = "; a replay learns in step with its ticks, so every generation was made again too"
_LEARNERS = {
    "off": "; nothing was learnt in it",
    "auto": _IN_STEP,
    "inline": _IN_STEP,
    "process": "; its learner's process ran again too",
}
_KERNELS = 28
"""That a replay which learns calls from Python."""
_COMPARED = ("journal_sha256", "weights_sha256", "end_equity", "decisions")


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """The flags of `ztb replay` as given."""

    paths: tuple[Path, ...]
    config_path: Path | None
    flags: dict[str, Any]
    seed: int
    out: Path | None
    from_generation: str | None
    pretrain: str | None
    start: str | None
    end: str | None
    as_json: bool


def run_replay(options: ReplayOptions) -> int:
    """Replay and print the summary; returns the exit code."""
    request = _request(options)
    directory = create_run_directory(options.out, "replay")
    with directory.kept_if_begun():
        summary = run_request(request, directory, options.as_json)
    print_result(summary, directory, options.as_json)
    seen = seen_in_training(options.from_generation, summary)
    if seen is not None:
        # On the error stream: such a replay is no evidence.
        typer.echo(f"ztb: {seen}", err=True)
    return 0


def _request(options: ReplayOptions) -> ReplayRequest:
    return ReplayRequest.of(
        load_config(options.config_path, options.flags).config,
        options.paths,
        options.seed,
        span_ns=parse_span_of(options.start, options.end),
        pretrain_ns=None if options.pretrain is None else parse_span(options.pretrain),
        from_generation=options.from_generation,
    )


def repeat_run(run: Path, out: Path | None, as_json: bool, relearn: bool = False) -> int:
    """Replay `run` again from its own record, and compare; DataError (exit 3) if anything differs.

    `relearn`: of a recorded session, make each generation again too; a replay that learns does so in any case.
    """
    recorded = RunDirectory(run)
    manifest = recorded.read_json(recorded.manifest)
    if "repeats" in manifest:
        raise UsageError(f"{run} is itself a repetition: repeat {manifest['repeats']} instead")
    if manifest["mode"] in ("paper", "live"):
        return _repeat_recorded(recorded, out, as_json, relearn)
    before = recorded.read_json(recorded.summary)
    request = ReplayRequest(
        config=recorded_config(manifest, str(run)),
        paths=tuple(Path(path) for path in manifest["data"]),
        seed=manifest["seed"],
        start_ns=manifest["start_ns"],
        end_ns=manifest["end_ns"],
        pretrain_ns=manifest["pretrain_ns"],
        from_generation=manifest["from_generation"],
        embargo_ns=manifest.get("embargo_ns", 0),  # runs of earlier releases do not say
        code=manifest.get("id_of_code", before["code_version"]),
    )
    directory = create_run_directory(out, "replay")
    with directory.kept_if_begun():
        summary = run_request(request, directory, as_json)
    print_result(summary, directory, as_json)
    differing = [name for name in _COMPARED if summary[name] != before[name]]
    if differing:
        raise DataError(
            f"{run}: the repetition in {directory.path} differs in {', '.join(differing)}: data, code "
            f"({before['code_version']} then, {summary['code_version']} now) or processor have changed"
        )
    learner = _LEARNERS[request.config.online.learner] if relearn else ""
    typer.echo(f"{run}: repeated bit for bit{learner}", err=as_json)
    return 0


def _repeat_recorded(run: RunDirectory, out: Path | None, as_json: bool, relearn: bool) -> int:
    """Repeat a session from the ticks that it recorded, swaps where they happened, and compare each decision."""
    from ztb.runtime.verify.record import read_recorded
    from ztb.runtime.verify.repeating import Repetition

    recorded = read_recorded(run)
    directory = create_run_directory(out, "replay")
    found: list[Repeated] = []
    for start, folder in zip(recorded.starts, _folders(directory, len(recorded.starts)), strict=True):
        found.append(asyncio.run(Repetition(recorded, start, folder, relearn).run()))
        print_result(found[-1].summary, folder, as_json)
    _judge(recorded, directory, found)
    said = f"{run.path}: {recorded.decisions} decisions repeated bit for bit{_in_starts(found)}"
    typer.echo(f"{said}{_learnt(found) if relearn else ''}", err=as_json)
    return 0


def _folders(directory: RunDirectory, starts: int) -> list[RunDirectory]:
    """The folder in which each start is repeated: the run's own, where there is one."""
    if starts == 1:
        return [directory]
    return [create_run_directory(directory.path / f"start-{n:03}", "replay") for n in range(1, starts + 1)]


def _in_starts(found: list[Repeated]) -> str:
    parts = ", ".join(f"{one.decisions} in start {one.number}" for one in found)
    return f" ({parts})" if len(found) > 1 else ""


def _learnt(found: list[Repeated]) -> str:
    """Counts of what was learnt again; every one of them is the same."""
    learnt = [one.relearnt for one in found if one.relearnt is not None]
    generations, updates = sum(one.generations for one in learnt), sum(one.updates for one in learnt)
    if not updates:
        return "; nothing was learnt in it"
    return f"; {generations} generations of {updates} updates learnt again, each with the same weights"


def _judge(recorded: Recorded, directory: RunDirectory, found: list[Repeated]) -> None:
    """DataError that names everything that differs or could not be repeated, if there is anything."""
    run = recorded.directory.path
    repeated = sum(one.decisions for one in found)
    said = f"{run}: {repeated} of {recorded.decisions} decisions repeated bit for bit in {directory.path}"
    differing = [f"start {one.number} differs in {what}" for one in found if (what := one.first_difference)]
    if differing:
        versions = {start.made_of["code_version"] for start in recorded.starts}
        raise DataError(
            f"{said}; {'; '.join(differing)}: code ({', '.join(sorted(versions))} then), processor or files have "
            "changed"
        )
    unrepeated = [what for one in found for what in one.left_out]
    if unrepeated:
        raise DataError(f"{said}; nothing differs, but these could not be repeated: {'; '.join(unrepeated)}")


def run_request(request: ReplayRequest, directory: RunDirectory, quiet: bool) -> dict[str, Any]:
    """Replay with progress on the terminal, unless `quiet`; returns the summary."""
    telemetry = request.config.telemetry
    configure_logging(telemetry.log_level, telemetry.log_format, known_secrets())
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    compiles = not quiet and say_if_it_compiles(lambda text: typer.echo(f"ztb: {text}", err=True))
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as bar:
        tasks = {name: bar.add_task(name, total=1.0, visible=False) for name in ("pretrain", "replay")}

        def advance(name: str, done: float) -> None:
            bar.update(tasks[name], completed=done, visible=True)

        if compiles:
            _show_compiling(bar)
        run = Replay.over(request, open_data(request), directory, advance)
        summary = asyncio.run(run_to_end(run))
    leaps = run.history.report.said_of_leaps
    if leaps:
        typer.echo(f"ztb: look at the data: {leaps}", err=True)
    return summary


def _show_compiling(bar: Progress) -> None:
    """Have `bar` show which kernel is being compiled, and how many there are to come."""
    task = bar.add_task("compile", total=_KERNELS)

    @contextmanager
    def turn(_kernel: str) -> Generator[None]:
        yield
        bar.advance(task)

    take_turns(turn)


def print_result(summary: dict[str, Any], directory: RunDirectory, as_json: bool) -> None:
    """Print the summary of a replay: a table, or JSON."""
    if as_json:
        typer.echo(json.dumps({**summary, "run": str(directory.path)}))
        return
    from ztb.commands.summary_table import print_summary

    print_summary(summary, directory)
