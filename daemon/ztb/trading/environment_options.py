"""Options of an environment, and the recorded history that it is made on."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from ztb.errors import ConfigError, DataError
from ztb.execution.paper_config import PaperConfig
from ztb.features import SHIPPED, FeatureSet, Normaliser
from ztb.market.history import SHIPPED as SHIPPED_HISTORY
from ztb.market.history import open_history
from ztb.market.instrument import Instrument
from ztb.market.ticks import BAR, TICK, Ticks, join_ticks
from ztb.trading.decision_clock import DecisionClock
from ztb.trading.episodes import Episodes
from ztb.trading.recording import Recording, record
from ztb.trading.rewards import RewardKind
from ztb.trading.settings import BridgeConfig, DecisionConfig, RewardConfig, SizingConfig
from ztb.trading.simulation import Simulation

TickSource = Ticks | str | Path | Sequence[str | Path] | None
"""Rows of TICK; a file or folder of recorded history, or several; None: the history that is shipped."""


@dataclass(frozen=True, kw_only=True)
class EnvironmentOptions(SizingConfig, RewardConfig):
    """Options of the environments, those of sizing and reward among them. ConfigError: one out of its bounds."""

    features: tuple[str, ...] = SHIPPED
    """Names of the features observed."""
    decide_every: Literal["auto", "bar", "ticks", "time"] = "auto"
    """Moments of decisions; auto: at each bar, or every `interval_ms` on other ticks."""
    decision_ticks: int = 1000
    """Ticks between decisions, for `decide_every="ticks"`."""
    interval_ms: int = 10_000
    """Milliseconds of event time between decisions; without bars, also the features' period."""

    ladder: tuple[float, ...] | None = None
    """Target exposures, rising, 0 among them; None: 0 to 1 in quarters, -1 to 1 in halves where shorting exists."""

    paper: PaperConfig = field(default_factory=PaperConfig)
    """Latencies, queues, depth and faults of the simulated venue. Fees and spread are the instrument's."""
    start_cash: float = 10_000.0
    """Quote currency."""
    episode_decisions: int | None = None
    """Decisions an episode; None: to the end of the history."""
    random_start: bool = False
    """Begin at a decision drawn uniformly among those that leave room for the whole episode; else at the first."""
    random_account: bool = False
    """Begin with a position: a rung of the ladder drawn uniformly, entered up to 50 decisions before."""
    most_drawdown: float = 0.0
    """Begin in a drawdown, drawn uniformly up to this share of what the account was once worth."""
    fee_factors: tuple[float, float] = (1.0, 1.0)
    """Fees are multiplied by a number drawn uniformly between these, for each episode."""
    latency_factors: tuple[float, float] = (1.0, 1.0)
    """Latencies are multiplied by a number drawn uniformly between these, for each episode."""

    def __post_init__(self) -> None:
        if self.reward.upper() not in RewardKind.__members__:
            raise ConfigError(f"reward is {self.reward!r}: give log_return, differential_sharpe or sortino")
        if self.decide_every not in ("auto", "bar", "ticks", "time"):
            raise ConfigError(f"decide_every is {self.decide_every!r}: give auto, bar, ticks or time")
        for name in ("decision_ticks", "interval_ms", "start_cash", "reward_rate"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must be above 0")
        for name in ("band_fraction", "cost_reserve_fraction", "drawdown_weight", "turnover_weight"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}: it must not be below 0")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """From named options. ConfigError: an unknown name, with the nearest known one."""
        known = [item.name for item in fields(cls)]
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                remedy = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
                raise ConfigError(f"environment: no option is named {name!r}; {remedy}")
        return cls(**options)

    def bridge(self, instrument: Instrument) -> BridgeConfig:
        """The bridge between actions and orders of `instrument`. ConfigError: a ladder that cannot be traded."""
        return BridgeConfig.of(self.decision.ladder_of(instrument), self, self)

    @property
    def decision(self) -> DecisionConfig:
        """Moments of decisions, and the exposures they choose between."""
        return DecisionConfig(
            every=self.decide_every,
            ticks=self.decision_ticks,
            interval_ms=self.interval_ms,
            ladder=self.ladder,
        )

    def episodes(self) -> Episodes:
        """The length of episodes, and what is drawn at the beginning of each."""
        return Episodes(
            length=self.episode_decisions,
            random_start=self.random_start,
            random_account=self.random_account,
            most_drawdown=self.most_drawdown,
            fee_factors=self.fee_factors,
            latency_factors=self.latency_factors,
        )


def make_simulation(
    ticks: TickSource, instrument: Instrument | None, options: EnvironmentOptions, lanes: int
) -> Simulation:
    """A simulation of `lanes` lanes. DataError: unusable or too short history; ConfigError: see the options."""
    recording = _recording(ticks, instrument, options)
    bridge = options.bridge(recording.instrument)
    return Simulation(
        recording=recording,
        bridge=bridge,
        paper=options.paper,
        start_cash=options.start_cash,
        episodes=options.episodes(),
        num_lanes=lanes,
    )


def _recording(ticks: TickSource, instrument: Instrument | None, options: EnvironmentOptions) -> Recording:
    if isinstance(ticks, np.ndarray):
        if instrument is None or ticks.dtype != TICK or len(ticks) == 0:
            raise ConfigError("ticks as an array: give one or more rows of dtype TICK, and their instrument")
        return _record(ticks, instrument, options)
    if instrument is not None:
        raise ConfigError("an instrument is given with ticks as an array alone; files have their own")
    given = [SHIPPED_HISTORY] if ticks is None else [ticks] if isinstance(ticks, str | Path) else ticks
    paths = tuple(Path(path) for path in given)
    return _recording_of_files(
        paths=paths,
        stamps=tuple(map(_stamp, paths)),
        features=options.features,
        decide_every=options.decide_every,
        decision_ticks=options.decision_ticks,
        interval_ms=options.interval_ms,
    )


def _stamp(path: Path) -> tuple[int, int]:
    """Changes when the file does."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder: check the path")
    found = path.stat()
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=2)
def _recording_of_files(
    paths: tuple[Path, ...],
    stamps: tuple[tuple[int, int], ...],
    features: tuple[str, ...],
    decide_every: Literal["auto", "bar", "ticks", "time"],
    decision_ticks: int,
    interval_ms: int,
) -> Recording:
    """Environments on the same files share one recording, which never changes."""
    history = open_history(paths)
    blocks = list(history.blocks())
    if not blocks:
        raise DataError(f"{', '.join(map(str, paths))}: no ticks in it")
    options = EnvironmentOptions(
        features=features, decide_every=decide_every, decision_ticks=decision_ticks, interval_ms=interval_ms
    )
    return _record(join_ticks(blocks), history.instrument, options)


def _record(ticks: Ticks, instrument: Instrument, options: EnvironmentOptions) -> Recording:
    bar_ns = int(ticks["span_ns"][0]) if ticks["kind"][0] == BAR else None
    *_, period_ns = options.decision.clock_terms(bar_ns)
    features = FeatureSet(instrument, period_ns, options.features)
    return record(
        ticks=ticks,
        instrument=instrument,
        period_ns=period_ns,
        clock=DecisionClock.of(options.decision, bar_ns),
        features=features,
        normaliser=Normaliser.with_forecast(features.size, instrument.turnover_cost),
    )
