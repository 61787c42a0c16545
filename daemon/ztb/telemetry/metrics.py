"""Prometheus metrics: each snapshot as gauges and counters, made when somebody asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ztb.execution.risk import RefusalReason
from ztb.ledger.records import GENERATION_EVENTS, FillRow, GenerationRow, Record, RefusalRow
from ztb.telemetry.conditions import Kind, LearnerState, Severity, State
from ztb.telemetry.snapshot import AlertFact, DaemonSnapshot, LearnerFact

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Gauges = Callable[[], dict[str, float]]
"""What an observer says of itself: names and figures."""

_GAUGES: tuple[tuple[str, str, Callable[[DaemonSnapshot], float | None]], ...] = (
    ("start_time_seconds", "when the daemon started, seconds since 1970", lambda s: s.started_ns / 1e9),
    ("lag_seconds", "from the venue's time of a tick to our having it", lambda s: _scaled(s.lag_ms, 1e-3)),
    ("last_tick_age_seconds", "since the last tick", lambda s: _age(s)),
    ("mid_quote", "middle of bid and ask", lambda s: s.mid),
    ("position_base", "what is held, base currency", lambda s: s.position),
    ("cash_quote", "cash, quote currency", lambda s: s.cash),
    ("equity_quote", "cash and position at the mid", lambda s: s.equity),
    ("start_equity_quote", "equity at the start", lambda s: s.start_equity),
    ("hold_equity_quote", "equity of the strategy hold", lambda s: s.hold_equity),
    ("frozen_equity_quote", "equity of generation 0, never updated", lambda s: s.frozen_equity),
    ("drawdown_ratio", "below the highest equity so far", lambda s: s.drawdown),
    ("max_drawdown_ratio", "the deepest drawdown so far", lambda s: s.max_drawdown),
    ("fees_quote", "fees paid", lambda s: s.fees),
    ("open_orders", "orders that work", lambda s: len(s.open_orders)),
    ("memory_bytes", "resident memory", lambda s: s.memory_mb * 1e6),
    ("memory_limit_bytes", "the configured limit", lambda s: s.memory_limit_mb * 1e6),
    ("checkpoint_seconds", "how long the last save took", lambda s: _scaled(s.last_save_ms, 1e-3)),
    ("recording", "1 while received ticks are recorded", lambda s: s.recording),
    ("generation", "the generation that serves", lambda s: s.generation.serving if s.generation else None),
)
_COUNTERS: tuple[tuple[str, str, Callable[[DaemonSnapshot], float | None]], ...] = (
    ("ticks", "ticks seen", lambda s: s.ticks),
    ("decisions", "decisions taken", lambda s: s.decisions),
    ("orders", "orders sent", lambda s: s.orders),
    ("rejects", "orders that the venue rejected", lambda s: s.rejects),
    ("gaps", "gaps in the market data", lambda s: s.gaps),
    ("checkpoints", "generations saved", lambda s: s.checkpoints),
)
_LEARNER: tuple[tuple[str, str, Callable[[LearnerFact], float | None]], ...] = (
    ("learner_alive", "1 while the learner runs", lambda f: f.alive),
    ("learner_frozen", "1 while learning is frozen", lambda f: f.frozen),
    ("learner_waiting", "transitions that wait for an update", lambda f: f.waiting),
    ("learner_dropped", "transitions dropped as too old or too many", lambda f: f.dropped),
    ("learner_tainted", "transitions left out for gaps in the data", lambda f: f.tainted),
    ("learner_empty", "updates that had nothing to learn from", lambda f: f.empty),
    ("learner_non_finite", "updates dropped for a number that was not finite", lambda f: f.non_finite),
    ("learner_updates", "updates made", lambda f: f.updates),
    ("learner_kl", "approximate KL of the last update, nats", lambda f: f.approx_kl),
    ("learner_entropy", "entropy of the policy at the last update, nats", lambda f: f.entropy),
    ("learner_policy_loss", "policy loss of the last update", lambda f: f.policy_loss),
    ("learner_value_loss", "value loss of the last update", lambda f: f.value_loss),
    ("learner_explained_variance", "of returns by the value function", lambda f: f.explained_variance),
    ("learner_clip_fraction", "of samples that were clipped", lambda f: f.clip_fraction),
    (
        "learner_churn",
        "of observations, whose most probable action the last update changed",
        lambda f: f.churn,
    ),
    ("learner_dormant", "of hidden units, that hardly ever say anything", lambda f: f.dormant),
)

_LABELLED: tuple[tuple[Any, str, str, str, Callable[[DaemonSnapshot], dict[str, float]]], ...] = (
    (GaugeMetricFamily, "state", "1 for the state the daemon is in", "state",
     lambda s: {state: float(state == s.state) for state in get_args(State)}),
    (GaugeMetricFamily, "condition", "1 while a condition holds that somebody may act on", "kind",
     lambda s: dict.fromkeys(get_args(Kind), 0.0) | {one.kind: 1.0 for one in s.conditions}),
    (GaugeMetricFamily, "learner_state", "1 for what the learner is at", "state",
     lambda s: {} if s.learner is None else {at: float(at == s.learner.state) for at in get_args(LearnerState)}),
    (GaugeMetricFamily, "limit_used_ratio", "how near a risk limit is", "limit", lambda s: _use(s)),
    (GaugeMetricFamily, "stream_age_seconds", "since the last message of a stream", "stream",
     lambda s: {one.name: one.age_ms / 1e3 for one in s.streams if one.age_ms is not None}),
    (GaugeMetricFamily, "stream_stale", "1 while a stream is silent for too long", "stream",
     lambda s: {one.name: float(one.stale) for one in s.streams}),
    (CounterMetricFamily, "stream_reconnects", "reconnections of a stream", "stream",
     lambda s: {one.name: float(one.reconnects) for one in s.streams}),
    (GaugeMetricFamily, "expert_weight", "share of the account that follows an expert", "expert",
     lambda s: {one.name: one.weight for one in s.experts}),
    (GaugeMetricFamily, "expert_log_evidence", "natural logarithm of what speaks for it", "expert",
     lambda s: {one.name: one.log_evidence for one in s.experts}),
    (GaugeMetricFamily, "helping_ratio", "our return less that of a baseline", "baseline",
     lambda s: {one.baseline: one.difference for one in s.helping if one.difference is not None}),
)  # fmt: skip
_COUNTED = (
    ("generations", "generations by what became of them", "event"),
    ("refusals", "orders that the risk gate refused", "reason"),
    ("fills", "fills", "liquidity"),
    ("alerts", "alerts", "severity"),
)
_ABOUT = ("instance", "mode", "strategy", "symbol", "venue")
_OWN = "queues and links of the telemetry itself"


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _age(snapshot: DaemonSnapshot) -> float | None:
    """None in a replay, whose ticks are of another time."""
    if snapshot.last_tick_ns is None or snapshot.mode == "replay":
        return None
    return (snapshot.now_ns - snapshot.last_tick_ns) / 1e9


class Metrics:
    """Counts what is journaled; `exposition` adds a snapshot to it. Bounded: labels come from closed sets of ours."""

    def __init__(self, telemetry: Iterable[Gauges] = ()) -> None:
        self._telemetry = list(telemetry)
        # From the start, at zero: of a counter that begins with its first event, the first increase is not seen.
        self._generations = Counter[str](dict.fromkeys(GENERATION_EVENTS, 0))
        self._refusals = Counter[str](dict.fromkeys(set(RefusalReason) - {RefusalReason.PASSED}, 0))
        self._fills = Counter[str](maker=0, taker=0)
        self._alerts = Counter[str](dict.fromkeys(get_args(Severity), 0))

    def tell_of(self, gauges: Gauges) -> None:
        """Export what another part of the telemetry says of itself."""
        self._telemetry.append(gauges)

    def record(self, record: Record) -> None:
        """A row was journaled."""
        match record:
            case GenerationRow(event=event):
                self._generations[event] += 1
            case RefusalRow(reason=reason):
                self._refusals[reason] += 1
            case FillRow(liquidity=liquidity):
                self._fills[liquidity] += 1
            case _:
                pass

    def alert(self, alert: AlertFact) -> None:
        """An alert was raised."""
        self._alerts[alert.severity] += 1

    def exposition(self, snapshot: DaemonSnapshot) -> bytes:
        """The text that Prometheus reads."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(
            _Families([*_plain(snapshot), *_labelled(snapshot), *self._counted(), *self._own()])
        )
        return generate_latest(registry)

    def _counted(self) -> Iterator[Metric]:
        counted = (self._generations, self._refusals, self._fills, self._alerts)
        for (name, text, label), counts in zip(_COUNTED, counted, strict=True):
            yield _family(kind=CounterMetricFamily, name=name, text=text, label=label, values=counts)

    def _own(self) -> Iterator[Metric]:
        figures = {name: value for gauges in self._telemetry for name, value in gauges().items()}
        yield _family(kind=GaugeMetricFamily, name="telemetry", text=_OWN, label="name", values=figures)


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _plain(snapshot: DaemonSnapshot) -> Iterator[Metric]:
    for name, text, read in _GAUGES:
        yield from _single(GaugeMetricFamily, name, text, read(snapshot))
    for name, text, read in _COUNTERS:
        yield from _single(CounterMetricFamily, name, text, read(snapshot))
    if snapshot.learner is not None:
        for name, text, read_learner in _LEARNER:
            yield from _single(GaugeMetricFamily, name, text, read_learner(snapshot.learner))


def _single(kind: Any, name: str, text: str, value: float | None) -> Iterator[Metric]:
    if value is not None:
        yield kind(f"ztb_{name}", text, value=float(value))


def _labelled(snapshot: DaemonSnapshot) -> Iterator[Metric]:
    for kind, name, text, label, read in _LABELLED:
        yield _family(kind=kind, name=name, text=text, label=label, values=read(snapshot))
    about = GaugeMetricFamily("ztb_about", "what runs", labels=_ABOUT)
    about.add_metric([getattr(snapshot, name) for name in _ABOUT], 1.0)
    yield about


def described() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Every metric as Prometheus shows it: name, kind, labels, meaning."""
    for name, text, _ in (*_GAUGES, *_LEARNER):
        yield f"ztb_{name}", "gauge", (), text
    for name, text, _ in _COUNTERS:
        yield f"ztb_{name}_total", "counter", (), text
    for kind, name, text, label, _ in _LABELLED:
        counts = kind is CounterMetricFamily
        yield f"ztb_{name}{'_total' if counts else ''}", "counter" if counts else "gauge", (label,), text
    for name, text, label in _COUNTED:
        yield f"ztb_{name}_total", "counter", (label,), text
    yield "ztb_telemetry", "gauge", ("name",), _OWN
    yield "ztb_about", "gauge", _ABOUT, "what runs"


def _use(snapshot: DaemonSnapshot) -> dict[str, float]:
    return {use.name: use.used / use.limit for use in snapshot.limits if use.limit}


def _family(kind: Any, name: str, text: str, label: str, values: dict[str, Any]) -> Metric:
    family: Metric = kind(f"ztb_{name}", text, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)  # type: ignore[attr-defined]
    return family
