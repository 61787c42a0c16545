"""The status of a running daemon, gathered for whoever asks: counts of journaled rows, and a DaemonSnapshot."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable

import msgspec

from ztb.execution.risk import DAY_NS
from ztb.ledger.performance import finite
from ztb.ledger.records import GenerationRow, Record, UpdateRow
from ztb.runtime.daemon.conditions import Conditions
from ztb.runtime.guards import resident_bytes
from ztb.runtime.recovery.past import Past
from ztb.runtime.session import Session
from ztb.telemetry.conditions import LearnerState, state_of
from ztb.telemetry.snapshot import (
    AlertFact,
    ComparisonFact,
    DaemonSnapshot,
    ExpertFact,
    GenerationFact,
    LearnerFact,
    LimitUse,
    OpenOrderFact,
    ProtectiveStopFact,
    StreamFact,
)

_ALERTS = 32


class StatusCollector:
    """Counts as rows are journaled, and holds the last alerts."""

    def __init__(self) -> None:
        self.alerts: deque[AlertFact] = deque(maxlen=_ALERTS)
        self.update: UpdateRow | None = None
        self.serving_since_ns = 0
        self.last_verdict = ""

    def record(self, record: Record) -> None:
        """A row was journaled."""
        if isinstance(record, UpdateRow):
            self.update = record
        elif isinstance(record, GenerationRow) and record.event != "made":
            reason = json.loads(record.detail).get("reason") or ""
            self.last_verdict = f"{record.generation} {record.event}" + (f": {reason}" if reason else "")
            if record.event != "rejected":
                self.serving_since_ns = record.ts_ns

    def recall(self, past: Past) -> None:
        """Know on whom earlier starts decided."""
        for row in past.generations:
            self.record(row)

    def alert(self, alert: AlertFact) -> None:
        """Something an operator should know."""
        self.alerts.append(alert)


def limits_of(session: Session) -> tuple[LimitUse, ...]:
    """The use of the risk limits: exposure, day's loss, drawdown, orders in a minute and in a day."""
    engine = session.engine
    gate, account = engine.live.gate, engine.live.broker.account
    memory, limits = gate.memory, gate.limits
    equity, mid = engine.live.equity, engine.live.broker.view["mid"].item()
    exposure = abs(account["position"].item()) * mid / equity if equity > 0.0 else 0.0
    lost = 1.0 - equity / memory.day_start_equity if memory.day_start_equity > 0.0 else 0.0
    fallen = 1.0 - equity / memory.peak_equity if memory.peak_equity > 0.0 else 0.0
    return (
        LimitUse("exposure", exposure, limits.max_exposure),
        LimitUse("daily_loss_fraction", max(0.0, lost), limits.max_daily_loss_fraction),
        LimitUse("drawdown_fraction", max(0.0, fallen), limits.max_drawdown_fraction),
        LimitUse("orders_per_minute", memory.orders_this_minute, limits.max_orders_per_minute),
        LimitUse("orders_per_day", memory.orders_today, limits.max_orders_per_day),
    )


def _learner(session: Session, watch: StatusCollector, state: LearnerState) -> LearnerFact | None:
    if session.policy is None:
        return None
    learning, update = session.engine.learning, watch.update
    mode, left_out = session.assembly.learner, learning.left_out
    dropped = learning.dropped + left_out.stale
    fact = LearnerFact(
        mode=mode,
        alive=mode == "inline" or bool(learning.process_ids),
        frozen=learning.frozen,
        updates=learning.updates,
        waiting=learning.waiting,
        dropped=dropped,
        tainted=left_out.tainted,
        empty=left_out.empty,
        non_finite=left_out.non_finite,
        state=state,
    )
    if update is None:
        return fact
    return msgspec.structs.replace(
        fact,
        approx_kl=finite(update.approx_kl),
        entropy=finite(update.entropy),
        policy_loss=finite(update.policy_loss),
        value_loss=finite(update.value_loss),
        explained_variance=finite(update.explained_variance),
        clip_fraction=finite(update.clip_fraction),
        churn=finite(update.churn),
        dormant=finite(update.dormant),
    )


def _generation(session: Session, watch: StatusCollector) -> GenerationFact | None:
    if session.policy is None:
        return None
    info, lineage = session.policy.info, session.lineage
    return GenerationFact(
        serving=info.number,
        parent=info.parent,
        since_ns=watch.serving_since_ns,
        made=lineage.made,
        promoted=lineage.promoted,
        rejected=lineage.rejected,
        rolled_back=lineage.rolled_back,
        last_verdict=watch.last_verdict,
    )


def _experts(session: Session) -> tuple[ExpertFact, ...]:
    experts = session.engine.experts
    if experts is None:
        return ()
    return tuple(
        ExpertFact(
            name=name,
            weight=one.weight,
            log_evidence=one.evidence.log_e,
            equity=experts.lanes[name].equity,
            leads=name == experts.leader,
        )
        for name, one in experts.allocator.experts.items()
    )


def _helping(session: Session) -> tuple[ComparisonFact, ...]:
    return tuple(
        ComparisonFact(
            baseline=each.baseline,
            difference=each.difference,
            low=each.low,
            high=each.high,
            missing=each.missing,
        )
        for each in session.engine.helping.comparisons()
    )


def _orders(session: Session) -> tuple[OpenOrderFact, ...]:
    instrument = session.assembly.instrument
    return tuple(
        OpenOrderFact(
            order.order_id,
            order.side,
            float(order.remaining_lots * instrument.lot_size),
            float(order.price_ticks * instrument.tick_size) if order.price_ticks else None,
        )
        for order in session.engine.live.working
    )


class Snapshots:
    """Makes a DaemonSnapshot of `session` whenever asked; `streams`, `recording`, `protective_stop`: what the
    shell knows."""

    def __init__(
        self,
        session: Session,
        instance: str,
        watch: StatusCollector,
        now_ns: Callable[[], int],
        conditions: Conditions,
        streams: Callable[[], tuple[StreamFact, ...]],
        recording: Callable[[], bool],
        protective_stop: Callable[[], ProtectiveStopFact | None],
    ) -> None:
        self._protective_stop = protective_stop
        self._session = session
        self._instance = instance
        self._watch = watch
        self._now_ns = now_ns
        self._conditions = conditions
        self._streams = streams
        self._recording = recording
        self._started_ns = now_ns()

    def take(self) -> DaemonSnapshot:
        """The state now."""
        session, engine = self._session, self._session.engine
        progress, books, lane = engine.progress, engine.books, engine.live
        config, instrument = session.assembly.config, session.assembly.instrument
        view = lane.broker.view
        mid, now_ns = view["mid"].item(), self._now_ns()
        conditions = self._conditions.present
        last_ns = progress.last_ts_ns or None
        return DaemonSnapshot(
            instance=self._instance,
            mode=session.context.mode,
            state=state_of(conditions),
            conditions=conditions,
            run_id=session.run_id,
            strategy=session.assembly.strategy.name,
            symbol=instrument.symbol,
            venue=instrument.venue,
            now_ns=now_ns,
            started_ns=self._started_ns,
            last_tick_ns=last_ns,
            lag_ms=_lag_ms(now_ns, last_ns),
            ticks=progress.ticks,
            decisions=progress.decisions,
            orders=books.orders,
            fills=books.account.fills,
            rejects=books.rejects,
            refusals=books.refusals,
            gaps=progress.gaps,
            mid=mid or None,
            bid=view["bid"].item() or None,
            ask=view["ask"].item() or None,
            position=books.account.position,
            cash=books.account.cash,
            equity=lane.equity,
            start_equity=session.start_equity,
            hold_equity=engine.shadow_equity.get("hold"),
            frozen_equity=engine.shadow_equity.get("frozen"),
            drawdown=_drawdown(lane.equity, progress.peak),
            max_drawdown=progress.max_drawdown,
            fees=books.account.fees,
            open_orders=_orders(session),
            protective_stop=self._protective_stop(),
            limits=limits_of(session),
            streams=self._streams(),
            learner=_learner(session, self._watch, self._conditions.learner),
            generation=_generation(session, self._watch),
            experts=_experts(session),
            helping=_helping(session),
            memory_mb=resident_bytes() / 1e6,
            memory_limit_mb=config.limits.max_memory_gb * 1e3,
            checkpoints=len(session.store.saved) if session.store else 0,
            last_save_ms=session.store.last_save_ms if session.store else None,
            recording=self._recording(),
            alerts=tuple(self._watch.alerts),
        )


def _lag_ms(now_ns: int, last_ns: int | None) -> float | None:
    """Between the last tick's event time and now; None where the ticks are of another day, as in a replay."""
    if last_ns is None or abs(now_ns - last_ns) > DAY_NS:
        return None
    return (now_ns - last_ns) / 1e6


def _drawdown(equity: float, peak: float) -> float:
    return max(0.0, 1.0 - equity / peak) if peak > 0.0 else 0.0
