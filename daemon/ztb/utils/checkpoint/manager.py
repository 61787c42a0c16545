"""CheckpointManager: generations of a state, saved in the background, that survive anything."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from ztb.errors import UsageError, ZtbError
from ztb.utils.checkpoint.catalogue import Catalogue
from ztb.utils.checkpoint.codec import Compression
from ztb.utils.checkpoint.errors import NoGeneration
from ztb.utils.checkpoint.generation import Generation, Retention
from ztb.utils.checkpoint.loader import Loader, Restored
from ztb.utils.checkpoint.names import PINNED, PROMOTED, check_experiment, check_mark
from ztb.utils.checkpoint.save_queue import Request, SaveQueue
from ztb.utils.checkpoint.snapshot import SnapshotFacts, StateSnapshot, check_lineage, check_metrics
from ztb.utils.checkpoint.store import Store

_log = logging.getLogger(__name__)

Metrics = Mapping[str, "float | None"]
Lineage = Mapping[str, Any]
Generations = list[Generation]
Names = list[str]


class _Experiment(NamedTuple):
    catalogue: Catalogue
    loader: Loader
    store: Store


class CheckpointManager:
    """Saves, loads and keeps generations of experiments, one folder each below `base_path`.

    Retention keeps the newest `max_generations`, the `keep_best` by `best_metric` (`best_is`), every
    `keep_every`-th, the promoted, the pinned, and the only good one. `compression` is none, zstd (all arrays)
    or exponent (floats: their exponents; other arrays: zstd); `level` is zstd's. No state of more than
    `max_state_bytes` is saved or loaded. `clock` gives nanoseconds since 1970.

    Reading takes no lock; the first write makes this process the experiment's writer, others get FolderInUse.
    """

    def __init__(
        self,
        base_path: str | Path = "checkpoints",
        max_generations: int = 5,
        *,
        keep_best: int = 0,
        best_metric: str | None = None,
        best_is: Literal["highest", "lowest"] = "highest",
        keep_every: int = 0,
        compression: Literal["none", "zstd", "exponent"] = "none",
        level: int = 1,
        max_state_bytes: int = 1 << 33,
        clock: Callable[[], int] = time.time_ns,  # noqa: TID251 (a default for those who have no clock)
    ) -> None:
        if compression not in ("none", "zstd", "exponent"):
            raise UsageError(f"compression is {compression!r}: use none, zstd or exponent")
        self.base_path = Path(base_path).absolute()
        self.retention = Retention(
            last=max_generations,
            best=keep_best,
            metric=best_metric,
            lowest_is_best=best_is == "lowest",
            every=keep_every,
        )
        self._compression = Compression(compression, level)
        self._max_state_bytes = max_state_bytes
        self._clock = clock
        self._experiments: dict[str, _Experiment] = {}
        self._queue = SaveQueue(self._write, self._finish, max_state_bytes)

    async def save_async(
        self,
        state: object,
        name: str,
        *,
        metrics: Metrics | None = None,
        lineage: Lineage | None = None,
        marks: Collection[str] = (),
        replaceable: bool = False,
    ) -> Generation:
        """Save `state` in the background; the generation, durable on return, with `marks` from the first.

        The state is copied before the first await, unless two saves are pending: then as soon as one is done.
        With `replaceable`, a newer state of the same name may take this one's place while it waits; both
        callers then get the newer generation, whose `replaced` counts and which has the marks of both.

        Raises TypeError (naming the path inside the state), SaveFailed, FolderInUse, UsageError.
        """
        facts = self._facts(name, metrics, lineage, marks)
        return await self._queue.save(Request(state, facts, replaceable))

    def save(
        self,
        state: object,
        name: str,
        *,
        metrics: Metrics | None = None,
        lineage: Lineage | None = None,
        marks: Collection[str] = (),
    ) -> Generation:
        """As `save_async`, for callers without a loop: blocks until durable."""
        facts = self._facts(name, metrics, lineage, marks)
        return self._queue.save_now(Request(state, facts, False))

    def load(self, name: str, generation: int | None = None, as_numpy: bool = False) -> Any:
        """The state of `generation`, or of the newest that verifies (what is skipped is logged as a warning).

        With `as_numpy`, tensors come as numpy arrays and torch is not imported.
        Raises NoGeneration, Damaged (a generation asked for by number), NewerVersion.
        """
        return self.restore(name, generation, as_numpy).state

    async def load_async(self, name: str, generation: int | None = None, as_numpy: bool = False) -> Any:
        """As `load`, in a thread."""
        return await asyncio.to_thread(self.load, name, generation, as_numpy)

    def restore(self, name: str, generation: int | None = None, as_numpy: bool = False) -> Restored:
        """As `load`, with the generation that was loaded and what was skipped."""
        loader = self._experiment(name).loader
        if generation is None:
            restored = loader.newest(as_numpy)
            for fault in restored.skipped:
                _log.warning("%s; loaded %s instead", fault, restored.generation.path)
            return restored
        try:
            return loader.one(generation, as_numpy)
        except FileNotFoundError as error:
            raise NoGeneration(f"{error.filename}: there is no such generation") from error

    def list(self, name: str) -> Generations:
        """All generations, oldest first; of damaged ones `fault` says why."""
        return self._experiment(name).catalogue.survey()

    def experiments(self) -> Names:
        """Names of the folders below `base_path`."""
        if not self.base_path.is_dir():
            return []
        return sorted(entry.name for entry in self.base_path.iterdir() if entry.is_dir())

    def latest(self, name: str) -> Generation:
        """The newest generation of which every byte verifies; NoGeneration if there is none."""
        return self._experiment(name).loader.latest()

    def verify(self, name: str, generation: int | None = None) -> Generations:
        """Read every byte of all generations, or of one; those generations, with their `fault`, if any."""
        chosen = [g for g in self.list(name) if generation in (None, g.number)]
        if generation is not None and not chosen:
            raise NoGeneration(f"{self.base_path / name}: there is no generation {generation}")
        return [self._experiment(name).loader.verify(g) for g in chosen]

    def pin(self, name: str, generation: int) -> None:
        """Keep `generation` until it is unpinned; durable on return, and so are the other marks."""
        self.mark(name, generation, PINNED)

    def unpin(self, name: str, generation: int) -> None:
        """Take the pin off."""
        self.unmark(name, generation, PINNED)

    def mark_promoted(self, name: str, generation: int) -> None:
        """Keep `generation` because it was promoted."""
        self.mark(name, generation, PROMOTED)

    def mark(self, name: str, generation: int, label: str) -> None:
        """Put any mark on `generation`, a word of small letters; whatever bears one is kept."""
        self._experiment(name).store.mark(generation, label)

    def unmark(self, name: str, generation: int, label: str) -> None:
        """Take a mark off; nothing happens if it is not there."""
        self._experiment(name).store.unmark(generation, label)

    def delete(self, name: str, generation: int) -> None:
        """Remove one generation that bears no mark; its number is never used again."""
        self._experiment(name).store.delete(generation)

    def cleanup_old_generations(self, name: str) -> Generations:
        """Remove what retention does not keep; what was removed. Every save does so, once acknowledged."""
        return self._experiment(name).store.prune()

    def close(self) -> None:
        """Wait for saves in flight and let other processes write. The manager cannot save any more."""
        self._queue.close()
        while self._experiments:
            self._experiments.popitem()[1].catalogue.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _facts(
        self, name: str, metrics: Metrics | None, lineage: Lineage | None, marks: Collection[str]
    ) -> SnapshotFacts:
        return SnapshotFacts(
            name=name if name in self._experiments else check_experiment(name),
            created_ns=self._clock(),
            metrics=check_metrics(metrics) if metrics else {},
            lineage=check_lineage(lineage) if lineage else {},
            marks=frozenset(map(check_mark, marks)) if marks else frozenset(),
        )

    def _experiment(self, name: str) -> _Experiment:
        if name not in self._experiments:
            catalogue = Catalogue(self.base_path / check_experiment(name))
            loader = Loader(catalogue, self._max_state_bytes)
            store = Store(catalogue, loader, self.retention)
            self._experiments[name] = _Experiment(catalogue, loader, store)
        return self._experiments[name]

    def _write(self, snapshot: StateSnapshot, facts: SnapshotFacts) -> Generation:
        return self._experiment(facts.name).store.save(snapshot, facts, self._compression)

    def _finish(self, generation: Generation, acknowledge: Callable[[], None]) -> None:
        store = self._experiment(generation.name).store
        with store.changing():
            acknowledge()
            try:
                store.prune(known_good=generation.number)
            except (OSError, ZtbError) as error:
                # The save succeeded and was acknowledged; the next one tries again.
                _log.warning("%s: old generations were not removed: %s", generation.path.parent, error)
