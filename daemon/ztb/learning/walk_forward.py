"""A purged walk-forward: the growth that a way of learning earned on history that it had not seen.

Half of the history is cut into `folds` parts, one after the other; each is traded, greedily and from nothing, by a
policy that was trained as generation 0 is on all that came before the part, less an embargo (López de Prado 2018,
"Advances in Financial Machine Learning", chapter 7). Its growth after costs, block by block, is evidence for
generation 0, which is made in the same way and has seen more; nobody is judged on what trained it. What the market
did to everybody is no merit: of each block the growth beyond the market's, times the policy's sensitivity to it,
counts (Jensen 1968, "The performance of mutual funds", equation 8). What such policies claim of the forecast in those
parts, and what they pay, is the hurdle against which the forecasts of all of the history are evidence, each made
before its return. Where what was trained on less does not grow, that is not held against what was trained on more: it
begins with nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ztb.features import OnlineForecast
from ztb.features.normaliser import SHRINKAGE
from ztb.learning.allocation.evidence import FloatArray, GrowthEvidence
from ztb.learning.gate.shadow import Shadow, ShadowTrading
from ztb.learning.settings import AllocationConfig
from ztb.learning.training import Training, split
from ztb.learning.training_settings import PretrainSettings
from ztb.market.instrument import Instrument
from ztb.market.ticks import Ticks
from ztb.trading.policy.weights import Weights
from ztb.trading.recording import Recording

_LEAST_DECISIONS = 256
"""Of a fold: what fewer say is worth no training."""


EMBARGO_DECISIONS = 64
"""Before each fold; they train nobody."""


def walk_forward(
    ticks: Ticks,
    instrument: Instrument,
    settings: PretrainSettings,
    plan: AllocationConfig,
    seed: int,
    on_progress: Callable[[float], None],
) -> GrowthEvidence:
    """The evidence for a policy trained as `settings` say, from `ticks` alone; none where they are too few."""
    recording, normaliser = settings.record(ticks, instrument)
    evidence, n = GrowthEvidence(plan.forgetting), recording.decisions
    length = n // 2 // max(plan.folds, 1)
    cost = normaliser.forecast.cost if normaliser.forecast else None
    market = np.zeros((n - 1, 4)) if cost is None else foreseen_of(recording, cost)
    if plan.folds == 0 or length < _LEAST_DECISIONS:
        return evidence
    for fold in range(plan.folds):
        begin = n - (plan.folds - fold) * length
        weights = _trained(recording.window(0, begin - EMBARGO_DECISIONS), settings, seed + fold)
        part = recording.window(begin, begin + length)
        traded = _traded(part, settings, weights)
        for growth in own_growths(part, traded, plan.block_decisions):
            evidence.add(growth)
        if cost is not None:
            _claim(
                evidence,
                market=market[begin : begin + length - 1],
                cost=cost,
                traded=traded,
                exposure_column=part.feature_size,
            )
        on_progress((fold + 1) / plan.folds)
    evidence.learn(market)
    return evidence if evidence.log_e > 0.0 else GrowthEvidence(plan.forgetting)


def _trained(recording: Recording, settings: PretrainSettings, seed: int) -> Weights:
    training = Training(*split(recording, settings), settings, seed)
    for _ in training.run():
        pass
    return training.best.weights


def foreseen_of(recording: Recording, cost: float) -> FloatArray:
    """Forecasts of the return after each decision but the last, and what came: (N - 1, 4) as `Foreseen` has them.

    Mid 0 across a gap. From the recording's own z-scores, and from its first decision on.
    """
    shared = recording.shared
    scores = shared.features[:, :-1] / np.float32(SHRINKAGE)
    forecast = OnlineForecast(scores.shape[1], cost)
    found = np.zeros((len(scores), 4))
    for k, (mid, gap) in enumerate(zip(shared.mids.tolist(), shared.tainted.tolist(), strict=True)):
        foreseen = None if gap else forecast.compare(mid)
        if foreseen is not None:
            found[k] = foreseen[:4]
        forecast.follow(scores[k], mid, gap)
    return found[1:]


def _traded(recording: Recording, settings: PretrainSettings, weights: Weights) -> ShadowTrading:
    """The most probable actions of a policy on a recording, from nothing."""
    terms = settings.shadow_terms(recording.feature_size)
    generator = np.random.Generator(np.random.PCG64(0))
    uniforms = generator.random((recording.decisions - 1, 1, len(terms.shape.heads)))
    return Shadow(terms, weights, np.zeros(1, np.int64)).trade(recording, uniforms)


def _claim(
    evidence: GrowthEvidence, market: FloatArray, cost: float, traded: ShadowTrading, exposure_column: int
) -> None:
    """Let `evidence` know what an account claimed and paid: what it has at a decision, it had since the one before."""
    held = np.append(traded.observations[1:, exposure_column].astype(np.float64), 0.0)
    before, after = traded.equity[:-1, 0], traded.equity[1:, 0]
    alive = (before > 0.0) & (after > 0.0)
    growths = np.log(np.where(alive, after, 1.0) / np.where(alive, before, 1.0))
    evidence.claim(market * alive[:, None], cost, held, growths)


def own_growths(recording: Recording, traded: ShadowTrading, block: int) -> list[float]:
    """Log growth of an account in each whole block of so many decisions, beyond the market's share in it.

    Up to its ruin, if it is ruined.
    """
    equity, mids = traded.equity[::block, 0], recording.shared.mids[::block]
    ruined = np.flatnonzero(equity <= 0.0)
    alive = int(ruined[0]) if ruined.size else len(equity)
    growth, market = np.diff(np.log(equity[:alive])), np.diff(np.log(mids[:alive]))
    if len(growth) < 2 or market.std() == 0.0:
        return []
    sensitivity = np.cov(growth, market)[0, 1] / market.var(ddof=1)
    found: list[float] = np.where(growth == 0.0, 0.0, growth - sensitivity * market).tolist()
    return found
