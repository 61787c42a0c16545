"""The command line. Verbs import what they need when they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ztb.errors import ZtbError

app = typer.Typer(
    name="ztb", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="A trading daemon that keeps learning, safely.",
)  # fmt: skip

_Data = Annotated[list[Path] | None, typer.Option("--data", help="file or folder; repeat for several")]
_Config = Annotated[Path | None, typer.Option("--config", help="trade-config.json")]
_Seed = Annotated[int, typer.Option("--seed", help="seed of every random number")]
_Out = Annotated[Path | None, typer.Option("--out", help="run directory; default runs/<mode>-NNN")]
_Json = Annotated[bool, typer.Option("--json", help="print JSON instead of tables")]


@app.command()
def replay(
    data: _Data = None,
    config: _Config = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="name of a strategy")] = None,
    seed: _Seed = 0,
    out: _Out = None,
    learner: Annotated[str | None, typer.Option("--learner", help="off, inline or process")] = None,
    as_json: _Json = False,
) -> int:
    """Run a strategy over recorded history, learning as it goes."""
    from ztb.commands.replay import run_replay

    flags: dict[str, Any] = {"strategy.name": strategy, "online.learner": learner}
    given = {key: value for key, value in flags.items() if value is not None}
    return run_replay(data or [], config, given, seed, out, as_json)


@app.command()
def version() -> int:
    """Print the version."""
    from ztb.utils.version import code_version

    typer.echo(code_version())
    return 0


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code. Errors that ztb raises on purpose are said in one line."""
    try:
        result = app(arguments, standalone_mode=False)
    except ZtbError as error:
        return _say(error)
    except BaseExceptionGroup as group:
        expected = _expected(group)
        if expected is None:
            raise
        return _say(expected)
    except typer.Exit as leaving:
        return leaving.exit_code
    except (KeyboardInterrupt, typer.Abort):
        typer.echo("interrupted; what was done so far is kept", err=True)
        return 130
    except Exception as error:
        usage = getattr(error, "format_message", None)
        if usage is None:
            raise
        typer.echo(f"ztb: {usage()}", err=True)
        return 2
    return result if isinstance(result, int) else 0


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
