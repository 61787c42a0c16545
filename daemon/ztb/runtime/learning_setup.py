"""Makes the policy and what teaches it, as configured."""

from __future__ import annotations

import time
from dataclasses import replace

from ztb.errors import ConfigError
from ztb.learning.condition import ConditionDetector
from ztb.learning.generations import Lineage, ServedPolicy
from ztb.learning.guidance import profile_options
from ztb.learning.online import OnlineConfig, OnlineLearner
from ztb.learning.process.settings import Care, LearnerSettings
from ztb.learning.process.supervisor import LearnerProcess
from ztb.learning.process.worker import first_state
from ztb.learning.recent import RecentConfig, RecentRollouts
from ztb.runtime.assembly import Assembly
from ztb.runtime.engine import Learning
from ztb.runtime.guide import PROFILES, Guide
from ztb.runtime.inline_learning import InlineLearning
from ztb.runtime.origin import Origin
from ztb.runtime.process_learning import Pace, ProcessLearning
from ztb.runtime.promotion import Promotion
from ztb.trading.network import build_module
from ztb.trading.observation import ACCOUNT_SIZE
from ztb.trading.policy import NetworkShape
from ztb.trading.strategy import OwnReward

_UPDATES_WAITING = 2  # updates' worth of transitions that a replay lets wait


class Untaught(Learning):
    """A policy that is served and kept, and never learns."""

    def __init__(self, promotion: Promotion) -> None:
        self._promotion = promotion

    def begin(self, ts_ns: int, origin: str) -> None:
        """See `Learning`: generation 0 is journaled and saved, so that every order can be explained."""
        self._promotion.begin(ts_ns, origin, None)


def serve(assembly: Assembly, shape: NetworkShape, lineage: Lineage, origin: Origin) -> ServedPolicy:
    """Generation 0, serving."""
    return ServedPolicy(
        shape, lineage.make(None, origin.weights), assembly.config.strategy.sample, assembly.strategy.network
    )


def learn(assembly: Assembly, origin: Origin, promotion: Promotion, paced: bool) -> Learning:
    """What teaches, inline or in a process as configured; where `paced`, the ticks wait for the process."""
    config = assembly.config
    if config.online.learner == "off":
        return Untaught(promotion)
    online = OnlineConfig(
        config.online.update_every_decisions, config.checkpoint.interval_updates,
        config.online.reward_scale, config.online.max_generation_age, config.online.passes,
        config.online.own_share,
    )  # fmt: skip
    ppo = replace(config.ppo, entropy_coef=config.online.entropy_coef)
    profiles = tuple(profile_options(ppo, name, config.online.profiles[name]) for name in PROFILES)
    settings = LearnerSettings(
        promotion.policy.shape, ppo, online, assembly.seed, _recent(assembly, promotion), profiles
    )
    guide = _guide(config.online.profile, promotion)
    if config.online.learner == "inline":
        return _inline(settings, origin, promotion, assembly.strategy.reward, guide)
    if promotion.policy.make is not None:
        raise ConfigError("a strategy with a network of its own learns inline: use --learner inline or off")
    pace = Pace(_UPDATES_WAITING * online.update_every_decisions) if paced else None
    return in_a_process(settings, origin, promotion, pace, Care(), guide)


def _guide(profile: str, promotion: Promotion) -> Guide:
    """Who chooses the learner's profile, as configured."""
    if profile == "auto":
        return Guide(promotion.note, detector=ConditionDetector())
    return Guide(promotion.note, None if profile == "none" else profile)


def _recent(assembly: Assembly, promotion: Promotion) -> RecentConfig | None:
    """What is rolled out over, as configured; None where nothing is."""
    config, online = assembly.config, assembly.config.online
    if online.own_share >= 1.0:
        return None
    return RecentConfig(
        assembly.instrument, assembly.period_ns, promotion.policy.shape.observation_size - ACCOUNT_SIZE,
        assembly.bridge, config.paper, config.execution.start_cash_quote, online.window_decisions,
        online.rollout_lanes, online.rollout_horizon_decisions,
        config.strategy.name if assembly.strategy.reward else None,
    )  # fmt: skip


def _inline(
    settings: LearnerSettings,
    origin: Origin,
    promotion: Promotion,
    own_reward: OwnReward | None,
    guide: Guide,
) -> InlineLearning:
    # Imported here alone: where the learner has a process of its own, this one never needs torch.
    from ztb.trading.ppo.update import PPOUpdater

    shape, make = settings.shape, promotion.policy.make
    module = build_module(shape, make, settings.seed) if make else None
    updater = PPOUpdater(shape, settings.ppo, origin.weights, settings.seed, module=module)
    updater.load_weights(origin.weights)
    if origin.updater_state is not None:
        updater.load_state(origin.updater_state)
    recent = None
    if settings.recent is not None:
        recent = RecentRollouts(
            shape, settings.recent, settings.seed, settings.online.reward_scale, make, own_reward
        )
    learner = OnlineLearner(updater, settings.online, recent)
    return InlineLearning(promotion, learner, guide, (settings.ppo, *settings.profiles))


def in_a_process(
    settings: LearnerSettings,
    origin: Origin,
    promotion: Promotion,
    pace: Pace | None,
    care: Care,
    guide: Guide | None = None,
) -> ProcessLearning:
    """Learning in a process that is started by `begin`."""
    process = LearnerProcess(
        settings, first_state(origin.updater_state, origin.weights), care, time.monotonic
    )
    every = settings.online.update_every_decisions
    return ProcessLearning(promotion, process, every, care.watch_every_s, time.monotonic, pace, guide)
