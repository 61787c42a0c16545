"""The command line. Verbs import what they need when they are called, so that `--help` is quick."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ztb.commands.daemon_verbs import daemon_app
from ztb.commands.data_verbs import data_app
from ztb.commands.generation_verbs import generations_app
from ztb.commands.options import (
    ConfigFile,
    Data,
    End,
    FromGeneration,
    Json,
    Learner,
    LotSize,
    OfRun,
    Out,
    Pretrain,
    Run,
    Seed,
    Start,
    Strategy,
    Symbol,
    TickSize,
    Venue,
    flags_given,
    given,
    instrument_flags,
    refuse_flags,
)
from ztb.commands.study_verbs import study_app
from ztb.errors import ConfigError, UsageError, ZtbError, expected_error
from ztb.secrets import Redactor, known_secrets

app = typer.Typer(
    name="ztb",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A trading daemon that keeps learning, safely. Exit codes: 0 done, 1 unexpected, 2 usage, 3 the data or "
    "the run failed a check, 75 try again later, 78 configuration, 130 interrupted.",
)
config_app = typer.Typer(no_args_is_help=True, help="Check and show the configuration.")
app.add_typer(daemon_app)
app.add_typer(data_app, name="data")
app.add_typer(config_app, name="config")
app.add_typer(generations_app, name="generations")
app.add_typer(study_app, name="study")

_INTERRUPTED = 130


def _version(asked: bool) -> None:
    if asked:
        from ztb.utils.installation import code_version

        typer.echo(code_version())
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Options that all verbs share."""


_OF_A_REPETITION = {"run_directory", "out", "relearn", "as_json"}


@app.command()
def replay(
    context: typer.Context,
    run_directory: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="a run to repeat and compare")
    ] = None,
    data: Data = None,
    config: ConfigFile = None,
    strategy: Strategy = None,
    seed: Seed = 0,
    out: Out = None,
    learner: Learner = None,
    from_generation: FromGeneration = None,
    pretrain: Pretrain = None,
    start: Start = None,
    end: End = None,
    symbol: Symbol = None,
    venue: Venue = None,
    tick_size: TickSize = None,
    lot_size: LotSize = None,
    demo: Annotated[
        str | None,
        typer.Option(
            "--demo",
            metavar="NAME",
            help="a made market in place of data; turn: one that turns round, see the docs",
        ),
    ] = None,
    relearn: Annotated[
        bool, typer.Option("--relearn", help="with RUN: make every generation again too, and compare weights")
    ] = False,
    as_json: Json = False,
) -> int:
    """Run a strategy over recorded history, learning as it goes; with RUN, repeat a run and compare bit for bit."""
    from ztb.commands.replay import ReplayOptions, repeat_run, run_replay

    if run_directory is not None:
        if demo is not None:
            raise UsageError("--demo makes a market of its own: leave out the run to repeat, or --demo")
        refuse_flags(
            context,
            flags_given(context) - _OF_A_REPETITION,
            "a repetition is made of what the run was made of",
        )
        return repeat_run(run_directory, out, as_json, relearn)
    if relearn:
        raise UsageError(
            "--relearn: name the run whose generations are to be made again: ztb replay RUN --relearn"
        )
    flags = given(strategy__name=strategy, online__learner=learner)
    flags |= instrument_flags(symbol, venue, tick_size, lot_size)
    options = ReplayOptions(
        paths=tuple(data or ()),
        config_path=config,
        flags=flags,
        seed=seed,
        out=out,
        from_generation=from_generation,
        pretrain=pretrain,
        start=start,
        end=end,
        as_json=as_json,
    )
    if demo is not None:
        from ztb.commands.demo import run_demo

        return run_demo(demo, options)
    return run_replay(options)


@app.command()
def train(
    data: Data = None,
    config: ConfigFile = None,
    strategy: Annotated[
        str | None, typer.Option("--strategy", metavar="NAME", help="name of a strategy that learns")
    ] = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="folder; default runs/train-NNN")
    ] = None,
    start: Start = None,
    end: End = None,
    validation: Annotated[
        str | None,
        typer.Option(
            "--validation", metavar="SPAN", help="last span to hold out, such as 60d; default: a fifth"
        ),
    ] = None,
    updates: Annotated[int, typer.Option("--updates", metavar="N", min=1, help="updates at the most")] = 400,
    patience: Annotated[
        int,
        typer.Option(
            "--patience", metavar="N", min=0, help="looks at the held-out span without a gain; 0: any number"
        ),
    ] = 10,
    device: Annotated[
        str | None, typer.Option("--device", metavar="NAME", help="where to learn: cpu (default), cuda…")
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option("--tensorboard", metavar="DIR", help="folder for its scalars")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="DIR", help="a training to go on with")
    ] = None,
    symbol: Symbol = None,
    venue: Venue = None,
    tick_size: TickSize = None,
    lot_size: LotSize = None,
    as_json: Json = False,
) -> int:
    """Train a policy on history, keep the best on a later span; then `ztb replay --from-generation OUT`."""
    from ztb.commands.train import TrainOptions
    from ztb.commands.train import train as run_training

    flags = given(strategy__name=strategy) | instrument_flags(symbol, venue, tick_size, lot_size)
    options = TrainOptions(
        paths=tuple(data or ()),
        config_path=config,
        flags=flags,
        seed=seed,
        out=out,
        resume=resume,
        validation=validation,
        updates=updates,
        patience=patience,
        device=device,
        tensorboard=tensorboard,
        start=start,
        end=end,
        as_json=as_json,
    )
    return run_training(options)


@app.command()
def report(run_directory: Run, as_json: Json = False) -> int:
    """Make report.html and decisions.parquet of a run again, finished or not."""
    from ztb.commands.report import report as make

    return make(run_directory, as_json)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="run directories")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="the page")] = Path("comparison.html"),
    as_json: Json = False,
) -> int:
    """Runs beside each other: a table, and a page with their curves over each other."""
    from ztb.commands.compare import compare as show

    return show(runs, out, as_json)


@app.command()
def why(
    what: Annotated[str, typer.Argument(metavar="ORDER|TIME", help="order, fill:N, refusal:N, or a moment")],
    run_directory: OfRun,
    as_json: Json = False,
) -> int:
    """Explain one order, fill or refusal, and recompute it from disk."""
    from ztb.commands.report import why as explain

    return explain(what, run_directory, as_json)


@app.command()
def exchange(
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="0: chosen by the system")
    ] = 0,
    seed: Seed = 0,
    balance: Annotated[
        list[str] | None,
        typer.Option("--balance", metavar="ASSET=AMOUNT", help="such as USDT=1000; may be repeated"),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data", metavar="PATH", help="recorded trades, quotes or depth; default: made-up flow"
        ),
    ] = None,
    speed: Annotated[
        float, typer.Option("--speed", metavar="FACTOR", min=0.001, help="of recorded flow")
    ] = 1.0,
    as_json: Json = False,
) -> int:
    """A local exchange to try and test against: Binance spot's protocol, nothing real."""
    from ztb.commands.exchange import ExchangeOptions, run_exchange

    options = ExchangeOptions(
        port=port,
        seed=seed,
        balances=tuple(balance or ()),
        data=tuple(data or ()),
        speed=speed,
        as_json=as_json,
    )
    return run_exchange(options)


@app.command()
def doctor(config: ConfigFile = None, out: Out = None, as_json: Json = False) -> int:
    """Check this machine and its settings: each finding with its remedy; exit code 3 if anything is bad."""
    from ztb.commands.doctor import doctor as examine

    return examine(config, out, as_json)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="where to")] = Path(),
    system: Annotated[bool, typer.Option("--system", help="write what systemd needs, as root")] = False,
    root: Annotated[
        Path, typer.Option("--root", metavar="DIR", help="with --system: below this folder")
    ] = Path("/"),
    as_json: Json = False,
) -> int:
    """Write configuration and an example to start from; nothing of yours is overwritten."""
    from ztb.commands.init import init as write

    return write(folder, system, root, as_json)


@config_app.command("check")
def config_check(config: ConfigFile = None, as_json: Json = False) -> int:
    """Say whether the configuration is sound."""
    from ztb.commands.config import check

    return check(config, as_json)


@config_app.command("show")
def config_show(config: ConfigFile = None, as_json: Json = False) -> int:
    """Every value and where it came from."""
    from ztb.commands.config import show

    return show(config, as_json)


@config_app.command("schema")
def config_schema(as_json: Json = True) -> int:
    """The JSON Schema of the file."""
    from ztb.commands.config import print_schema

    return print_schema()


def _spread_data(arguments: list[str]) -> list[str]:
    """`--data A B C` as `--data A --data B --data C`: a list ends at the next option."""
    spread: list[str] = []
    listing = False
    for argument in arguments:
        if argument.startswith("-"):
            listing = argument == "--data"
            if not listing:
                spread.append(argument)
        elif listing:
            spread += ["--data", argument]
        else:
            spread.append(argument)
    return spread


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code. Errors that ztb raises on purpose are said in one line."""
    as_json = "--json" in arguments
    try:
        result: Any = app(_spread_data(arguments), standalone_mode=False)
    except ZtbError as error:
        return _say(error, as_json)
    except BaseExceptionGroup as group:
        expected = expected_error(group)
        if expected is None:
            raise
        return _say(expected, as_json)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except typer.Exit as leaving:
        return leaving.exit_code
    except Exception as error:
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        return _say(UsageError(f"{message()} (see --help)"), as_json)
    if result == _INTERRUPTED:  # typer's own answer to Ctrl-C
        return _interrupted()
    return result if isinstance(result, int) else 0


def _interrupted() -> int:
    typer.echo("ztb: interrupted; what was done so far is kept", err=True)
    return _INTERRUPTED


def _say(error: ZtbError, as_json: bool) -> int:
    """A sentence for a person, and with --json an object in place of the answer, for a program."""
    message = _without_secrets(str(error))
    typer.echo(f"ztb: {message}", err=True)
    if as_json:
        told = {"ok": False, "error": type(error).__name__, "message": message, "exit_code": error.exit_code}
        typer.echo(json.dumps(told))
    return error.exit_code


def _without_secrets(text: str) -> str:
    try:
        return Redactor(known_secrets())(text)
    except ConfigError:  # what is wrong with a secret is said without it
        return text
