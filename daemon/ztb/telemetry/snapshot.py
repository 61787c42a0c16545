"""The state of a daemon at one moment, as frozen facts: what status, MQTT, metrics and the web page all show.

Times are nanoseconds since 1970, money is quote currency, quantities are base currency, and what does not exist is
None: no NaN ever gets in. An `Observer` watches a daemon by them, from outside the way of a tick.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from ztb.control import Controls
from ztb.ledger.records import Record
from ztb.telemetry.conditions import Condition, LearnerState, Severity, State

SCHEMA_VERSION = 2


class OpenOrderFact(msgspec.Struct, frozen=True):
    order_id: int
    side: int
    remaining: float
    price: float | None


class ProtectiveStopFact(msgspec.Struct, frozen=True):
    """The stop at the venue: `quantity` is sold at market once the price has come down to `price`."""

    quantity: float
    price: float


class LimitUse(msgspec.Struct, frozen=True):
    """The use of a risk limit: `used` and `limit` in the limit's own unit."""

    name: str
    used: float
    limit: float


class StreamFact(msgspec.Struct, frozen=True):
    """One stream of market data. `age_ms` since its last message."""

    name: str
    age_ms: float | None
    stale: bool
    reconnects: int
    gaps: int


class LearnerFact(msgspec.Struct, frozen=True):
    """`mode` off, inline or process; the figures are those of the last update.

    Of transitions: `waiting` for an update, `dropped` as too old or too many, `tainted` near a gap. `empty`: updates
    that did not happen because nothing was left to learn from; `non_finite`: those that were dropped because of a
    number that was not finite.
    """

    mode: str
    alive: bool
    frozen: bool
    updates: int = 0
    waiting: int = 0
    dropped: int = 0
    tainted: int = 0
    approx_kl: float | None = None
    entropy: float | None = None
    policy_loss: float | None = None
    value_loss: float | None = None
    explained_variance: float | None = None
    clip_fraction: float | None = None
    empty: int = 0
    non_finite: int = 0
    state: LearnerState = "off"
    churn: float | None = None
    dormant: float | None = None


class GenerationFact(msgspec.Struct, frozen=True):
    """The generation that serves, and what became of all."""

    serving: int
    parent: int | None
    since_ns: int
    made: int
    promoted: int
    rejected: int
    rolled_back: int
    last_verdict: str = ""


class ExpertFact(msgspec.Struct, frozen=True):
    """An expert that trades beside the account on paper: the share of the account that follows it, what speaks for
    that, and its own equity at full size, quote currency. `leads`: it trades the generation that serves.
    """

    name: str
    weight: float
    log_evidence: float
    equity: float
    leads: bool


class ComparisonFact(msgspec.Struct, frozen=True):
    """Live against `baseline` (unlearnt, frozen, hold or flat): the difference in return, its confidence interval, and
    what is `missing` for one, in words.

    `unlearnt`: the account as it would be had nothing been learnt after generation 0, where experts share it.
    """

    baseline: str
    difference: float | None
    low: float | None
    high: float | None
    missing: str = ""


class AlertFact(msgspec.Struct, frozen=True):
    """Something an operator should know. `key` is the same for repeats of the same thing."""

    ts_ns: int
    severity: Severity
    key: str
    text: str


class DaemonSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A daemon as it is now. `conditions`: what holds that a person may act on, that which makes the `state` first."""

    schema_version: int = SCHEMA_VERSION
    instance: str
    mode: str
    state: State
    conditions: tuple[Condition, ...] = ()
    run_id: str
    strategy: str
    symbol: str
    venue: str
    now_ns: int
    started_ns: int
    last_tick_ns: int | None = None
    lag_ms: float | None = None
    ticks: int = 0
    decisions: int = 0
    orders: int = 0
    fills: int = 0
    rejects: int = 0
    refusals: int = 0
    gaps: int = 0
    mid: float | None = None
    bid: float | None = None
    ask: float | None = None
    position: float = 0.0
    cash: float = 0.0
    equity: float = 0.0
    start_equity: float = 0.0
    hold_equity: float | None = None
    frozen_equity: float | None = None
    drawdown: float = 0.0
    max_drawdown: float = 0.0
    fees: float = 0.0
    open_orders: tuple[OpenOrderFact, ...] = ()
    protective_stop: ProtectiveStopFact | None = None
    limits: tuple[LimitUse, ...] = ()
    streams: tuple[StreamFact, ...] = ()
    learner: LearnerFact | None = None
    generation: GenerationFact | None = None
    experts: tuple[ExpertFact, ...] = ()
    helping: tuple[ComparisonFact, ...] = ()
    memory_mb: float = 0.0
    memory_limit_mb: float = 0.0
    checkpoints: int = 0
    last_save_ms: float | None = None
    recording: bool = False
    alerts: tuple[AlertFact, ...] = ()

    @property
    def because(self) -> str:
        """The reason why it does not trade, in words; "" where it does."""
        return next((one.text for one in self.conditions if one.state == self.state), "")


class Observer(Protocol):
    """The daemon runs each observer as a task of its own; one that fails is restarted and never stops the trading."""

    name: str

    def record(self, record: Record) -> None:
        """A row was journaled. Called on the trading path, in order: it may only count or enqueue, never wait."""
        ...

    def alert(self, alert: AlertFact) -> None:
        """Something an operator should know. As `record`."""
        ...

    async def run(self, snapshot: Callable[[], DaemonSnapshot], controls: Controls) -> None:
        """Until cancelled. `snapshot()` is cheap, but not free: ask a few times a second at most."""
        ...
