"""Settings of a learner process, and of its supervision."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

from ztb.learning.candidate_evaluation import CandidateEvaluationConfig
from ztb.learning.process.feed import FeedSize
from ztb.learning.recent import RecentConfig
from ztb.learning.settings import OnlineConfig
from ztb.trading.policy.weights import NetworkShape, parameter_shapes
from ztb.trading.ppo.config import PPOOptions
from ztb.utils.background import BACKGROUND_NICE

_PARAMETER_SETS = 4  # a state holds the weights and two moments of each; one set for growth
_SPARE_BYTES = 1 << 17
_LEAST_TRANSITIONS = 4096


class LearnerSettings(msgspec.Struct, frozen=True):
    """Everything that a learner's results depend on, apart from its state and the transitions."""

    shape: NetworkShape
    ppo: PPOOptions
    online: OnlineConfig
    updates_per_generation: int
    seed: int
    recent: RecentConfig | None = None
    contest: CandidateEvaluationConfig | None = None
    profiles: tuple[PPOOptions, ...] = ()
    """The options that the guidance of a transition may choose from, after `ppo`."""

    def transitions(self) -> int:
        """Capacity of the ring of transitions: four updates' worth, and no fewer than 4096."""
        return max(_LEAST_TRANSITIONS, 4 * self.online.update_every_decisions)

    def feed(self) -> FeedSize | None:
        """Room for ticks and decisions on their way to the window; None where nothing is rolled out."""
        recent, online = self.recent, self.online
        if recent is None:
            return None
        return FeedSize(online.window_decisions, recent.feature_size, online.update_every_decisions)

    def state_bytes(self) -> int:
        """Bytes that a packed state takes at most."""
        parameters = sum(math.prod(size) for size in parameter_shapes(self.shape).values())
        return 4 * parameters * _PARAMETER_SETS + _SPARE_BYTES


@dataclass(frozen=True, slots=True)
class Care:
    """Settings of the process's supervision; all times in seconds.

    A learner that shows no sign of life for `hang_timeout_s` is killed; it has `start_timeout_s` until it is ready,
    since importing takes a while, and `compile_timeout_s` while it says that it compiles: one function may take minutes
    on a busy machine. One that died is restarted after `backoff_first_s`, doubled at each
    death without an update in between, up to `backoff_most_s`. `nice` lowers its priority.
    """

    hang_timeout_s: float = 60.0
    start_timeout_s: float = 180.0
    compile_timeout_s: float = 900.0
    backoff_first_s: float = 0.5
    backoff_most_s: float = 60.0
    nice: int = BACKGROUND_NICE
    watch_every_s: float = 0.05
