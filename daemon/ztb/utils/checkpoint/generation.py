"""A generation's facts, known without loading it, and which generations stay for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ztb.errors import UsageError
from ztb.utils.checkpoint.layout import VERSION, Manifest
from ztb.utils.checkpoint.names import PINNED, PROMOTED


@dataclass(frozen=True, slots=True)
class Generation:
    """One saved state. `fault` says what is wrong with its file, None if nothing was found.

    `bytes` is the file's size, `created_ns` nanoseconds since 1970 (UTC). `replaced` counts older states that
    were waiting and that the caller allowed this one to stand for. `marks` keep it from retention.
    """

    name: str
    number: int
    path: Path
    bytes: int = 0
    created_ns: int = 0
    metrics: dict[str, float | None] = field(default_factory=dict[str, "float | None"])
    lineage: dict[str, Any] = field(default_factory=dict[str, Any])
    marks: frozenset[str] = frozenset()
    replaced: int = 0
    writer: str = ""
    version: int = VERSION
    fault: str | None = None

    @property
    def created(self) -> datetime:
        """The time at which it was saved (UTC, to the microsecond)."""
        return datetime.fromtimestamp(self.created_ns / 1e9, UTC)

    @property
    def pinned(self) -> bool:
        return PINNED in self.marks

    @property
    def promoted(self) -> bool:
        return PROMOTED in self.marks


def describe(
    name: str, path: Path, nbytes: int, manifest: Manifest, marks: frozenset[str] = frozenset()
) -> Generation:
    """The generation that `manifest` describes."""
    return Generation(
        name=name,
        number=manifest.generation,
        path=path,
        bytes=nbytes,
        created_ns=manifest.created_ns,
        metrics=manifest.metrics,
        lineage=manifest.lineage,
        marks=marks,
        replaced=manifest.replaced,
        writer=manifest.writer,
    )


@dataclass(frozen=True, slots=True)
class Retention:
    """Keep the newest `last`, the `best` by `metric`, every `every`-th by number, and all with a mark."""

    last: int = 5
    best: int = 0
    metric: str | None = None
    lowest_is_best: bool = False
    every: int = 0

    def __post_init__(self) -> None:
        if self.last < 1:
            raise UsageError(f"max_generations is {self.last}: at least 1 generation must stay")
        if self.best < 0 or self.every < 0:
            raise UsageError("keep_best and keep_every are counts: 0 or more")
        if self.best and self.metric is None:
            raise UsageError("keep_best needs best_metric, the metric by which generations are compared")


def surplus(generations: Sequence[Generation], retention: Retention) -> list[Generation]:
    """Those that retention removes, oldest first. Damaged ones count for nothing and go when they are old."""
    good = sorted((g for g in generations if g.fault is None), key=lambda g: g.number)
    newest = good[-retention.last :]
    if not newest:
        return []
    kept = {g.number for g in (*newest, *_best(good, retention))}
    return [g for g in sorted(generations, key=lambda g: g.number) if _goes(g, kept, newest[0], retention)]


def _goes(generation: Generation, kept: set[int], oldest: Generation, retention: Retention) -> bool:
    if generation.marks or generation.version > VERSION or generation.number in kept:
        return False
    if generation.number > oldest.number:
        return False
    return not retention.every or generation.number % retention.every != 0


def _best(good: list[Generation], retention: Retention) -> list[Generation]:
    """The best by the metric; of equals the newer; those without a figure never."""
    sign = -1.0 if retention.lowest_is_best else 1.0
    scored = [
        (sign * value, g.number, g)
        for g in good
        if retention.metric is not None and (value := g.metrics.get(retention.metric)) is not None
    ]
    ranked = sorted(scored, key=lambda item: item[:2], reverse=True)
    return [g for *_, g in ranked[: retention.best]]
