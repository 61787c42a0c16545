"""Puts a run together from its configuration: features, lanes, gate, policy, learner, ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ztb.config import Config
from ztb.errors import ConfigError
from ztb.execution.paper import PaperExchange
from ztb.execution.risk import RiskLimits
from ztb.features import SHIPPED, FeatureSet, Normaliser
from ztb.learning.allocation import pursuit_band
from ztb.market.instrument import Instrument
from ztb.ports import Broker
from ztb.strategies.loader import StrategyFile, load_strategy
from ztb.trading.decision_clock import DecisionClock
from ztb.trading.floor import TradingFloor
from ztb.trading.lane import Guard, Lane
from ztb.trading.lane_log import LaneListener
from ztb.trading.observation import ACCOUNT_SIZE
from ztb.trading.policy.weights import NetworkShape
from ztb.trading.settings import BridgeConfig
from ztb.trading.sizing import TIMINGS
from ztb.trading.strategy import Policy, StrategyContext

_PLACES = 8
"""For lanes that are no experts of their own or about to leave: the account, hold, frozen, unlearnt, two leaders."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """Everything that the lanes of one run share. `live`: ticks come as they happen, and wait for nobody."""

    config: Config
    instrument: Instrument
    strategy: StrategyFile
    seed: int
    bar_ns: int | None
    period_ns: int
    bridge: BridgeConfig
    live: bool = False

    @property
    def learner(self) -> Literal["off", "inline", "process"]:
        """The place where updates run."""
        wanted = self.config.online.learner
        if wanted != "auto":
            return wanted
        return "process" if self.live and self.strategy.network is None else "inline"

    def features(self) -> FeatureSet:
        """A fresh feature set of the strategy's features."""
        wanted = self.config.features.names or self.strategy.features or SHIPPED
        names = [item for item in wanted if isinstance(item, str)]
        user = [item for item in wanted if not isinstance(item, str)]
        return FeatureSet(self.instrument, self.period_ns, names or SHIPPED, user)

    def normaliser(self, size: int) -> Normaliser:
        """Of `size` features; a policy that learns is told a forecast from them beside them."""
        if not self.strategy.learns:
            return Normaliser(size)
        return Normaliser.with_forecast(size, self.instrument.turnover_cost)

    def clock(self) -> DecisionClock:
        return DecisionClock.of(self.config.decision, self.bar_ns)

    def shape(self, feature_size: int) -> NetworkShape:
        """The network of the shipped kind for this run's observations and actions."""
        ppo = self.config.ppo
        return NetworkShape(
            feature_size + ACCOUNT_SIZE, (len(self.bridge.ladder), TIMINGS), ppo.hidden, ppo.shared_trunk
        )

    def floor(self, feature_size: int, names: tuple[str, ...]) -> TradingFloor:
        """The floor on which the lanes of a run trade: room for the account, its comparisons, and all experts.

        `names`: of the features, for strategies.
        """
        allocation = self.config.allocation
        places = len(allocation.rules) + allocation.library + _PLACES if self.allocates else _PLACES
        shipped = self.strategy.learns and self.strategy.network is None
        return TradingFloor(
            instrument=self.instrument,
            bridge=self.bridge,
            feature_size=feature_size,
            period_ns=self.period_ns,
            seed=self.seed,
            places=places,
            network=self.shape(feature_size) if shipped else None,
            names=names,
        )

    def lane(
        self,
        floor: TradingFloor,
        strategy: StrategyFile,
        policy: Policy | None,
        broker: Broker,
        listener: LaneListener | None = None,
        limits: RiskLimits | None = None,
        guard: Guard | None = None,
    ) -> Lane:
        """A lane on `broker`, within `limits` or the configured ones; all lanes of a run draw the same numbers."""
        config = self.config
        own = strategy.name == self.strategy.name
        options = config.strategy.options if own else {}
        context = StrategyContext(
            symbol=self.instrument.symbol,
            ladder=self.bridge.ladder,
            seed=self.seed,
            options=options,
            policy=policy,
        )
        return Lane(
            floor=floor,
            broker=broker,
            limits=limits or config.risk,
            strategy=strategy.make(context),
            listener=listener,
            guard=guard,
        )

    @property
    def allocates(self) -> bool:
        """True if the account follows experts."""
        return self.strategy.learns and self.config.allocation.by == "evidence"

    def rules(self) -> list[StrategyFile]:
        """The strategies that are experts. ConfigError: there is none of a name, it learns, or it is named twice."""
        names = self.config.allocation.rules
        if len(set(names)) < len(names):
            raise ConfigError(f"allocation.rules: a strategy is named twice: {', '.join(names)}")
        files = [load_strategy(name) for name in names]
        learning = [file.name for file in files if file.learns]
        if learning:
            raise ConfigError(f"allocation.rules: {learning[0]} learns; only rules are experts of their own")
        return files

    @property
    def pursuit_band(self) -> float:
        """By how much the account's target moves, or not at all, as a fraction of equity."""
        return pursuit_band(self.bridge.band_fraction, self.instrument.turnover_cost)

    def exchange(self, cash: float) -> PaperExchange:
        """A paper exchange with `cash` quote currency."""
        return PaperExchange(self.instrument, self.config.paper, self.seed, cash)


def assemble(
    config: Config, instrument: Instrument, bar_ns: int | None, seed: int, live: bool = False
) -> Assembly:
    """Resolve what the configuration leaves open from the data. ConfigError if the two do not go together."""
    *_, period_ns = config.decision.clock_terms(bar_ns)
    strategy = load_strategy(config.strategy.name)
    bridge = BridgeConfig.of(config.decision.ladder_of(instrument), config.execution, config.online)
    return Assembly(
        config=config,
        instrument=instrument,
        strategy=strategy,
        seed=seed,
        bar_ns=bar_ns,
        period_ns=period_ns,
        bridge=bridge,
        live=live,
    )


def hold_strategy() -> StrategyFile:
    """The yardstick."""
    return load_strategy("hold", shipped=True)


def describe(instrument: Instrument) -> Mapping[str, Any]:
    """The instrument as JSON-able facts."""
    return {
        "symbol": instrument.symbol,
        "venue": instrument.venue,
        "tick_size": str(instrument.tick_size),
        "lot_size": str(instrument.lot_size),
        "min_notional": str(instrument.min_notional),
        "min_quantity": str(instrument.min_quantity),
        "maker_fee": str(instrument.maker_fee),
        "taker_fee": str(instrument.taker_fee),
        "spread_bps": instrument.spread_bps,
        "short": instrument.short,
        "inferred": list(instrument.inferred),
    }
