"""A decision made again from what lies on disk: the generation's weights, the observation, the random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.errors import NotFoundError
from ztb.ledger.records import DecisionRow
from ztb.ledger.run_directory import RunDirectory
from ztb.strategies.loader import load_strategy
from ztb.trading.policy.network import new_serving
from ztb.trading.policy.serving import PolicyDecision
from ztb.trading.policy.weights import NetworkShape, Weights, weights_sha256
from ztb.trading.sizing import TIMINGS
from ztb.utils import CheckpointManager


@dataclass(frozen=True, slots=True)
class Recomputation:
    """The same decision again. Each `same_…` is exact equality, bit for bit, with what the journal says.

    `probabilities`: of each target and of each timing. `checkpoint`: the file's number, which need not be the
    generation's.
    """

    checkpoint: int
    action_size: int
    action_timing: int
    logprob: float
    value: float
    probabilities: list[list[float]]
    same_weights: bool
    same_action: bool
    same_logprob: bool
    same_value: bool

    @property
    def agrees(self) -> bool:
        """True if everything is the same."""
        return self.same_weights and self.same_action and self.same_logprob and self.same_value


def recompute(
    directory: RunDirectory, manifest: dict[str, Any], decision: DecisionRow, sha256: str | None
) -> Recomputation:
    """Serve `decision` again; `sha256` is what the journal says of its generation's weights, if it does.

    Raises what `CheckpointManager` raises (no such generation, damaged) and ConfigError (weights of another
    network).
    """
    checkpoint, weights = load_weights(directory, decision.generation)
    config = manifest["config"]
    observation = observation_of(decision)
    heads, ppo = (len(manifest["ladder"]), TIMINGS), config["ppo"]
    shape = NetworkShape(len(observation), heads, tuple(ppo["hidden"]), ppo["shared_trunk"])
    policy = new_serving(shape, weights, load_strategy(config["strategy"]["name"]).network)
    choice = policy.decide(observation, uniforms_of(decision), deterministic=not config["strategy"]["sample"])
    same_weights = sha256 is None or weights_sha256(weights) == sha256
    return _compare(
        decision=decision,
        choice=choice,
        probabilities=policy.probabilities(observation),
        checkpoint=checkpoint,
        same_weights=same_weights,
    )


def observation_of(decision: DecisionRow) -> NDArray[np.float32]:
    """The observation that the policy saw, (D,) float32."""
    return np.frombuffer(decision.observation, np.float32)


def uniforms_of(decision: DecisionRow) -> NDArray[np.float64]:
    """The random numbers in [0, 1) that drew the action, one a head."""
    return np.frombuffer(decision.uniforms, np.float64)


def kept_generations(directory: RunDirectory) -> dict[int, tuple[str, int]]:
    """Experiment and number of the file of each generation of the run that was kept, by its lineage."""
    manager = CheckpointManager(directory.checkpoints)
    return {
        saved.lineage["generation"]: (name, saved.number)
        for name in manager.experiments()
        for saved in manager.list(name)
        if "generation" in saved.lineage
    }


def load_weights(directory: RunDirectory, generation: int) -> tuple[int, Weights]:
    """(number of the file, weights) of a generation of the run."""
    kept = kept_generations(directory)
    if generation not in kept:
        others = f"those of {', '.join(map(str, sorted(kept)))} were" if kept else "nor those of any other"
        raise NotFoundError(
            f"{directory.checkpoints}: the weights of generation {generation} were not kept; {others} "
            "(checkpoint.max_generations)"
        )
    name, number = kept[generation]
    return number, CheckpointManager(directory.checkpoints).load(name, number, as_numpy=True)["weights"]


def _compare(
    decision: DecisionRow,
    choice: PolicyDecision,
    probabilities: list[NDArray[np.float64]],
    checkpoint: int,
    same_weights: bool,
) -> Recomputation:
    size, timing = choice.actions
    return Recomputation(
        checkpoint=checkpoint,
        action_size=size,
        action_timing=timing,
        logprob=choice.logprob,
        value=choice.value,
        probabilities=[head.tolist() for head in probabilities],
        same_weights=same_weights,
        same_action=(size, timing) == (decision.action_size, decision.action_timing),
        same_logprob=choice.logprob == decision.logprob,
        same_value=choice.value == decision.value,
    )
