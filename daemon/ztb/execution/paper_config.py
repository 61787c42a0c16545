"""How the paper exchange behaves: settings, bounds, and nothing that needs a compiler."""

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
    """How the paper exchange behaves.

    Latencies are uniform in mean ± jitter. A level of a modelled book holds `level_typical_sizes` times the
    typical trade (on bars `bar_participation` of a quarter of a typical bar's volume), the next lies
    `level_spacing_spreads` spreads behind it; orders see at most `walk_levels` levels. What we took grows
    back by half every `impact_half_life_ms`. Each of the four prices of a bar's path brings passive orders
    `bar_participation` of a quarter of its volume. Probabilities are of injected faults; an order lost on
    its way is known to be lost after `lost_timeout_ms`. Longs pay `funding_rate_per_8h` on notional.
    """

    feed_latency_ms: float = 20.0
    feed_jitter_ms: float = 10.0
    submit_latency_ms: float = 30.0
    submit_jitter_ms: float = 15.0
    ack_latency_ms: float = 20.0
    ack_jitter_ms: float = 10.0
    cancel_latency_ms: float = 30.0
    cancel_jitter_ms: float = 15.0
    lost_timeout_ms: float = 5000.0
    queue_model: Literal["pessimistic", "proportional"] = "pessimistic"
    level_typical_sizes: float = 2.0
    level_spacing_spreads: float = 0.5
    walk_levels: int = 64
    impact_half_life_ms: float = 5000.0
    bar_participation: float = 0.1
    submit_lost_probability: float = 0.0
    submit_rejected_probability: float = 0.0
    ack_lost_probability: float = 0.0
    duplicate_probability: float = 0.0
    funding_rate_per_8h: float = 0.0

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
