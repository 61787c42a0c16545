"""The verbs that run the daemon and steer it. Those that steer import next to nothing, and answer at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ztb.commands.options import (
    ConfigFile,
    Data,
    FromGeneration,
    Json,
    Learner,
    LotSize,
    OfDaemon,
    OfRun,
    Pretrain,
    Run,
    Sandbox,
    Seed,
    Strategy,
    Symbol,
    TickSize,
    Venue,
    given,
    instrument_flags,
    refuse_flags,
)

if TYPE_CHECKING:
    from ztb.control import Command

daemon_app = typer.Typer()


_OF_HISTORY = ("data", "speed", "pretrain", "tick_size", "lot_size")


@daemon_app.command()
def run(
    context: typer.Context,
    mode: Annotated[str, typer.Option("--mode", metavar="MODE", help="replay, paper or live")] = "paper",
    data: Data = None,
    speed: Annotated[
        str, typer.Option("--speed", metavar="FACTOR", help="replay: times as fast as it happened, or max")
    ] = "max",
    config: ConfigFile = None,
    strategy: Strategy = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="run directory, gone on with; a replay that finds a run begins DIR/run-NNN",
        ),
    ] = None,
    instance: Annotated[
        str, typer.Option("--instance", metavar="NAME", help="name of this daemon among several")
    ] = "ztb",
    learner: Learner = None,
    from_generation: FromGeneration = None,
    pretrain: Pretrain = None,
    symbol: Symbol = None,
    venue: Venue = None,
    tick_size: TickSize = None,
    lot_size: LotSize = None,
    sandbox: Sandbox = None,
    as_json: Json = False,
) -> int:
    """Run the daemon: on history, on paper, or with real money, until the data end or it is stopped."""
    from ztb.commands.run import RunOptions, run_daemon

    if mode == "replay":
        refuse_flags(context, ("sandbox",), "a replay asks no venue")
    elif mode in ("paper", "live"):
        refuse_flags(context, _OF_HISTORY, f"--mode {mode} is told by the venue what happens there")
    flags = given(strategy__name=strategy, online__learner=learner, market__sandbox=sandbox)
    flags |= instrument_flags(symbol, venue, tick_size, lot_size)
    options = RunOptions(
        mode=mode,
        paths=tuple(data or ()),
        config_path=config,
        flags=flags,
        seed=seed,
        out=out,
        instance=instance,
        speed=speed,
        from_generation=from_generation,
        pretrain=pretrain,
        as_json=as_json,
    )
    return run_daemon(options)


@daemon_app.command()
def status(run_directory: OfDaemon = None, as_json: Json = False) -> int:
    """Show the state of a running daemon."""
    from ztb.commands.control import status as ask

    return ask(run_directory, as_json)


@daemon_app.command()
def halt(
    reason: Annotated[str, typer.Argument(metavar="REASON", help="why, for the journal")] = "",
    run_directory: OfDaemon = None,
    as_json: Json = False,
) -> int:
    """Cancel what is open and let no order leave until `ztb resume`; survives a restart."""
    from ztb.control import Halt

    return send(run_directory, Halt(reason), as_json)


@daemon_app.command()
def resume(
    adopt: Annotated[
        bool, typer.Option("--adopt", help="live: take over what the venue's account holds, into the books")
    ] = False,
    run_directory: OfDaemon = None,
    as_json: Json = False,
) -> int:
    """Trade again after a halt; after a mismatch with the venue that you have looked into, with --adopt."""
    from ztb.control import Adopt, Resume

    return send(run_directory, Adopt() if adopt else Resume(), as_json)


@daemon_app.command()
def flatten(run_directory: OfDaemon = None, as_json: Json = False) -> int:
    """Close the position, then halt."""
    from ztb.control import Flatten

    return send(run_directory, Flatten(), as_json)


@daemon_app.command()
def freeze(run_directory: OfDaemon = None, as_json: Json = False) -> int:
    """Stop learning; the generation that serves goes on serving."""
    from ztb.control import Freeze

    return send(run_directory, Freeze(), as_json)


@daemon_app.command()
def unfreeze(run_directory: OfDaemon = None, as_json: Json = False) -> int:
    """Learn again."""
    from ztb.control import Unfreeze

    return send(run_directory, Unfreeze(), as_json)


@daemon_app.command()
def arm(
    run_directory: OfRun,
    limit: Annotated[
        float,
        typer.Option("--limit", metavar="AMOUNT", min=0.0, help="most that is ever at stake, quote currency"),
    ],
    config: ConfigFile = None,
    strategy: Strategy = None,
    learner: Learner = None,
    sandbox: Sandbox = None,
    minutes: Annotated[
        float, typer.Option("--minutes", metavar="N", min=0.0, help="until it must have started")
    ] = 10.0,
    as_json: Json = False,
) -> int:
    """Live mode: allow a run with these same flags to trade real money, by typing the phrase that is asked for."""
    from ztb.commands.arm import arm as allow

    flags = given(strategy__name=strategy, online__learner=learner, market__sandbox=sandbox)
    return allow(
        run=run_directory, config=config, flags=flags, limit_quote=limit, minutes=minutes, as_json=as_json
    )


@daemon_app.command()
def disarm(run_directory: OfDaemon = None, as_json: Json = False) -> int:
    """Live mode: no new risk until it is armed again."""
    from ztb.control import Disarm

    return send(run_directory, Disarm(), as_json)


@daemon_app.command()
def backup(
    run_directory: Run,
    target: Annotated[Path, typer.Argument(metavar="FILE", help="the backup to write, a tar file")],
    without_ticks: Annotated[
        bool, typer.Option("--without-ticks", help="leave out what was recorded of the market")
    ] = False,
    as_json: Json = False,
) -> int:
    """A run as one file, while its daemon runs too: journal, generations, halts, recorded ticks, under checksums."""
    from ztb.commands.housekeeping import back_up

    return back_up(run_directory, target, not without_ticks, as_json)


@daemon_app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="a backup")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="the run directory to make, new or empty")],
    as_json: Json = False,
) -> int:
    """A run's folder of a backup, here or on another machine; nothing is overwritten, a damaged backup is refused."""
    from ztb.commands.housekeeping import restore as unpack

    return unpack(source, folder, as_json)


@daemon_app.command()
def prune(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="the folder that runs lie in")] = Path("runs"),
    keep_gb: Annotated[
        float, typer.Option("--keep-gb", metavar="GB", min=0, help="of all runs; beyond it the oldest go")
    ] = 0.0,
    keep_days: Annotated[
        float, typer.Option("--keep-days", metavar="DAYS", min=0, help="runs last written before that go")
    ] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would go, and remove nothing")] = False,
    as_json: Json = False,
) -> int:
    """Remove old runs by size and age, each said; never one that goes on, real money's, or one that another needs."""
    from ztb.commands.housekeeping import prune as take_away

    return take_away(folder, keep_gb, keep_days, dry_run, as_json)


def send(run_directory: Path | None, wanted: Command, as_json: bool) -> int:
    """Ask a running daemon for `wanted`; returns the exit code."""
    from ztb.commands.control import command

    return command(run_directory, wanted, as_json)
