"""A gate that lets something pass in a short test: half of those no better than the incumbent, after a few decisions."""

from __future__ import annotations

from typing import Any

LENIENT: dict[str, Any] = {
    "gate.most_false_promotion": 0.5,
    "gate.false_promotions_per_month": 1000.0,
    "gate.block_decisions": 2,
    "gate.piece_decisions": 16,
    # What makes candidates differ, and some of them pass, within a few updates.
    "ppo.learning_rate": 0.003,
    "ppo.anneal_learning_rate": False,
    "online.learning_rate": 0.003,
    "ppo.minibatch_size": 1024,
    "ppo.entropy_coef": 0.005,
    # Near a limit on losses learning rests, and what is made up here loses more than that.
    "risk.max_daily_loss_fraction": 1.0,
    "risk.max_drawdown_fraction": 1.0,
}
