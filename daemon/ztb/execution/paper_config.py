"""Settings of the paper exchange: values, bounds, and nothing that needs a compiler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ztb.errors import ConfigError

_DAY_MS = 86_400_000.0
_LATENCIES = ("feed", "submit", "ack", "cancel")
BOUNDS: dict[str, tuple[float, float]] = {
    **{f"{name}_latency_ms": (0.0, _DAY_MS) for name in _LATENCIES},
    **{f"{name}_jitter_ms": (0.0, _DAY_MS) for name in _LATENCIES},
    "lost_timeout_ms": (0.0, _DAY_MS),
    "level_typical_sizes": (1e-6, 1e9),
    "level_spacing_spreads": (0.0, 1e6),
    "walk_levels": (1, 256),
    "impact_half_life_ms": (1e-3, 1e12),
    "bar_participation": (1e-9, 1.0),
    "submit_lost_probability": (0.0, 1.0),
    "submit_rejected_probability": (0.0, 1.0),
    "ack_lost_probability": (0.0, 1.0),
    "duplicate_probability": (0.0, 1.0),
    "funding_rate_per_8h": (-1.0, 1.0),
}
"""Lowest and highest value of each number."""


@dataclass(frozen=True, slots=True)
class PaperConfig:
    """Settings of the paper exchange. Latencies are uniform in mean ± jitter; probabilities are of injected faults."""

    feed_latency_ms: float = 20.0
    """From the venue to us, for ticks."""
    feed_jitter_ms: float = 10.0
    """Either way, uniformly."""
    submit_latency_ms: float = 30.0
    """From us to the venue, for an order."""
    submit_jitter_ms: float = 15.0
    """Either way, uniformly."""
    ack_latency_ms: float = 20.0
    """From the venue to us, for its answer."""
    ack_jitter_ms: float = 10.0
    """Either way, uniformly."""
    cancel_latency_ms: float = 30.0
    """From us to the venue, for a cancel."""
    cancel_jitter_ms: float = 15.0
    """Either way, uniformly."""
    lost_timeout_ms: float = 5000.0
    """After it an order that was lost on its way is known to be."""
    queue_model: Literal["pessimistic", "proportional"] = "pessimistic"
    """What shortens the queue before us: pessimistic, trades at our price alone; proportional, cancels too."""
    level_typical_sizes: float = 2.0
    """What a level of the modelled book holds, in typical trades; on bars `bar_participation` of a quarter of a typical
    bar's volume."""
    level_spacing_spreads: float = 0.5
    """From one level to the next, in spreads."""
    walk_levels: int = 64
    """Levels that an order sees at most."""
    impact_half_life_ms: float = 5000.0
    """In which half of what we took grows back."""
    bar_participation: float = 0.1
    """Share of a quarter of a bar's volume that each of its four prices brings to passive orders."""
    submit_lost_probability: float = 0.0
    """That an order never arrives."""
    submit_rejected_probability: float = 0.0
    """That the venue rejects an order without a reason."""
    ack_lost_probability: float = 0.0
    """That an answer never comes."""
    duplicate_probability: float = 0.0
    """That a report comes twice."""
    funding_rate_per_8h: float = 0.0
    """What longs pay on notional, as a fraction."""

    def __post_init__(self) -> None:
        for name, (low, high) in BOUNDS.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(
                    f"paper.{name} is {getattr(self, name)}: it must lie between {low:g} and {high:g}"
                )
        if self.queue_model not in ("pessimistic", "proportional"):
            raise ConfigError(
                f"paper.queue_model is {self.queue_model!r}: give 'pessimistic' or 'proportional'"
            )
        for name in ("feed", "submit", "ack", "cancel"):
            if getattr(self, f"{name}_jitter_ms") > getattr(self, f"{name}_latency_ms"):
                raise ConfigError(f"paper.{name}_jitter_ms is above {name}_latency_ms: lower it")
