"""Options of several verbs, one definition of each; moments as people write them; a word while compiling."""

from __future__ import annotations

from collections.abc import Callable, Collection
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from ztb.errors import UsageError
from ztb.market.instrument import parse_increment

Data: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option("--data", metavar="PATH", help="files or folders; default: shipped history"),
]
Paths: TypeAlias = Annotated[
    list[Path] | None, typer.Argument(metavar="PATH", help="files or folders; default: shipped history")
]
ConfigFile: TypeAlias = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="trade-config.json")
]
Strategy: TypeAlias = Annotated[
    str | None, typer.Option("--strategy", metavar="NAME", help="name of a strategy")
]
Learner: TypeAlias = Annotated[
    str | None, typer.Option("--learner", metavar="MODE", help="auto, off, inline or process")
]
FromGeneration: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--from-generation", metavar="RUN", help="run directory or checkpoint folder, with :N for one"
    ),
]
Pretrain: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--pretrain", metavar="SPAN", help="first span to train generation 0 on, such as 180d; none: random"
    ),
]
Seed: TypeAlias = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, help="seed of every random number")
]
Out: TypeAlias = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="run directory; default runs/<mode>-NNN")
]
Start: TypeAlias = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="first moment, ISO 8601 UTC")
]
End: TypeAlias = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="end, ISO 8601 UTC, exclusive")
]
Symbol: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--symbol", metavar="SYMBOL", help="such as BTC/USD; default: as configured, or as the data say"
    ),
]
TickSize: TypeAlias = Annotated[
    str | None, typer.Option("--tick-size", metavar="DECIMAL", help="price increment, exact decimal")
]
LotSize: TypeAlias = Annotated[
    str | None, typer.Option("--lot-size", metavar="DECIMAL", help="quantity increment, exact decimal")
]
Venue: TypeAlias = Annotated[
    str | None,
    typer.Option("--venue", metavar="NAME", help="as ccxt names it, such as kraken; sets fees and spread"),
]
Sandbox: TypeAlias = Annotated[
    bool | None,
    typer.Option("--sandbox", help="the venue's test system, with keys of its own, where ccxt knows one"),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="print JSON")]
Run: TypeAlias = Annotated[Path, typer.Argument(metavar="RUN", help="run directory")]
OfRun: TypeAlias = Annotated[Path, typer.Option("--run", metavar="DIR", help="run directory")]
OfDaemon: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--run", metavar="DIR", help="run directory; default: the one below runs/ that has a daemon"
    ),
]


def given(**settings: str | Decimal | bool | None) -> dict[str, Any]:
    """Flags that stand for settings, as `section__key=value`, without those that were not given."""
    return {name.replace("__", "."): value for name, value in settings.items() if value is not None}


def instrument_flags(
    symbol: str | None, venue: str | None, tick_size: str | None, lot_size: str | None
) -> dict[str, Any]:
    """Settings of what is traded, as flags give them. UsageError for an increment that is none."""
    return given(
        market__symbol=symbol,
        market__venue=venue,
        market__tick_size=increment(tick_size, "--tick-size"),
        market__lot_size=increment(lot_size, "--lot-size"),
    )


def increment(text: str | None, flag: str) -> Decimal | None:
    """The value of a flag, or None if it was not given. UsageError for an increment that is none."""
    return None if text is None else parse_increment(text, flag)


def flags_given(context: typer.Context) -> set[str]:
    """Names of the parameters that the command line itself gives."""
    names = [option.name or "" for option in context.command.params]
    sources = {name: context.get_parameter_source(name) for name in names}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def refuse_flags(context: typer.Context, refused: Collection[str], why: str) -> None:
    """UsageError if the command line gives one of the parameters `refused`, which would do nothing."""
    for option in context.command.params:
        if option.name in refused and option.name in flags_given(context):
            raise UsageError(f"{option.opts[0]}: {why}: leave it out")


_SAID = "compiling, this first time: half a minute, on a busy machine more"


def say_if_it_compiles(say: Callable[[str], None]) -> bool:
    """Call `say` where nothing is compiled yet: new on this machine, or updated. True if it was called."""
    from ztb.utils.kernel import anything_compiled

    compiles = not anything_compiled()
    if compiles:
        say(_SAID)
    return compiles
