"""`ztb generations`: those of a run, from its files, and which of them a running daemon serves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ztb.commands.daemon_verbs import send
from ztb.commands.options import Json, OfDaemon, Run
from ztb.ledger.run_directory import RunDirectory

generations_app = typer.Typer(no_args_is_help=True, help="The generations of a run.")


@generations_app.command("list")
def list_(run_directory: Run, as_json: Json = False) -> int:
    """The generations of a run: where each comes from, how it stands, and the share of the account that it has."""
    from ztb.commands.generations import list_generations

    return list_generations(_checkpoints(run_directory), None, as_json, RunDirectory(run_directory).journal)


@generations_app.command()
def show(
    run_directory: Run,
    generation: Annotated[int | None, typer.Argument(metavar="N", help="its number")] = None,
    as_json: Json = False,
) -> int:
    """One generation with its lineage and metrics; default the newest."""
    from ztb.commands.generations import show as print_one

    return print_one(_checkpoints(run_directory), "policy", generation, as_json)


@generations_app.command()
def diff(
    run_directory: Run,
    first: Annotated[int, typer.Argument(metavar="N", help="a generation")],
    second: Annotated[
        int | None, typer.Argument(metavar="M", help="another one; default: the newest that was kept")
    ] = None,
    as_json: Json = False,
) -> int:
    """Compare two generations: lineage, the gate's figures, weights, behaviour."""
    from ztb.commands.generations_diff import diff as compare

    return compare(run_directory, first, second, as_json)


@generations_app.command()
def promote(
    generation: Annotated[int, typer.Argument(metavar="N", min=0, help="its number")],
    run_directory: OfDaemon = None,
    as_json: Json = False,
) -> int:
    """Let a running daemon serve a generation, gate or no gate; live mode is disarmed by it."""
    from ztb.control import Promote

    return send(run_directory, Promote(generation), as_json)


@generations_app.command()
def rollback(
    generation: Annotated[
        int | None, typer.Argument(metavar="N", min=0, help="default: the one before")
    ] = None,
    run_directory: OfDaemon = None,
    as_json: Json = False,
) -> int:
    """Let a running daemon go back to a generation; what is left behind never serves again."""
    from ztb.control import Rollback

    return send(run_directory, Rollback(generation), as_json)


def _checkpoints(run_directory: Path) -> Path:
    inner = run_directory / "checkpoints"
    return inner if inner.is_dir() else run_directory
