"""`ztb generations list|show`: what is kept, where it comes from and whether it is whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ztb.errors import NotFoundError
from ztb.telemetry import texts
from ztb.utils.checkpoint import CheckpointManager, Generation

if TYPE_CHECKING:
    from rich.table import Table

    from ztb.telemetry.standing import Standing

_METRICS = 2  # columns of a list of what a training left; `show` and --json give all


def list_generations(base: Path, name: str | None, as_json: bool, journal: Path | None = None) -> int:
    """Print the generations of `name` below `base`, or of all experiments; exit code 3 if one is damaged.

    How each stands, and when of the market it was made and last decided on, is in the `journal` of the run, where
    there is one: a training leaves none, and its generations show when their files were written.
    """
    manager = CheckpointManager(base)
    names = [name] if name is not None else manager.experiments()
    found = [generation for each in names for generation in manager.list(each)]
    if not found:
        raise NotFoundError(f"{base / name if name else base}: there are no generations")
    stand = _standings(journal)
    described = [facts(generation) | _standing(generation, stand) for generation in found]
    print_facts(described, _table(found, stand), as_json)
    return 3 if any(generation.fault for generation in found) else 0


def show(base: Path, name: str, generation: int | None, as_json: bool) -> int:
    """Print one generation (None: the newest good one), every byte verified; exit code 3 if damaged."""
    manager = CheckpointManager(base)
    if generation is None:
        generation = manager.latest(name).number
    (verified,) = manager.verify(name, generation)
    described = facts(verified)
    print_facts(described, _rows(described), as_json)
    return 3 if verified.fault else 0


def _standings(journal: Path | None) -> dict[int, Standing]:
    from ztb.telemetry.standing import standings

    return standings(journal) if journal is not None and journal.exists() else {}


def _standing(generation: Generation, stand: dict[int, Standing]) -> dict[str, Any]:
    found = stand.get(generation.lineage.get("generation", -1))
    if found is None:
        return dict.fromkeys(("standing", "weight", "made", "decided"))
    made, decided = (_iso(ns) for ns in (found.made_ns, found.decided_ns))
    return {"standing": found.words, "weight": found.weight, "made": made, "decided": decided}


def facts(generation: Generation) -> dict[str, Any]:
    """A generation as JSON; what a damaged file does not say is null."""
    known = generation.fault is None or generation.created_ns > 0
    return {
        "name": generation.name,
        "generation": generation.number,
        "path": str(generation.path),
        "bytes": generation.bytes if known else None,
        "created": generation.created.isoformat() if known else None,
        "writer": generation.writer if known else None,
        "marks": sorted(generation.marks),
        "replaced": generation.replaced,
        "metrics": generation.metrics,
        "lineage": generation.lineage,
        "fault": generation.fault,
    }


def print_facts(described: object, table: Table, as_json: bool) -> None:
    """Print `described` as JSON, or the table."""
    from rich.console import Console

    console = Console()
    if as_json:
        console.out(json.dumps(described), highlight=False)
    else:
        console.print(table)


def _table(found: list[Generation], stand: dict[int, Standing]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    several = len({generation.name for generation in found}) > 1
    metrics = list(dict.fromkeys(name for generation in found for name in generation.metrics))
    shown = [] if stand else metrics[:_METRICS]  # how each stands needs the room
    weighed = any(one.weight is not None for one in stand.values())
    table = Table(box=None, pad_edge=False)
    table.add_column("generation", justify="right", no_wrap=True)
    for title in (
        *(("experiment",) if several else ()),
        "parent",
        *(("made (market)",) if stand else ("created (UTC)", "KiB")),
        "marks",
        *shown,
        *(("weight",) if weighed else ()),
        "state",
    ):
        right = title in ("parent", "KiB", "weight", *shown)
        fixed = title != "state"
        table.add_column(title, justify="right" if right else "left", overflow="fold", no_wrap=fixed)
    for generation in found:
        described = facts(generation) | _standing(generation, stand)
        weight = described["weight"]
        cells = (
            generation.number,
            *((generation.name,) if several else ()),
            _or_dash(generation.lineage.get("parent")),
            *((_minute(described["made"]),) if stand else _file(described)),
            ", ".join(described["marks"]),
            *(_figure_or_dash(generation.metrics.get(name)) for name in shown),
            *((texts.percent(weight, 2, signed=False),) if weighed else ()),
            generation.fault or _state(generation, described),
        )
        table.add_row(*(escape(str(cell)) for cell in cells))
    return table


def _state(generation: Generation, described: dict[str, Any]) -> str:
    """How it stands, since when of the market. Numbers of files need not be those of the run's generations."""
    number, standing = generation.lineage.get("generation", generation.number), described["standing"]
    if standing is None:
        return "good"
    since = "" if described["decided"] is None else f"{_minute(described['decided'])} "
    return f"{since}{standing}" if number == generation.number else f"{since}generation {number}: {standing}"


def _file(described: dict[str, Any]) -> tuple[str, str]:
    """When it was written, and its size in KiB."""
    size = described["bytes"]
    return (described["created"] or "-")[:19], "-" if size is None else f"{size / 1024:.0f}"


def _iso(ts_ns: int | None) -> str | None:
    return None if ts_ns is None else datetime.fromtimestamp(ts_ns // 10**9, UTC).isoformat()


def _minute(iso: str | None) -> str:
    return "-" if iso is None else iso[:16].replace("T", " ")


def _or_dash(value: object) -> object:
    return "-" if value is None else value


def _figure_or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _rows(described: dict[str, Any]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in described.items():
        if isinstance(value, dict):
            for inner, content in value.items():
                table.add_row(escape(f"{key}.{inner}"), escape(_figure(content)))
        elif key != "fault":
            table.add_row(key, escape(_figure(value)))
    table.add_row("state", escape(described["fault"] or "every byte verified"))
    return table


def _figure(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)
