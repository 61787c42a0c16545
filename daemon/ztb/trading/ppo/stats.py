"""What an update did, in figures. No torch, so that who only reads them need not import it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UpdateStats:
    """What an update did; means over its minibatches, the last one's divergence where that stopped it."""

    policy_loss: float
    value_loss: float
    entropy: float
    approx_kl: float
    clip_fraction: float
    explained_variance: float
    """Of the returns, by the rollout's values, before the update; nan where the returns do not vary."""
    grad_norm: float
    """Before clipping."""
    learning_rate: float
    epochs: int
    """Begun."""
    minibatches: int
    """Gradient steps taken."""
    stopped_by_kl: bool
