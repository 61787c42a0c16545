"""Which generations stay: a function of what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ztb.errors import UsageError
from ztb.utils.checkpoint.generation import Generation
from ztb.utils.checkpoint.layout import VERSION


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
