"""Settings of training on recorded history: what the policy is told, how it trades, how it learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ztb.execution.paper_config import PaperConfig
from ztb.features import FeatureSet, Normaliser
from ztb.learning.gate.shadow import ShadowTerms
from ztb.learning.settings import OnlineConfig
from ztb.market.instrument import Instrument
from ztb.market.ticks import Ticks
from ztb.trading.decision_clock import DecisionClock
from ztb.trading.observation import ACCOUNT_SIZE
from ztb.trading.policy.network import MakeNetwork
from ztb.trading.policy.weights import NetworkShape
from ztb.trading.ppo.config import PPOOptions
from ztb.trading.recording import Recording, record
from ztb.trading.settings import BridgeConfig
from ztb.trading.sizing import TIMINGS
from ztb.trading.strategy import OwnReward


@dataclass(frozen=True, slots=True)
class PretrainSettings:
    """Features, trading and PPO of a training. The factories give each a fresh one."""

    features: Callable[[], FeatureSet]
    normaliser: Callable[[int], Normaliser]
    clock: Callable[[], DecisionClock]
    period_ns: int
    bridge: BridgeConfig
    paper: PaperConfig
    ppo: PPOOptions
    start_cash: float
    online: OnlineConfig
    """Its reward scale, and how much luck counts."""
    sample: bool = False
    """True if the policy's actions are drawn where it serves; the held-out part is traded as it will serve."""
    network: MakeNetwork | None = None
    own_reward: OwnReward | None = None
    updates: int = 48
    validate_every: int = 4
    """Updates between two looks at the held-out part; the last update is always followed by one."""
    validation_fraction: float = 0.2
    """Of the decisions, the last, never trained on."""
    validation_from_ns: int | None = None
    """The first moment held out, instead of a fraction."""
    validation_lanes: int = 16
    """Paths through the held-out part, each with the same random numbers every time."""
    patience: int = 0
    """Looks at the held-out part without a better one that end the training early; 0: never."""
    device: str = "cpu"
    """Device that the update runs on, as torch names it."""

    def shape(self, feature_size: int) -> NetworkShape:
        """The network that is trained, for `feature_size` features."""
        heads = (len(self.bridge.ladder), TIMINGS)
        return NetworkShape(feature_size + ACCOUNT_SIZE, heads, self.ppo.hidden, self.ppo.shared_trunk)

    def record(self, ticks: Ticks, instrument: Instrument) -> tuple[Recording, Normaliser]:
        """Features and decisions of `ticks`, and what normalised them, as it is after the last."""
        features = self.features()
        normaliser = self.normaliser(features.size)
        recording = record(
            ticks=ticks,
            instrument=instrument,
            period_ns=self.period_ns,
            clock=self.clock(),
            features=features,
            normaliser=normaliser,
        )
        return recording, normaliser

    def shadow_terms(self, feature_size: int) -> ShadowTerms:
        """On what terms an account nobody pays for trades as this training's do, with `feature_size` features."""
        return ShadowTerms(
            shape=self.shape(feature_size),
            bridge=self.bridge,
            paper=self.paper,
            start_cash=self.start_cash,
            sample=self.sample,
            make=self.network,
            own_reward=self.own_reward,
        )
