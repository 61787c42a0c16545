"""`ztb generations list|show`: what is kept, where it comes from and whether it is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ztb.errors import UsageError
from ztb.utils.checkpoint import CheckpointManager, Generation

if TYPE_CHECKING:
    from rich.table import Table

_METRICS = 2  # columns of a list; `show` and --json give all


def list_generations(base: Path, name: str | None, as_json: bool) -> int:
    """Print the generations of `name` below `base`, or of all experiments; exit code 3 if one is damaged."""
    manager = CheckpointManager(base)
    names = [name] if name is not None else manager.experiments()
    found = [generation for each in names for generation in manager.list(each)]
    if not found:
        raise UsageError(f"{base / name if name else base}: there are no generations")
    print_facts([facts(generation) for generation in found], _table(found), as_json)
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


def _table(found: list[Generation]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    several = len({generation.name for generation in found}) > 1
    metrics = list(dict.fromkeys(name for generation in found for name in generation.metrics))
    shown = metrics[:_METRICS]
    table = Table(box=None, pad_edge=False)
    table.add_column("generation", justify="right", no_wrap=True)
    for title in (
        *(("experiment",) if several else ()),
        "parent",
        "created (UTC)",
        "KiB",
        "marks",
        *shown,
        "state",
    ):
        right = title in ("parent", "KiB", *shown)
        fixed = title != "state"
        table.add_column(title, justify="right" if right else "left", overflow="fold", no_wrap=fixed)
    for generation in found:
        described = facts(generation)
        cells = (
            generation.number,
            *((generation.name,) if several else ()),
            _or_dash(generation.lineage.get("parent")),
            (described["created"] or "-")[:19],
            "-" if described["bytes"] is None else f"{described['bytes'] / 1024:.0f}",
            ", ".join(described["marks"]),
            *(_figure_or_dash(generation.metrics.get(name)) for name in shown),
            generation.fault or "good",
        )
        table.add_row(*(escape(str(cell)) for cell in cells))
    return table


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
