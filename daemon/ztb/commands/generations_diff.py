"""`ztb generations diff`: what sets two generations of a run apart."""

from __future__ import annotations

import contextlib
import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ztb.commands.generations import print_facts
from ztb.errors import NotFoundError
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import DecisionRow, GenerationRow
from ztb.ledger.run_directory import RunDirectory
from ztb.strategies.loader import load_strategy
from ztb.telemetry.why.explanation import ancestors
from ztb.telemetry.why.recomputation import kept_generations, load_weights, observation_of
from ztb.trading.policy.categorical import divergence
from ztb.trading.policy.network import new_evaluator
from ztb.trading.policy.weights import NetworkShape, Weights
from ztb.trading.sizing import TIMINGS

if TYPE_CHECKING:
    from rich.table import Table

_OBSERVATIONS = 1024


def diff(run: Path, first: int, second: int | None, as_json: bool) -> int:
    """Print lineage, the gate's figures, the distance of the weights and the divergence on recent observations.

    `second` None: the newest that was kept.
    UsageError: no run, or a generation that was not kept.
    """
    directory = RunDirectory(run)
    if not directory.journal.exists():
        raise NotFoundError(f"{run}: no run directory: there is no {directory.journal.name} in it")
    second = max(kept_generations(directory), default=0) if second is None else second
    weights = [load_weights(directory, number)[1] for number in (first, second)]
    reader = JournalReader(directory.journal)
    with contextlib.closing(reader):
        rows = list(reader.rows(GenerationRow))
        seen = _observations(reader)
    lines = [[one.generation for one in ancestors(rows, number)] for number in (first, second)]
    facts: dict[str, Any] = {
        "generations": [first, second],
        "lineage": lines,
        "common_ancestor": next((number for number in lines[0] if number in lines[1]), None),
        "figures": [_figures(rows, number) for number in (first, second)],
        **_distance(*weights),
        **_divergence(directory, weights, seen),
    }
    print_facts(facts, _table(facts), as_json)
    return 0


def _observations(reader: JournalReader) -> NDArray[np.float32]:
    """(N, D) of the run's last decisions."""
    count = sum(1 for _ in reader.rows(DecisionRow))
    recent = islice(reader.rows(DecisionRow), max(0, count - _OBSERVATIONS), None)
    found = [observation_of(row) for row in recent if row.logprob is not None]
    return np.stack(found) if found else np.zeros((0, 0), np.float32)


def _figures(rows: list[GenerationRow], number: int) -> dict[str, Any]:
    """Everything that the journal says of a generation."""
    figures: dict[str, Any] = {}
    for row in rows:
        if row.generation == number:
            figures |= {"event": row.event} | json.loads(row.detail or "{}")
    figures.pop("course", None)
    return figures


def _distance(one: Weights, other: Weights) -> dict[str, float | None]:
    """Euclidean, and relative to the first's length; None of networks that cannot be compared."""
    if {k: v.shape for k, v in one.items()} != {k: v.shape for k, v in other.items()}:
        return {"weights_distance": None, "weights_relative": None}
    apart = np.sqrt(sum(float(np.sum((other[name] - one[name]) ** 2, dtype=np.float64)) for name in one))
    length = np.sqrt(sum(float(np.sum(array**2, dtype=np.float64)) for array in one.values()))
    return {"weights_distance": float(apart), "weights_relative": float(apart / length) if length else None}


def _divergence(
    directory: RunDirectory, weights: list[Weights], seen: NDArray[np.float32]
) -> dict[str, float | int | None]:
    """Mean KL of the second from the first over what the run saw last, nats."""
    if len(seen) == 0:
        return {"observations": 0, "kl": None}
    manifest = directory.read_json(directory.manifest)
    ppo, heads = manifest["config"]["ppo"], (len(manifest["ladder"]), TIMINGS)
    shape = NetworkShape(seen.shape[1], heads, tuple(ppo["hidden"]), ppo["shared_trunk"])
    make = load_strategy(manifest["config"]["strategy"]["name"]).network
    logits = [new_evaluator(shape, each, make, len(seen))(seen)[:, :-1].copy() for each in weights]
    return {"observations": len(seen), "kl": divergence(logits[0], logits[1], heads).kl}


def _table(facts: dict[str, Any]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    first, second = facts["generations"]
    table = Table(box=None, pad_edge=False)
    for title in ("", f"generation {first}", f"generation {second}"):
        table.add_column(title, overflow="fold")
    table.add_row("lineage", *(" ← ".join(map(str, line)) for line in facts["lineage"]))
    one, other = facts["figures"]
    for name in dict.fromkeys((*one, *other)):
        table.add_row(name, *(escape(_shown(figures.get(name))) for figures in (one, other)))
    for name in ("common_ancestor", "weights_distance", "weights_relative", "kl", "observations"):
        table.add_row(name, _shown(facts[name]))
    return table


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
