"""Learning in step with the ticks: reproducible, the default of replay."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztb.learning.generations import GenerationInfo, Lineage, ServedPolicy
from ztb.learning.online import OnlineLearner, Transition, Updated
from ztb.learning.sanity import SanityConfig, judge
from ztb.ledger.journal import Journal
from ztb.ledger.records import GenerationRow, UpdateRow
from ztb.runtime.engine import Learning
from ztb.runtime.generation_store import GenerationStore
from ztb.trading.lane import Decided

_RECENT = 256  # observations on which a candidate is compared with the incumbent


class InlineLearning(Learning):
    """Feeds the learner, judges its candidates, swaps the policy, and hands generations to the store."""

    def __init__(
        self,
        policy: ServedPolicy,
        learner: OnlineLearner,
        lineage: Lineage,
        sanity: SanityConfig,
        journal: Journal,
        store: GenerationStore,
        extra_state: Callable[[], dict[str, Any]],
    ) -> None:
        self.policy = policy
        self.learner = learner
        self.lineage = lineage
        self._sanity = sanity
        self._journal = journal
        self._store = store
        self._extra_state = extra_state
        self._recent: deque[NDArray[np.float32]] = deque(maxlen=_RECENT)

    @property
    def generation(self) -> int:  # type: ignore[override]
        return self.policy.info.number

    def completed(
        self, before: Decided, generation: int, reward: float, tainted: bool, after: Decided
    ) -> None:
        """See `Learning`; an update, and with it a new generation, may come of it."""
        action = before.action
        self._recent.append(before.observation)
        transition = Transition(
            before.observation, (action.size, action.timing), float(action.logprob or 0.0),
            float(action.value or 0.0), reward, generation, tainted,
        )  # fmt: skip
        updated = self.learner.add(transition, float(after.action.value or 0.0), self.generation)
        if updated is not None:
            self._record(updated, after)
            if updated.candidate is not None:
                self._consider(updated, after)

    async def settle(self) -> None:
        """Wait while more generations wait to be saved than the store holds."""
        await self._store.settle()

    def _record(self, updated: Updated, after: Decided) -> None:
        stats = updated.stats
        self._journal.append(
            UpdateRow(
                updated.update, after.ts_ns, after.decision, stats.policy_loss, stats.value_loss, stats.entropy,
                stats.approx_kl, stats.clip_fraction, stats.explained_variance, updated.mean_reward,
            )
        )  # fmt: skip

    def _consider(self, updated: Updated, after: Decided) -> None:
        """Judge a candidate; promote it or go on with the incumbent."""
        assert updated.candidate is not None
        incumbent = self.policy.info
        info = self.lineage.make(incumbent.number, updated.candidate)
        verdict = judge(
            self.policy.shape, incumbent.weights, info.weights, np.stack(self._recent), self._sanity
        )
        detail = {"kl": verdict.kl, "entropy_fraction": verdict.entropy_fraction, "updates": updated.update}
        self._journal_generation(info, after.ts_ns, "made", detail)
        if verdict.passed:
            self.lineage.promoted += 1
            self.policy.swap(info)
        else:
            self.lineage.rejected += 1
        event = "promoted" if verdict.passed else "rejected"
        self._journal_generation(info, after.ts_ns, event, {"reason": verdict.reason})
        self._save(info, verdict.passed, {"mean_reward": updated.mean_reward, **detail})

    def _journal_generation(
        self, info: GenerationInfo, ts_ns: int, event: str, detail: dict[str, Any]
    ) -> None:
        self._journal.append(
            GenerationRow(
                info.number, ts_ns, event, info.parent, info.sha256, json.dumps(detail, sort_keys=True)
            )
        )

    def begin(self, ts_ns: int, origin: str) -> None:
        """Journal and save generation 0, made before the first decision; `origin` says how."""
        info = self.policy.info
        self._journal_generation(info, ts_ns, "made", {"origin": origin})
        self._journal_generation(info, ts_ns, "promoted", {"origin": origin})
        self._save(info, True, {})

    def _save(self, info: GenerationInfo, promoted: bool, metrics: dict[str, float]) -> None:
        state = {
            "weights": info.weights,
            "updater": self.learner.updater.state(),
            "updates": self.learner.updates,
            **self._extra_state(),
        }
        self._store.put(info, state, promoted, metrics)
