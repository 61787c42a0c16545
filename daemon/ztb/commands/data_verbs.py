"""`ztb data`: look at market data, convert, verify and fetch them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ztb.commands.options import (
    ConfigFile,
    End,
    Json,
    LotSize,
    Paths,
    Symbol,
    TickSize,
    Venue,
    given,
    increment,
)

data_app = typer.Typer(no_args_is_help=True, help="Look at, convert, verify and fetch market data.")


@data_app.command()
def info(
    paths: Paths = None,
    symbol: Symbol = None,
    venue: Venue = None,
    tick_size: TickSize = None,
    lot_size: LotSize = None,
    as_json: Json = False,
) -> int:
    """Describe the data: layout, symbol, span, rows, gaps, increments."""
    from ztb.commands.data import info as describe

    return describe(paths or [], as_json=as_json, choice=_choice(symbol, venue, tick_size, lot_size))


@data_app.command("import")
def import_(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="files or folders")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="the recording to write")],
    symbol: Symbol = None,
    venue: Venue = None,
    tick_size: TickSize = None,
    lot_size: LotSize = None,
    as_json: Json = False,
) -> int:
    """Convert data of any known layout into one recording, quick to read again."""
    from ztb.commands.data import import_ as convert

    return convert(paths, out, as_json=as_json, choice=_choice(symbol, venue, tick_size, lot_size))


@data_app.command()
def download(
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", help="folder of the recordings; an earlier call is gone on with"
        ),
    ],
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="first moment, ISO 8601 UTC")],
    what: Annotated[str, typer.Option("--what", metavar="KIND", help="trades or bars")] = "trades",
    end: End = None,
    venue: Venue = None,
    symbol: Symbol = None,
    timeframe: Annotated[
        str | None, typer.Option("--timeframe", metavar="LENGTH", help="length of bars, such as 1m")
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Fetch a venue's history through ccxt into recordings that replay and train read."""
    from ztb.commands.data import DownloadOptions
    from ztb.commands.data import download as fetch
    from ztb.utils.moments import parse_span_of

    flags = given(market__venue=venue, market__symbol=symbol, market__timeframe=timeframe)
    moments = parse_span_of(start, end)
    return fetch(
        DownloadOptions(
            config_path=config,
            flags=flags,
            what=what,
            start_ns=moments[0] or 0,
            end_ns=moments[1],
            out=out,
            as_json=as_json,
        )
    )


@data_app.command()
def verify(
    paths: Paths = None,
    symbol: Symbol = None,
    venue: Venue = None,
    tick_size: TickSize = None,
    lot_size: LotSize = None,
    as_json: Json = False,
) -> int:
    """Read all of it and say what is wrong; exit code 3 if it cannot be traded on."""
    from ztb.commands.data import verify as examine

    return examine(paths or [], as_json=as_json, choice=_choice(symbol, venue, tick_size, lot_size))


def _choice(symbol: str | None, venue: str | None, tick_size: str | None, lot_size: str | None) -> Any:
    from ztb.commands.data import SourceChoice

    return SourceChoice(symbol, venue, increment(tick_size, "--tick-size"), increment(lot_size, "--lot-size"))
