"""What becomes of the learner's work, wherever it runs: updates journaled, candidates judged, generations swapped.

The same for a learner in step with the ticks and for one in a process of its own.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.learning.generations import GenerationInfo, Lineage, ServedPolicy
from ztb.learning.online import Transition
from ztb.learning.sanity import SanityConfig, Trial
from ztb.ledger.journal import Journal
from ztb.ledger.records import GenerationRow, NoteRow, UpdateRow
from ztb.runtime.generation_store import GenerationStore
from ztb.trading.lane import Decided
from ztb.trading.policy import Weights
from ztb.trading.ppo.stats import UpdateStats

_RECENT = 256  # observations on which a candidate is compared with the incumbent


@dataclass(frozen=True, slots=True)
class Candidate:
    """Weights that would like to trade, of update `update`, with the updater's state; `facts` are journaled."""

    weights: Weights
    update: int
    mean_reward: float
    updater_state: dict[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


def transition_of(before: Decided, generation: int, reward: float, tainted: bool) -> Transition:
    """The decision `before`, by `generation`, as the learner wants it.

    An action without a log-prob is not the policy's own (a rule overruled it) and is not trained on.
    """
    action = before.action
    return Transition(
        before.observation, (action.size, action.timing), float(action.logprob or 0.0),
        float(action.value or 0.0), reward, generation,
        tainted or action.logprob is None,
    )  # fmt: skip


class Promotion:
    """Judges candidates, swaps the policy, journals, and hands generations to the store."""

    def __init__(
        self,
        policy: ServedPolicy,
        lineage: Lineage,
        sanity: SanityConfig,
        journal: Journal,
        store: GenerationStore,
        extra_state: Callable[[], dict[str, Any]],
    ) -> None:
        self.policy = policy
        self.store = store
        self._lineage = lineage
        self._sanity = sanity
        self._journal = journal
        self._extra_state = extra_state
        self._recent: deque[NDArray[np.float32]] = deque(maxlen=_RECENT)

    def begin(self, ts_ns: int, origin: str, updater_state: dict[str, Any] | None) -> None:
        """Journal and save generation 0, made before the first decision; `origin` says how."""
        info = self.policy.info
        self._journal_generation(info, ts_ns, "made", {"origin": origin})
        self._journal_generation(info, ts_ns, "promoted", {"origin": origin})
        self._save(info, True, {}, updater_state, 0)

    def remember(self, observation: NDArray[np.float32]) -> None:
        """An observation (D,) that was decided on, for the next trials."""
        self._recent.append(observation)

    def record(self, update: int, ts_ns: int, decisions: int, stats: UpdateStats, mean_reward: float) -> None:
        """Journal an update."""
        self._journal.append(
            UpdateRow(
                update, ts_ns, decisions, stats.policy_loss, stats.value_loss, stats.entropy,
                stats.approx_kl, stats.clip_fraction, stats.explained_variance, mean_reward,
            )
        )  # fmt: skip

    def note(self, ts_ns: int, kind: str, detail: Mapping[str, Any]) -> None:
        """Journal something that happened to the learner."""
        self._journal.append(NoteRow(ts_ns, kind, json.dumps(detail, sort_keys=True)))

    def trial(self, candidate: Candidate) -> Trial:
        """A comparison with the generation that serves now, on the observations remembered."""
        shape, incumbent = self.policy.shape, self.policy.info.weights
        return Trial(
            shape, incumbent, candidate.weights, np.stack(self._recent), self._sanity, self.policy.make
        )

    def conclude(self, candidate: Candidate, trial: Trial, ts_ns: int) -> None:
        """The trial is over: promote the candidate, or go on with the incumbent."""
        info = self._lineage.make(self.policy.info.number, candidate.weights)
        verdict = trial.verdict()
        detail = {"kl": verdict.kl, "entropy_fraction": verdict.entropy_fraction, "updates": candidate.update}
        self._journal_generation(info, ts_ns, "made", {**detail, **candidate.facts})
        if verdict.passed:
            self._lineage.promoted += 1
            self.policy.swap(info)
        else:
            self._lineage.rejected += 1
        event = "promoted" if verdict.passed else "rejected"
        self._journal_generation(info, ts_ns, event, {"reason": verdict.reason, **candidate.facts})
        metrics = {"mean_reward": candidate.mean_reward, **detail}
        self._save(info, verdict.passed, metrics, candidate.updater_state, candidate.update)

    def keep(self, weights: Weights, update: int, updater_state: dict[str, Any], ts_ns: int) -> None:
        """Journal and save what was learnt up to `update` as a generation that is not to trade."""
        info = self._lineage.make(self.policy.info.number, weights)
        self._journal_generation(info, ts_ns, "made", {"updates": update, "kept": "memory"})
        self._save(info, False, {}, updater_state, update)

    def _journal_generation(
        self, info: GenerationInfo, ts_ns: int, event: str, detail: Mapping[str, Any]
    ) -> None:
        self._journal.append(
            GenerationRow(
                info.number, ts_ns, event, info.parent, info.sha256, json.dumps(detail, sort_keys=True)
            )
        )

    def _save(
        self,
        info: GenerationInfo,
        promoted: bool,
        metrics: dict[str, float],
        updater_state: dict[str, Any] | None,
        updates: int,
    ) -> None:
        state = {
            "weights": info.weights,
            "updater": updater_state,
            "updates": updates,
            **self._extra_state(),
        }
        self.store.put(info, state, promoted, metrics)
