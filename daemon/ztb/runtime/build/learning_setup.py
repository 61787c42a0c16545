"""Makes the policy and what teaches it, as configured."""

from __future__ import annotations

import time
from dataclasses import replace

from ztb.config import Config
from ztb.errors import ConfigError
from ztb.learning.candidate_evaluation import CandidateEvaluation, CandidateEvaluationConfig
from ztb.learning.gate.candidate import Candidate
from ztb.learning.generations import Lineage, ServedPolicy
from ztb.learning.online import OnlineLearner
from ztb.learning.process.settings import Care, LearnerSettings
from ztb.learning.process.supervisor import LearnerProcess
from ztb.learning.process.worker import first_state
from ztb.learning.recent import RecentConfig, RecentRollouts
from ztb.learning.regime import RegimeDetector, profile_options
from ztb.learning.service.base import Learning
from ztb.learning.service.hyperparameter_schedule import PROFILES, HyperparameterSchedule, Note
from ztb.learning.service.initial_policy import InitialPolicy
from ztb.learning.service.inline import InlineLearning
from ztb.learning.service.process import Pace, ProcessLearning
from ztb.learning.service.promotion import Promotion
from ztb.runtime.build.assembly import Assembly
from ztb.trading.observation import ACCOUNT_SIZE
from ztb.trading.policy.weights import NetworkShape

_UPDATES_WAITING = 2  # updates' worth of transitions that a replay lets wait


class NoLearning(Learning):
    """A policy that is served and kept, and never learns."""

    def __init__(self, promotion: Promotion) -> None:
        self._promotion = promotion

    def begin(self, ts_ns: int, origin: str) -> None:
        """See `Learning`: generation 0 is journaled and saved, so that every order can be explained."""
        self._promotion.begin(ts_ns, origin)


def serve(assembly: Assembly, shape: NetworkShape, lineage: Lineage, origin: InitialPolicy) -> ServedPolicy:
    """Generation 0, or the one that a run which is gone on with had come to, serving."""
    info = origin.served or lineage.make(None, origin.weights)
    return ServedPolicy(shape, info, assembly.config.strategy.sample, assembly.strategy.network)


def learn(
    assembly: Assembly,
    origin: InitialPolicy,
    promotion: Promotion,
    schema_hash: str,
    paced: bool,
    made: int = 0,
) -> Learning:
    """The learner, inline or in a process as configured; where `paced`, the ticks wait for the process.

    `schema_hash`: of the features that generations are trained to see. `made`: updates of earlier starts, after which
    ours are numbered.
    """
    config = assembly.config
    if assembly.learner == "off":
        return NoLearning(promotion)
    settings = learner_settings(assembly, promotion.policy.shape, schema_hash)
    guide = guide_of(config.online.profile, promotion.note)
    if assembly.learner == "inline":
        return _inline(assembly, settings, origin, promotion, guide, made)
    if promotion.policy.make is not None:
        raise ConfigError("a strategy with a network of its own learns inline: use --learner inline or off")
    pace = Pace(_UPDATES_WAITING * settings.online.update_every_decisions) if paced else None
    return in_a_process(
        settings=settings, origin=origin, promotion=promotion, pace=pace, care=Care(), guide=guide, made=made
    )


def learner_settings(assembly: Assembly, shape: NetworkShape, schema_hash: str) -> LearnerSettings:
    """Everything that a learner's results depend on, as configured, apart from what it is told."""
    config = assembly.config
    if config.online.own_share >= 1.0 and not config.strategy.sample:
        raise ConfigError(
            "online.own_share: 1 learns from own transitions alone, and there are none to learn from where no action "
            "is drawn; give less, or set strategy.sample"
        )
    # What was not drawn says nothing of what else might have been done: it cannot be learnt from.
    online = config.online if config.strategy.sample else replace(config.online, own_share=0.0)
    ppo = replace(
        config.ppo,
        learning_rate=online.learning_rate,
        anneal_learning_rate=False,
        entropy_coef=online.entropy_coef,
    )
    profiles = tuple(profile_options(ppo, name, config.online.profiles.get(name, {})) for name in PROFILES)
    return LearnerSettings(
        shape=shape,
        ppo=ppo,
        online=online,
        updates_per_generation=config.checkpoint.interval_updates,
        seed=assembly.seed,
        recent=_recent(assembly, shape),
        contest=_contest(config, schema_hash),
        profiles=profiles,
    )


def guide_of(profile: str, note: Note) -> HyperparameterSchedule:
    """The schedule that chooses the learner's profile, as configured."""
    if profile == "auto":
        return HyperparameterSchedule(note, detector=RegimeDetector())
    return HyperparameterSchedule(note, None if profile == "none" else profile)


def _contest(config: Config, schema_hash: str) -> CandidateEvaluationConfig:
    """The evaluation of candidates, as configured."""
    return CandidateEvaluationConfig(config.gate, schema_hash, config.strategy.sample)


def _recent(assembly: Assembly, shape: NetworkShape) -> RecentConfig:
    """The recent past that the policy is rolled out over and candidates are judged on, as configured."""
    config = assembly.config
    return RecentConfig(
        instrument=assembly.instrument,
        period_ns=assembly.period_ns,
        feature_size=shape.observation_size - ACCOUNT_SIZE,
        bridge=assembly.bridge,
        paper=config.paper,
        start_cash=config.execution.start_cash_quote,
        strategy=config.strategy.name if assembly.strategy.reward else None,
    )


def recent_rollouts(assembly: Assembly, settings: LearnerSettings) -> RecentRollouts:
    """Rollouts on an empty window, for a learner in this process."""
    return RecentRollouts(
        shape=settings.shape,
        config=_recent(assembly, settings.shape),
        online=settings.online,
        seed=settings.seed,
        make=assembly.strategy.network,
        own_reward=assembly.strategy.reward,
    )


def online_learner(
    assembly: Assembly, settings: LearnerSettings, origin: InitialPolicy, recent: RecentRollouts, made: int
) -> OnlineLearner:
    """A learner in this process that begins with `origin`, its updates numbered after `made`."""
    # Imported here alone: where the learner has a process of its own, this one never needs torch.
    from ztb.trading.policy.torch_network import build_module
    from ztb.trading.ppo.update import PPOUpdater

    shape, make = settings.shape, assembly.strategy.network
    module = build_module(shape, make, settings.seed) if make else None
    updater = PPOUpdater(shape, settings.ppo, origin.weights, settings.seed, module=module)
    updater.load_weights(origin.weights)
    if origin.updater_state is not None:
        updater.load_state(origin.updater_state)
    return OnlineLearner(updater, settings.online, settings.updates_per_generation, recent, updates=made)


def _inline(
    assembly: Assembly,
    settings: LearnerSettings,
    origin: InitialPolicy,
    promotion: Promotion,
    guide: HyperparameterSchedule,
    made: int,
) -> InlineLearning:
    recent = recent_rollouts(assembly, settings)
    learner = online_learner(assembly, settings, origin, recent, made)
    contest = _contest(assembly.config, settings.contest.schema if settings.contest else "")
    gate = CandidateEvaluation(
        config=contest,
        recent=recent,
        shape=settings.shape,
        seed=settings.seed,
        serving=Candidate(0, origin.weights),
    )
    return InlineLearning(
        promotion=promotion,
        learner=learner,
        contest=gate,
        guide=guide,
        options=(settings.ppo, *settings.profiles),
    )


def in_a_process(
    settings: LearnerSettings,
    origin: InitialPolicy,
    promotion: Promotion,
    pace: Pace | None,
    care: Care,
    guide: HyperparameterSchedule | None = None,
    made: int = 0,
) -> ProcessLearning:
    """Learning in a process that is started by `begin`."""
    first = first_state(origin.updater_state, origin.weights, made)
    process = LearnerProcess(settings, first, care, time.monotonic)
    process.serve(Candidate(0, origin.weights))
    every = settings.online.update_every_decisions
    return ProcessLearning(
        promotion=promotion,
        process=process,
        least_waiting=every,
        watch_every_s=care.watch_every_s,
        clock=time.monotonic,
        pace=pace,
        guide=guide,
        updater_state=origin.updater_state,
        updates=made,
    )
