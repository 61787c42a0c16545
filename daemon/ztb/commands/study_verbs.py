"""`ztb study`: many runs as one piece of evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ztb.commands.options import (
    ConfigFile,
    Data,
    End,
    Json,
    LotSize,
    Start,
    Strategy,
    Symbol,
    TickSize,
    Venue,
    given,
    instrument_flags,
)

study_app = typer.Typer(
    no_args_is_help=True,
    help="Walk-forward, tuning and seeds: many runs as one piece of evidence, with every look counted.",
)
StudyFolder = Annotated[Path, typer.Argument(metavar="STUDY", help="a study's folder")]


@study_app.command("run")
def run(
    spec: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="study.json; flags come before what it says")
    ] = None,
    data: Data = None,
    config: ConfigFile = None,
    strategy: Strategy = None,
    folds: Annotated[
        int | None,
        typer.Option("--folds", metavar="N", min=1, help="walk-forward steps; default: what fits, or 4"),
    ] = None,
    train: Annotated[
        str | None,
        typer.Option("--train", metavar="SPAN", help="to train on, such as 365d; default: twice --test"),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option("--test", metavar="SPAN", help="to trade, such as 30d; default: folds share the data"),
    ] = None,
    embargo: Annotated[
        str | None,
        typer.Option("--embargo", metavar="SPAN", help="between the two; default: a hundredth of --train"),
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", metavar="N", min=1, help="configurations to try, with --space")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", metavar="N", min=1, help="runs of each fold; default 2")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", min=0, help="the first of them; default 0")
    ] = None,
    space: Annotated[
        Path | None, typer.Option("--space", metavar="FILE", help="JSON: options to vary, by dotted key")
    ] = None,
    prune: Annotated[
        bool | None, typer.Option("--prune/--no-prune", help="end configurations that fall behind (default)")
    ] = None,
    start: Start = None,
    end: End = None,
    symbol: Symbol = None,
    venue: Venue = None,
    tick_size: TickSize = None,
    lot_size: LotSize = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="folder; default studies/<name>-NNN")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="DIR", help="a study to go on with")
    ] = None,
    executor: Annotated[
        str, typer.Option("--executor", metavar="NAME", help="processes, or here: this one")
    ] = "processes",
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", min=1, help="trials at a time; default: cores")
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster", metavar="ADDRESS", help="a Ray cluster: HOST:PORT, auto (this machine's), or local"
        ),
    ] = None,
    keep: Annotated[
        str, typer.Option("--keep", metavar="WHICH", help="runs' folders kept: best, all or none")
    ] = "best",
    as_json: Json = False,
) -> int:
    """Run a study: a walk-forward of the default strategy over the given data, if nothing else is said."""
    from ztb.commands.study import StudyOptions, run_study_command

    flags = given(strategy__name=strategy) | instrument_flags(symbol, venue, tick_size, lot_size)
    asked = {
        "folds": folds,
        "train": train,
        "test": test,
        "embargo": embargo,
        "trials": trials,
        "seeds": seeds,
        "seed": seed,
        "prune": prune,
        "start": start,
        "end": end,
    }
    return run_study_command(
        StudyOptions(
            spec=spec,
            data=tuple(data or ()),
            config=config,
            flags=flags,
            space=space,
            asked={name: value for name, value in asked.items() if value is not None},
            out=out,
            resume=resume,
            executor=executor,
            workers=workers,
            cluster=cluster,
            keep=keep,
            as_json=as_json,
        )
    )


@study_app.command()
def status(study: StudyFolder, as_json: Json = False) -> int:
    """Show the progress of a study, running or not, and the best so far."""
    from ztb.commands.study import status as say

    return say(study, as_json)


@study_app.command()
def show(study: StudyFolder, as_json: Json = False) -> int:
    """Show a study's results so far; makes its page again."""
    from ztb.commands.study import show as say

    return say(study, as_json)


@study_app.command()
def looks(
    folder: Annotated[
        Path,
        typer.Option("--beside", metavar="DIR", help="a run's or study's folder; default: this folder's"),
    ] = Path("runs/any"),
    as_json: Json = False,
) -> int:
    """Count the looks at each span of data, by replays, trainings and studies."""
    from ztb.commands.study import looks as say

    return say(folder, as_json)


@study_app.command("schema")
def schema() -> int:
    """The JSON Schema of study.json."""
    from ztb.commands.study import print_schema

    return print_schema()
