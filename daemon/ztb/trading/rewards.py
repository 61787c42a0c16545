"""Rewards of a decision: log return, differential Sharpe, or Sortino, less drawdown and turnover. Kernels.

With the drawdown and turnover weights at 0, log-return rewards sum to the log change of equity.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from ztb.trading.settings import RewardConfig
from ztb.utils.kernel import kernel


class RewardKind(IntEnum):
    LOG_RETURN = 0
    DIFFERENTIAL_SHARPE = 1
    SORTINO = 2


REWARD: np.dtype[np.void] = np.dtype(
    [
        ("kind", "<i8"),
        ("rate", "<f8"),  # of the moving moments, per decision
        ("drawdown_weight", "<f8"),
        ("turnover_weight", "<f8"),
        ("equity", "<f8"),
        ("peak", "<f8"),
        ("drawdown", "<f8"),
        ("traded", "<f8"),
        ("first_moment", "<f8"),
        ("second_moment", "<f8"),
    ]
)
_SORTINO = int(RewardKind.SORTINO)
_SHARPE = int(RewardKind.DIFFERENTIAL_SHARPE)
_FLOOR = 1e-8  # variance below which a ratio is not formed: per-decision returns are larger than 1e-4


def new_reward(config: RewardConfig) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Reward state before the first decision, shape (1,)."""
    state = np.zeros(1, REWARD)
    state["kind"] = int(RewardKind[config.reward.upper()])
    state["rate"] = config.reward_rate
    state["drawdown_weight"] = config.drawdown_weight
    state["turnover_weight"] = config.turnover_weight
    return state


@kernel
def begin_reward(state: np.void, equity: float, traded: float) -> None:
    """Start (or restart) from `equity` and the account's traded notional, both in quote currency."""
    state["equity"] = equity
    state["peak"] = equity
    state["drawdown"] = 0.0
    state["traded"] = traded
    state["first_moment"] = 0.0
    state["second_moment"] = 0.0


@kernel
def differential_sharpe(state: np.void, ret: float) -> float:
    """D_t of Moody and Saffell (2001), "Learning to trade via direct reinforcement", eq. 14.

    A and B are the moving first and second moments of the return with rate η:
    D = (B ΔA − ½ A ΔB) / (B − A²)^{3/2}, with ΔA = R − A and ΔB = R² − B; then A += η ΔA, B += η ΔB.
    """
    first, second = state["first_moment"], state["second_moment"]
    delta_first = ret - first
    delta_second = ret * ret - second
    variance = second - first * first
    ratio = 0.0
    if variance > _FLOOR:
        ratio = (second * delta_first - 0.5 * first * delta_second) / variance**1.5
    state["first_moment"] = first + state["rate"] * delta_first
    state["second_moment"] = second + state["rate"] * delta_second
    return float(state["rate"] * ratio)


@kernel
def differential_sortino(state: np.void, ret: float) -> float:
    """The differential downside deviation ratio of Moody and Saffell (2001), eqs. 17 to 19.

    With A the moving mean and DD² the moving second moment of negative returns:
    D = (R − A/2) / DD for R > 0, else (DD² (R − A/2) − ½ A R²) / DD³.
    """
    mean, downside = state["first_moment"], state["second_moment"]
    ratio = 0.0
    if downside > _FLOOR:
        root = np.sqrt(downside)
        if ret > 0.0:
            ratio = (ret - 0.5 * mean) / root
        else:
            ratio = (downside * (ret - 0.5 * mean) - 0.5 * mean * ret * ret) / (downside * root)
    loss = min(ret, 0.0)
    state["first_moment"] = mean + state["rate"] * (ret - mean)
    state["second_moment"] = downside + state["rate"] * (loss * loss - downside)
    return float(state["rate"] * ratio)


@kernel
def next_reward(state: np.void, equity: float, traded: float) -> float:
    """The reward of the decision that ends now.

    `equity` and `traded` (the account's traded notional so far) are quote currency. The drawdown term is the
    rise of drawdown since the last decision, the turnover term traded notional over equity.
    """
    before = state["equity"]
    ret = np.log(equity / before) if equity > 0.0 and before > 0.0 else -1.0
    if state["kind"] == _SHARPE:
        reward = differential_sharpe(state, ret)
    elif state["kind"] == _SORTINO:
        reward = differential_sortino(state, ret)
    else:
        reward = ret
    state["peak"] = max(state["peak"], equity)
    drawdown = 1.0 - equity / state["peak"]
    reward -= state["drawdown_weight"] * max(drawdown - state["drawdown"], 0.0)
    if before > 0.0:
        reward -= state["turnover_weight"] * (traded - state["traded"]) / before
    state["equity"] = equity
    state["drawdown"] = drawdown
    state["traded"] = traded
    return float(reward)
