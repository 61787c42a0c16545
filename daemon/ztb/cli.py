"""The command line. Verbs import what they need when they are called, so that `--help` is quick."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer

from ztb.commands.daemon_verbs import daemon_app, generations_app
from ztb.errors import UsageError, ZtbError

app = typer.Typer(
    name="ztb",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A trading daemon that keeps learning, safely. Exit codes: 0 done, 1 unexpected, 2 usage, 3 the data or "
    "the run failed a check, 75 try again later, 78 configuration, 130 interrupted.",
)
data_app = typer.Typer(no_args_is_help=True, help="Look at, convert and verify market data.")
config_app = typer.Typer(no_args_is_help=True, help="Check and show the configuration.")
app.add_typer(daemon_app)
app.add_typer(data_app, name="data")
app.add_typer(config_app, name="config")
app.add_typer(generations_app, name="generations")

_INTERRUPTED = 130

_Data = Annotated[
    list[Path] | None, typer.Option("--data", help="files or folders; default: shipped history")
]
_Paths = Annotated[list[Path] | None, typer.Argument(help="files or folders; default: shipped history")]
_Config = Annotated[Path | None, typer.Option("--config", help="trade-config.json")]
_Seed = Annotated[int, typer.Option("--seed", min=0, help="seed of every random number")]
_Out = Annotated[Path | None, typer.Option("--out", help="run directory; default runs/<mode>-NNN")]
_Json = Annotated[bool, typer.Option("--json", help="print JSON")]
_Symbol = Annotated[str | None, typer.Option("--symbol", help="such as BTC/USD; default: inferred")]
_TickSize = Annotated[str | None, typer.Option("--tick-size", help="price increment, exact decimal")]
_LotSize = Annotated[str | None, typer.Option("--lot-size", help="quantity increment, exact decimal")]
_Run = Annotated[Path, typer.Argument(help="run directory")]


@app.command()
def replay(
    run_directory: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="a run to repeat and compare")
    ] = None,
    data: _Data = None,
    config: _Config = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="name of a strategy")] = None,
    seed: _Seed = 0,
    out: _Out = None,
    learner: Annotated[str | None, typer.Option("--learner", help="off, inline or process")] = None,
    from_generation: Annotated[
        str | None,
        typer.Option("--from-generation", help="run directory or checkpoint folder, with :N for one"),
    ] = None,
    pretrain: Annotated[
        str | None,
        typer.Option("--pretrain", help="first span to train generation 0 on, such as 180d; none: random"),
    ] = None,
    start: Annotated[str | None, typer.Option("--from", help="first moment, ISO 8601 UTC")] = None,
    end: Annotated[str | None, typer.Option("--to", help="end, ISO 8601 UTC, exclusive")] = None,
    symbol: _Symbol = None,
    relearn: Annotated[
        bool, typer.Option("--relearn", help="with RUN: make every generation again too, and compare weights")
    ] = False,
    as_json: _Json = False,
) -> int:
    """Run a strategy over recorded history, learning as it goes; with RUN, repeat a run and compare bit for bit."""
    from ztb.commands.replay import ReplayOptions, repeat_run, run_replay

    if run_directory is not None:
        return repeat_run(run_directory, out, as_json, relearn)
    if relearn:
        raise UsageError(
            "--relearn: name the run whose generations are to be made again: ztb replay RUN --relearn"
        )
    flags = {"strategy.name": strategy, "online.learner": learner, "market.symbol": symbol}
    given = {key: value for key, value in flags.items() if value is not None}
    options = ReplayOptions(
        tuple(data or ()), config, given, seed, out, from_generation, pretrain, start, end, as_json
    )
    return run_replay(options)


@app.command()
def train(
    data: _Data = None,
    config: _Config = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="name of a strategy that learns")] = None,
    seed: _Seed = 0,
    out: Annotated[Path | None, typer.Option("--out", help="folder; default runs/train-NNN")] = None,
    start: Annotated[str | None, typer.Option("--from", help="first moment, ISO 8601 UTC")] = None,
    end: Annotated[str | None, typer.Option("--to", help="end, ISO 8601 UTC, exclusive")] = None,
    validation: Annotated[
        str | None, typer.Option("--validation", help="last span to hold out, such as 60d; default: a fifth")
    ] = None,
    updates: Annotated[int, typer.Option("--updates", min=1, help="updates at the most")] = 400,
    patience: Annotated[
        int,
        typer.Option("--patience", min=0, help="looks at the held-out span without a gain; 0: any number"),
    ] = 10,
    device: Annotated[
        str | None, typer.Option("--device", help="where to learn: cpu (default), cuda…")
    ] = None,
    tensorboard: Annotated[Path | None, typer.Option("--tensorboard", help="folder for its scalars")] = None,
    resume: Annotated[Path | None, typer.Option("--resume", help="a training to go on with")] = None,
    symbol: _Symbol = None,
    as_json: _Json = False,
) -> int:
    """Train a policy on history, keep the best on a later span; then `ztb replay --from-generation OUT`."""
    from ztb.commands.train import TrainOptions
    from ztb.commands.train import train as run_training

    given = {
        key: value for key, value in {"strategy.name": strategy, "market.symbol": symbol}.items() if value
    }
    options = TrainOptions(
        tuple(data or ()), config, given, seed, out, resume, validation, updates, patience, device,
        tensorboard, start, end, as_json,
    )  # fmt: skip
    return run_training(options)


@app.command()
def report(run_directory: _Run, as_json: _Json = False) -> int:
    """Make report.html and decisions.parquet of a run again, finished or not."""
    from ztb.commands.report import report as make

    return make(run_directory, as_json)


@app.command()
def why(
    what: Annotated[str, typer.Argument(metavar="ORDER|TIME", help="order, fill:N, refusal:N, or a moment")],
    run_directory: Annotated[Path, typer.Option("--run", help="run directory")],
    as_json: _Json = False,
) -> int:
    """Explain one order, fill or refusal, and recompute it from disk."""
    from ztb.commands.why import why as explain

    return explain(what, run_directory, as_json)


@app.command()
def exchange(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: chosen by the system")] = 0,
    seed: _Seed = 0,
    balance: Annotated[
        list[str] | None, typer.Option("--balance", help="such as USDT=1000; may be repeated")
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="recorded trades, quotes or depth; default: made-up flow"),
    ] = None,
    speed: Annotated[float, typer.Option("--speed", min=0.001, help="of recorded flow")] = 1.0,
    as_json: _Json = False,
) -> int:
    """A local exchange to try and test against: Binance spot's protocol, nothing real."""
    from ztb.commands.exchange import ExchangeOptions, run_exchange

    options = ExchangeOptions(port, seed, tuple(balance or ()), tuple(data or ()), speed, as_json)
    return run_exchange(options)


@app.command()
def doctor(config: _Config = None, out: _Out = None, as_json: _Json = False) -> int:
    """What may keep the daemon from running well, each with what to do; exit code 3 if anything is bad."""
    from ztb.commands.doctor import doctor as examine

    return examine(config, out, as_json)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="where to")] = Path(),
    system: Annotated[bool, typer.Option("--system", help="write what systemd needs, as root")] = False,
    root: Annotated[Path, typer.Option("--root", help="with --system: below this folder")] = Path("/"),
    as_json: _Json = False,
) -> int:
    """Write configuration and an example to start from; nothing of yours is overwritten."""
    from ztb.commands.init import init as write

    return write(folder, system, root, as_json)


@app.command()
def version() -> int:
    """Print the version."""
    from ztb.utils.version import code_version

    typer.echo(code_version())
    return 0


@data_app.command("info")
def data_info(
    paths: _Paths = None, symbol: _Symbol = None, tick_size: _TickSize = None, lot_size: _LotSize = None,
    as_json: _Json = False,
) -> int:  # fmt: skip
    """What the data are: layout, symbol, span, rows, gaps, increments."""
    from ztb.commands.data import info

    return info(paths or [], as_json=as_json, choice=_choice(symbol, tick_size, lot_size))


@data_app.command("import")
def data_import(
    paths: Annotated[list[Path], typer.Argument(help="files or folders")],
    out: Annotated[Path, typer.Option("--out", help="the recording to write")],
    symbol: _Symbol = None, tick_size: _TickSize = None, lot_size: _LotSize = None, as_json: _Json = False,
) -> int:  # fmt: skip
    """Convert data of any known layout into one recording, quick to read again."""
    from ztb.commands.data import import_

    return import_(paths, out, as_json=as_json, choice=_choice(symbol, tick_size, lot_size))


@data_app.command("download")
def data_download(
    out: Annotated[
        Path, typer.Option("--out", help="folder of the recordings; an earlier call is gone on with")
    ],
    start: Annotated[str, typer.Option("--from", help="begin here, ISO 8601")],
    what: Annotated[str, typer.Option("--what", help="trades or bars")] = "trades",
    end: Annotated[str | None, typer.Option("--to", help="end before, ISO 8601; default: now")] = None,
    venue: Annotated[str | None, typer.Option("--venue", help="as ccxt names it, such as kraken")] = None,
    symbol: _Symbol = None,
    timeframe: Annotated[str | None, typer.Option("--timeframe", help="length of bars, such as 1m")] = None,
    config: _Config = None,
    as_json: _Json = False,
) -> int:
    """Fetch a venue's history through ccxt into recordings that replay and train read."""
    from ztb.commands.data_download import DownloadOptions, download
    from ztb.commands.moments import parse_moment

    flags = {"market.venue": venue, "market.symbol": symbol, "market.timeframe": timeframe}
    given = {key: value for key, value in flags.items() if value is not None}
    moments = parse_moment(start, "--from"), parse_moment(end, "--to")
    return download(DownloadOptions(config, given, what, moments[0] or 0, moments[1], out, as_json))


@data_app.command("verify")
def data_verify(
    paths: _Paths = None, symbol: _Symbol = None, tick_size: _TickSize = None, lot_size: _LotSize = None,
    as_json: _Json = False,
) -> int:  # fmt: skip
    """Read all of it and say what is wrong; exit code 3 if it cannot be traded on."""
    from ztb.commands.data import verify

    return verify(paths or [], as_json=as_json, choice=_choice(symbol, tick_size, lot_size))


@config_app.command("check")
def config_check(config: _Config = None, as_json: _Json = False) -> int:
    """Say whether the configuration is sound."""
    from ztb.commands.config import check

    return check(config, as_json)


@config_app.command("show")
def config_show(config: _Config = None, as_json: _Json = False) -> int:
    """Every value and where it came from."""
    from ztb.commands.config import show

    return show(config, as_json)


@config_app.command("schema")
def config_schema(as_json: _Json = True) -> int:
    """The JSON Schema of the file."""
    from ztb.commands.config import print_schema

    return print_schema()


@generations_app.command("list")
def generations_list(run_directory: _Run, as_json: _Json = False) -> int:
    """The generations of a run."""
    from ztb.commands.generations import list_generations

    return list_generations(_checkpoints(run_directory), None, as_json)


@generations_app.command("show")
def generations_show(
    run_directory: _Run, generation: Annotated[int | None, typer.Argument()] = None, as_json: _Json = False
) -> int:
    """One generation with its lineage and metrics; default the newest."""
    from ztb.commands.generations import show

    return show(_checkpoints(run_directory), "policy", generation, as_json)


@generations_app.command("diff")
def generations_diff(
    run_directory: _Run,
    first: Annotated[int, typer.Argument(help="a generation")],
    second: Annotated[int, typer.Argument(help="another one")],
    as_json: _Json = False,
) -> int:
    """What sets two generations apart: lineage, the gate's figures, weights, behaviour."""
    from ztb.commands.generations_diff import diff

    return diff(run_directory, first, second, as_json)


def _checkpoints(run_directory: Path) -> Path:
    inner = run_directory / "checkpoints"
    return inner if inner.is_dir() else run_directory


def _choice(symbol: str | None, tick_size: str | None, lot_size: str | None) -> Any:
    from ztb.commands.data import Choice

    return Choice(
        symbol, tick_size=_decimal(tick_size, "--tick-size"), lot_size=_decimal(lot_size, "--lot-size")
    )


def _decimal(text: str | None, flag: str) -> Decimal | None:
    if text is None:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise UsageError(f"{flag} {text!r}: not a decimal number, such as 0.01") from None
    if number <= 0:
        raise UsageError(f"{flag} {text!r}: must be above 0")
    return number


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
    try:
        result: Any = app(_spread_data(arguments), standalone_mode=False)
    except ZtbError as error:
        return _say(error)
    except BaseExceptionGroup as group:
        expected = _expected(group)
        if expected is None:
            raise
        return _say(expected)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except typer.Exit as leaving:
        return leaving.exit_code
    except Exception as error:
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        return _say(UsageError(f"{message()} (see --help)"))
    if result == _INTERRUPTED:  # typer's own answer to Ctrl-C
        return _interrupted()
    return result if isinstance(result, int) else 0


def _interrupted() -> int:
    typer.echo("ztb: interrupted; what was done so far is kept", err=True)
    return _INTERRUPTED


def _expected(group: BaseExceptionGroup[BaseException]) -> ZtbError | None:
    """The first error of a group that was raised on purpose."""
    for error in group.exceptions:
        found = _expected(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, ZtbError):
            return found
    return None


def _say(error: ZtbError) -> int:
    typer.echo(f"ztb: {error}", err=True)
    return error.exit_code
