"""From a request to a run, in every mode: its context, its one id, its instrument, and where generation 0 is from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ztb.config import Config, MarketSection, config_hash
from ztb.execution.risk import RiskLimits
from ztb.learning.generations import ServedPolicy
from ztb.learning.service.base import Learning
from ztb.learning.service.initial_policy import InitialPolicy, load_origin, random_origin
from ztb.ledger.capital import Opening
from ztb.ledger.run_directory import RunDirectory
from ztb.market.instrument import Instrument
from ztb.ports import Broker
from ztb.runtime.broadcast import Broadcast
from ztb.runtime.build.assembly import Assembly
from ztb.runtime.decision_log import RunProgress
from ztb.runtime.recovery.past import Past
from ztb.runtime.recovery.resuming import resumed_origin
from ztb.trading.lane import Guard
from ztb.trading.policy.weights import NetworkShape
from ztb.utils.installation import code_version

MakeInitialPolicy = Callable[[NetworkShape, str], InitialPolicy]
"""Generation 0, or what serves in its place, for a network's shape and a feature schema's hash."""


MakeLearning = Callable[[ServedPolicy, InitialPolicy, str], Learning]
"""What learns beside a policy that serves, for what that began as and a feature schema's hash."""


def as_configured(limits: RiskLimits) -> RiskLimits:
    """`limits`, where nothing but the configuration binds a run."""
    return limits


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """The surroundings of a run, whatever its mode; a session is made of it, and of nothing else."""

    mode: str
    assembly: Assembly
    directory: RunDirectory
    run_id: str
    facts: Mapping[str, Any]
    """What `run.json` is to say of its data."""
    initial_policy: MakeInitialPolicy
    trade_from_ns: int = 0
    paced: bool = True
    """The ticks wait for a learner process that is behind."""
    past: Past | None = None
    """What earlier runs on the folder left, to be gone on with."""
    opening: Opening | None = None
    """What its account begins with, journaled; None: as configured."""
    broker: Broker | None = None
    """The live lane's; None: a paper exchange."""
    progress: RunProgress = field(default_factory=RunProgress)
    """How far it is; whoever stands in for a venue knows by it when something happened."""
    learning: MakeLearning | None = None
    """What learns, or stands in for that; None: as configured."""
    guard: Guard | None = None
    """Called before each order of the account, which it may still stop; None: nobody outside has a say."""
    packs: bool = False
    """Whether decisions are journaled thousands at a time, and nobody hears of each."""
    unproven: bool | None = None
    """Whether generation 0 is random, where its file does not say."""
    broadcast: Broadcast = field(default_factory=Broadcast)
    """Tells of the run to whoever watches it."""
    bound: Callable[[RiskLimits], RiskLimits] = as_configured
    """Narrows limits on risk to what the run may at most."""


def run_id_of(config: Config, seed: int, *what: str, code: str | None = None) -> str:
    """A function of configuration, seed, code, and `what` else makes a run this one; 32 hexadecimal digits.

    Of a replay that is the data and where generation 0 comes from, of a session on a market its folder and its moment.
    `code`: the version that made the run, where another repeats it.
    """
    parts = [config_hash(config), str(seed), code or code_version(), *what]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def configured_instrument(instrument: Instrument, market: MarketSection) -> Instrument:
    """The instrument that the data or the venue tell, with the fees and the spread that the configuration gives."""
    given = {name: getattr(market, name) for name in ("maker_fee", "taker_fee", "spread_bps")}
    return replace(instrument, **{name: value for name, value in given.items() if value is not None})


def initial_policy(
    assembly: Assembly,
    from_generation: str | None,
    *,
    directory: RunDirectory | None = None,
    past: Past | None = None,
    pretrained: Callable[[], InitialPolicy] | None = None,
) -> MakeInitialPolicy:
    """Makes the first of: what served last in the `past` of `directory`, `from_generation`, what `pretrained` makes, a
    policy of chance.
    """
    network, orthogonal = assembly.strategy.network, assembly.config.ppo.orthogonal_init

    def make(shape: NetworkShape, schema_hash: str) -> InitialPolicy:
        if past is not None and directory is not None:
            found = resumed_origin(
                directory=directory, past=past, shape=shape, schema_hash=schema_hash, make=network
            )
            if found is not None:
                return found
        if from_generation is not None:
            return load_origin(from_generation, shape, schema_hash, network)
        return pretrained() if pretrained else random_origin(shape, assembly.seed, network, orthogonal)

    return make
