"""Makes the policy and what teaches it, as configured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ztb.learning.generations import Lineage, ServedPolicy
from ztb.learning.online import OnlineConfig, OnlineLearner
from ztb.learning.sanity import SanityConfig
from ztb.ledger.journal import Journal
from ztb.runtime.assembly import Assembly
from ztb.runtime.generation_store import GenerationStore
from ztb.runtime.inline_learning import InlineLearning
from ztb.runtime.origin import Origin
from ztb.trading.policy import NetworkShape
from ztb.trading.ppo.update import PPOUpdater


def serve(assembly: Assembly, shape: NetworkShape, lineage: Lineage, origin: Origin) -> ServedPolicy:
    """Generation 0, serving."""
    return ServedPolicy(shape, lineage.make(None, origin.weights), assembly.config.strategy.sample)


def learn_inline(
    assembly: Assembly,
    policy: ServedPolicy,
    lineage: Lineage,
    origin: Origin,
    journal: Journal,
    store: GenerationStore,
    extra_state: Callable[[], dict[str, Any]],
) -> InlineLearning:
    """Learning in step with the ticks."""
    config = assembly.config
    updater = PPOUpdater(policy.shape, config.ppo, origin.weights, assembly.seed)
    if origin.updater_state is not None:
        updater.load_state(origin.updater_state)
    online = OnlineConfig(
        config.online.update_every_decisions, config.checkpoint.interval_updates,
        config.online.reward_scale, config.online.max_generation_age,
    )  # fmt: skip
    sanity = SanityConfig(config.gate.max_kl, config.gate.min_entropy_fraction)
    return InlineLearning(
        policy, OnlineLearner(updater, online), lineage, sanity, journal, store, extra_state
    )
