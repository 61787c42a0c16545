"""The verbs that run the daemon and steer it. Those that steer import next to nothing, and answer at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ztb.control import Adopt, Command, Disarm, Flatten, Freeze, Halt, Promote, Resume, Rollback, Unfreeze

daemon_app = typer.Typer()
generations_app = typer.Typer(no_args_is_help=True, help="The generations of a run.")

_Run = Annotated[Path | None, typer.Option("--run", help="run directory; default: the one below runs/")]
_Json = Annotated[bool, typer.Option("--json", help="print JSON")]


@daemon_app.command()
def run(
    mode: Annotated[str, typer.Option("--mode", help="replay, paper or live")] = "paper",
    data: Annotated[
        list[Path] | None, typer.Option("--data", help="replay: files or folders; default: shipped history")
    ] = None,
    speed: Annotated[
        str, typer.Option("--speed", help="replay: times as fast as it happened, or max")
    ] = "max",
    config: Annotated[Path | None, typer.Option("--config", help="trade-config.json")] = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="name of a strategy")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="seed of every random number")] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="run directory; default runs/<mode>-…")] = None,
    instance: Annotated[str, typer.Option("--instance", help="name of this daemon among several")] = "ztb",
    learner: Annotated[str | None, typer.Option("--learner", help="off, inline or process")] = None,
    from_generation: Annotated[
        str | None,
        typer.Option("--from-generation", help="run directory or checkpoint folder, with :N for one"),
    ] = None,
    pretrain: Annotated[
        str | None,
        typer.Option("--pretrain", help="replay: first span to train generation 0 on, such as 180d"),
    ] = None,
    as_json: _Json = False,
) -> int:
    """Run the daemon: on history, on paper, or with real money, until the data end or it is stopped."""
    from ztb.commands.run import RunOptions, run_daemon

    flags = {"strategy.name": strategy, "online.learner": learner}
    given = {key: value for key, value in flags.items() if value is not None}
    return run_daemon(
        RunOptions(
            mode,
            tuple(data or ()),
            config,
            given,
            seed,
            out,
            instance,
            speed,
            from_generation,
            pretrain,
            as_json,
        )
    )


@daemon_app.command()
def status(run_directory: _Run = None, as_json: _Json = False) -> int:
    """What a running daemon is doing."""
    from ztb.commands.control import status as ask

    return ask(run_directory, as_json)


@daemon_app.command()
def halt(
    reason: Annotated[str, typer.Argument(help="why, for the journal")] = "",
    run_directory: _Run = None,
    as_json: _Json = False,
) -> int:
    """Cancel what is open and let no order leave until `ztb resume`; survives a restart."""
    return _command(run_directory, Halt(reason), as_json)


@daemon_app.command()
def resume(
    adopt: Annotated[
        bool, typer.Option("--adopt", help="live: take over what the venue's account holds, into the books")
    ] = False,
    run_directory: _Run = None,
    as_json: _Json = False,
) -> int:
    """Trade again after a halt; after a mismatch with the venue that you have looked into, with --adopt."""
    return _command(run_directory, Adopt() if adopt else Resume(), as_json)


@daemon_app.command()
def flatten(run_directory: _Run = None, as_json: _Json = False) -> int:
    """Close the position, then halt."""
    return _command(run_directory, Flatten(), as_json)


@daemon_app.command()
def freeze(run_directory: _Run = None, as_json: _Json = False) -> int:
    """Stop learning; the generation that serves goes on serving."""
    return _command(run_directory, Freeze(), as_json)


@daemon_app.command()
def unfreeze(run_directory: _Run = None, as_json: _Json = False) -> int:
    """Learn again."""
    return _command(run_directory, Unfreeze(), as_json)


@daemon_app.command()
def arm(
    run_directory: Annotated[Path, typer.Option("--run", help="run directory")],
    limit: Annotated[
        float, typer.Option("--limit", min=0.0, help="most that is ever at stake, quote currency")
    ],
    config: Annotated[Path | None, typer.Option("--config", help="trade-config.json")] = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="as it will be given to run")] = None,
    learner: Annotated[str | None, typer.Option("--learner", help="as it will be given to run")] = None,
    minutes: Annotated[float, typer.Option("--minutes", min=0.0, help="until it must have started")] = 10.0,
    as_json: _Json = False,
) -> int:
    """Live mode: allow a run to trade real money, by typing the phrase that is asked for."""
    from ztb.commands.arm import arm as allow

    flags = {"strategy.name": strategy, "online.learner": learner}
    given = {key: value for key, value in flags.items() if value is not None}
    return allow(run_directory, config, given, limit, minutes, as_json)


@daemon_app.command()
def disarm(run_directory: _Run = None, as_json: _Json = False) -> int:
    """Live mode: no new risk until it is armed again."""
    return _command(run_directory, Disarm(), as_json)


@generations_app.command()
def promote(
    generation: Annotated[int, typer.Argument(min=0)], run_directory: _Run = None, as_json: _Json = False
) -> int:
    """Let a running daemon serve a generation, gate or no gate; live mode is disarmed by it."""
    return _command(run_directory, Promote(generation), as_json)


@generations_app.command()
def rollback(
    generation: Annotated[int | None, typer.Argument(min=0, help="default: the one before")] = None,
    run_directory: _Run = None,
    as_json: _Json = False,
) -> int:
    """Let a running daemon go back to a generation; what is left behind never serves again."""
    return _command(run_directory, Rollback(generation), as_json)


def _command(run_directory: Path | None, wanted: Command, as_json: bool) -> int:
    from ztb.commands.control import command

    return command(run_directory, wanted, as_json)
