"""How much of a weak edge training on history finds, and what of the way it is done that rests on.

`PYTHONPATH=daemon:tests python tests/benchmarks/bench_weak_edge.py [--rho R ...] [--markets N ...] [--seeds N ...]
[--variants NAME ...]`. Market and optimum: `tests/learning/weak_edge.py`. Each market is trained on with the seed beside
it. Printed for each variant: the shares of the optimum's growth on the next 10,000 bars, luck taken out of both (their
median first), CPU seconds a training, and the median turnover a decision. To reach: medians of 0.95, 0.80 and 0.20.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np

from learning.weak_edge import Trial, seen_only, weak_settings
from ztb.learning import forecast, training
from ztb.learning.forecast import fit_forecast
from ztb.learning.settings import OnlineConfig

Change = Callable[[Trial], Any]
"""What a variant does to a trial before it trains; undone by what it returns, if that is a context."""


@dataclass(frozen=True)
class Variant:
    """A training that differs from the default: in its settings, in PPO's, and by patches made for its time."""

    settings: dict[str, Any] = field(default_factory=dict)
    ppo: dict[str, Any] = field(default_factory=dict)
    features: tuple[str, ...] | None = None
    patches: tuple[Callable[[Trial], Any], ...] = ()


def _no_products(_: Trial) -> Any:
    return patch.object(np, "triu_indices", lambda _: (np.zeros(0, np.int64),) * 2)


def _told_the_noise(trial: Trial) -> Any:
    """The innovations are the noise itself: what a perfect forecast would give."""
    returns = [0.0, *np.diff(np.log(trial.seen.shared.mids))]
    perfect = np.append(np.array(returns[1:]) - trial.rho * np.array(returns[:-1]), 0.0)
    return patch.object(
        training, "_innovations",
        lambda recording, held_out, _: (perfect[: recording.decisions], perfect[-held_out.decisions :]),
    )  # fmt: skip


def _only_the_forecasts_columns(trial: Trial) -> Any:
    """A screen instead: columns that the forecast does not name are hidden, rewards are as they are."""
    found = fit_forecast(trial.seen.window(0, trial.seen.decisions * 4 // 5))
    columns = np.unique(np.concatenate([found.left, found.right[found.right >= 0]]))
    for name in ("seen", "_ahead"):
        setattr(trial, name, seen_only(getattr(trial, name), columns))
    return ExitStack()


_ALL_LUCK = {"online": OnlineConfig(luck_weight=1.0)}
_BEFORE = {"minibatch_size": 1024, "learning_rate": 1e-3, "anneal_learning_rate": False}
VARIANTS = {
    "default": Variant(),
    "as before": Variant(_ALL_LUCK, _BEFORE),
    "PPO as before": Variant(ppo=_BEFORE),
    "all luck": Variant(_ALL_LUCK),
    "half of it": Variant({"online": OnlineConfig(luck_weight=0.5)}),
    "a tenth of it": Variant({"online": OnlineConfig(luck_weight=0.1)}),
    "all luck, three features": Variant(_ALL_LUCK, features=("return_1", "return_2", "volatility_8")),
    "all luck, only the forecast's columns": Variant(_ALL_LUCK, patches=(_only_the_forecasts_columns,)),
    "all luck, 144 updates": Variant({**_ALL_LUCK, "updates": 144}),
    "a quarter of the step, not annealed": Variant(
        ppo={"learning_rate": 1e-3, "anneal_learning_rate": False}
    ),
    "not annealed": Variant(ppo={"anneal_learning_rate": False}),
    "entropy twice": Variant(ppo={"entropy_coef": 0.01}),
    "tails not bounded": Variant(patches=(lambda _: patch.object(forecast, "_TAIL", np.inf),)),
    "weights not limited": Variant(patches=(lambda _: patch.object(forecast, "_LEEWAY", np.inf),)),
    "no products": Variant(patches=(_no_products,)),
    "a perfect forecast": Variant(patches=(_told_the_noise,)),
}


def one(variant: Variant, rho: float, market: int, seed: int) -> tuple[float, float, float, float]:
    """Share less luck, share with it, turnover a decision, CPU seconds."""
    base = weak_settings(variant.features) if variant.features else weak_settings()
    settings = replace(base, **variant.settings, ppo=replace(base.ppo, **variant.ppo))
    trial = Trial(rho, market, variant.features) if variant.features else Trial(rho, market)
    with ExitStack() as stack:
        for change in variant.patches:
            stack.enter_context(change(trial))
        began = time.process_time()
        weights = trial.train(seed, settings)
        seconds = time.process_time() - began
    found, best = trial.greedy(weights, settings), trial.best()
    return found.growth / best.growth, found.with_luck / best.with_luck, found.turnover, seconds


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rho", type=float, nargs="+", default=[0.3, 0.1, 0.05])
    parser.add_argument("--markets", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=["default"])
    options = parser.parse_args()
    for name in options.variants:
        for rho in options.rho:
            pairs = zip(options.markets, options.seeds, strict=True)
            found = np.array([one(VARIANTS[name], rho, market, seed) for market, seed in pairs])
            shares, raw, turnover, seconds = found.T
            print(f"{name}; rho {rho}: {median(shares):.2f} of {np.round(np.sort(shares), 2).tolist()}; with luck "
                  f"{np.round(raw, 2).tolist()}; turnover {median(turnover):.3f}; {np.mean(seconds):.1f} s",
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
