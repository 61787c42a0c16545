"""What a way of learning has earned on history that it had not seen: a purged walk-forward before the first decision.

Half of the history is cut into `folds` parts, one after the other; each is traded, greedily and from nothing, by a
policy that was trained as generation 0 is on all that came before the part, less an embargo (López de Prado 2018,
"Advances in Financial Machine Learning", chapter 7). Its growth after costs, block by block, is evidence for generation
0, which is made in the same way and has seen more; nobody is judged on what trained it. What the market did to
everybody is no merit: of each block the growth beyond the market's, times the policy's sensitivity to it, counts
(Jensen 1968, "The performance of mutual funds", equation 8). Where what was trained on less does not grow, that is not
held against what was trained on more: it begins with nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ztb.learning.allocation.evidence import GrowthEvidence
from ztb.learning.gate.shadow import Shadow, ShadowTerms
from ztb.learning.settings import AllocationConfig
from ztb.learning.training import Training, split
from ztb.learning.training_settings import PretrainSettings
from ztb.market.instrument import Instrument
from ztb.market.ticks import Ticks
from ztb.trading.policy.weights import Weights
from ztb.trading.recording import Recording, record

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
    features = settings.features()
    recording = record(
        ticks, instrument, settings.period_ns, settings.clock(), features, settings.normaliser(features.size)
    )
    evidence, n = GrowthEvidence(plan.forgetting), recording.decisions
    length = n // 2 // max(plan.folds, 1)
    if plan.folds == 0 or length < _LEAST_DECISIONS:
        return evidence
    for fold in range(plan.folds):
        begin = n - (plan.folds - fold) * length
        weights = _trained(recording.window(0, begin - EMBARGO_DECISIONS), settings, seed + fold)
        for growth in own_growths(
            recording.window(begin, begin + length), settings, weights, plan.block_decisions
        ):
            evidence.add(growth)
        on_progress((fold + 1) / plan.folds)
    return evidence if evidence.log_e > 0.0 else GrowthEvidence(plan.forgetting)


def _trained(recording: Recording, settings: PretrainSettings, seed: int) -> Weights:
    training = Training(*split(recording, settings), settings, seed)
    while not training.over:
        training.update()
    return training.best.weights


def own_growths(
    recording: Recording, settings: PretrainSettings, weights: Weights, block: int
) -> list[float]:
    """Log growth of a policy's account in each whole block of so many decisions, beyond the market's share in it.

    Up to its ruin, if it is ruined.
    """
    shape = settings.shape(recording.feature_size)
    terms = ShadowTerms(
        shape, settings.bridge, settings.paper, settings.start_cash, settings.sample, settings.network
    )
    generator = np.random.Generator(np.random.PCG64(0))
    uniforms = generator.random((recording.decisions - 1, 1, len(shape.heads)))
    traded = Shadow(terms, weights, np.zeros(1, np.int64)).trade(recording, uniforms)
    equity, mids = traded.equity[::block, 0], recording.shared.mids[::block]
    ruined = np.flatnonzero(equity <= 0.0)
    alive = int(ruined[0]) if ruined.size else len(equity)
    growth, market = np.diff(np.log(equity[:alive])), np.diff(np.log(mids[:alive]))
    if len(growth) < 2 or market.std() == 0.0:
        return []
    sensitivity = np.cov(growth, market)[0, 1] / market.var(ddof=1)
    found: list[float] = np.where(growth == 0.0, 0.0, growth - sensitivity * market).tolist()
    return found
