"""What several verbs share, one definition of each: options, moments as people write them, a word while compiling."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from ztb.errors import UsageError

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
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="print JSON")]
Run: TypeAlias = Annotated[Path, typer.Argument(metavar="RUN", help="run directory")]
OfRun: TypeAlias = Annotated[Path, typer.Option("--run", metavar="DIR", help="run directory")]
OfDaemon: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--run", metavar="DIR", help="run directory; default: the one below runs/ that has a daemon"
    ),
]


def given(**settings: str | None) -> dict[str, str]:
    """Flags that stand for settings, as `section__key=value`, without those that were not given."""
    return {name.replace("__", "."): value for name, value in settings.items() if value is not None}


def parse_moment(text: str | None, flag: str) -> int | None:
    """ISO 8601 (UTC if it says nothing else) or nanoseconds since 1970. UsageError if it is neither."""
    if text is None:
        return None
    if text.isdigit() and len(text) > 8:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{flag} {text!r}: neither ISO 8601, such as 2019-01-31T12:00, nor nanoseconds"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000


_SAID = "compiling, this first time: about a minute, on a busy machine more"


def say_if_it_compiles(say: Callable[[str], None]) -> None:
    """Call `say` where nothing is compiled yet: new on this machine, or updated."""
    if not any(Path(os.environ["NUMBA_CACHE_DIR"]).rglob("*.nbc")):
        say(_SAID)
