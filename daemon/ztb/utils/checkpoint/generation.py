"""What is known of a generation without loading it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
        """When it was saved (UTC, to the microsecond)."""
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
