"""Every shipped feature: its name, its kernel, its horizon and how long it takes to warm up.

A feature's column in the kernel is its place in this table; formula, unit and source stand in its kernel's docstring.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

from ztb.errors import ConfigError
from ztb.features import calendar, flow, touch, trend, volatility
from ztb.features.flow import SLOW


@dataclass(frozen=True, slots=True)
class Feature:
    """One column. `warm_up` is in completed buckets: the value is 0 until so many are complete."""

    name: str
    meaning: str
    formula: str
    unit: str
    source: str
    warm_up: int


def _feature(name: str, kernel: Callable[..., object], warm_up: int, horizon: str = "") -> Feature:
    """A row of the table, its texts read from the docstring of `kernel`."""
    meaning, *lines = inspect.cleandoc(kernel.__doc__ or "").replace(",\n", ", ").split("\n")
    texts = dict(line.split(": ", 1) for line in lines if ": " in line)
    formula = texts.get("Formula", "") + (f"; {horizon}" if horizon else "")
    return Feature(
        name=name,
        meaning=meaning,
        formula=formula,
        unit=texts.get("Unit", ""),
        source=texts.get("Source", ""),
        warm_up=warm_up,
    )


_SLOW_WARM_UP = 3 * SLOW
"""Three slow horizons: what came before then weighs 5 %."""
_FAST = "fast horizon"
_LATE = "slow horizon"

FEATURES: tuple[Feature, ...] = (
    *(_feature(f"return_{k}", trend.log_return, k + 1, f"k = {k}") for k in (1, 2, 4, 8, 16, 32, 64)),
    _feature("body", trend.body, 1),
    *(_feature(f"z_score_{k}", trend.z_score, k, f"k = {k}") for k in (16, 64)),
    _feature("ema_deviation_32", trend.average_deviation, 32, "k = 32"),
    _feature("stochastic_16", trend.stochastic, 16, "k = 16"),
    _feature("drawdown_64", trend.drawdown, 64, "k = 64"),
    _feature("rsi_14", trend.relative_strength, 15, "k = 14"),
    _feature("macd", trend.convergence, 26),
    _feature("macd_histogram", trend.convergence_turn, 34),
    _feature("efficiency_16", trend.efficiency, 17, "k = 16"),
    _feature("slope_16", trend.slope, 16, "k = 16"),
    _feature("volatility_8", volatility.volatility, 9, "k = 8"),
    _feature("volatility_32", volatility.volatility, 33, "k = 32"),
    _feature("volatility_change", volatility.volatility_change, 33),
    _feature("parkinson_16", volatility.parkinson_variance, 16, "k = 16"),
    _feature("garman_klass_16", volatility.garman_klass_variance, 16, "k = 16"),
    _feature("atr_14", volatility.true_range, 15),
    _feature("downside_32", volatility.downside, 33),
    _feature("jump_32", volatility.jump, 34),
    _feature("skewness_32", volatility.skewness, 33),
    _feature("autocorrelation_32", volatility.autocorrelation, 34),
    _feature("money_flow_16", volatility.close_location, 16),
    _feature("volume_change", flow.rate_change, _SLOW_WARM_UP, "x = q of trades"),
    _feature("intensity_change", flow.rate_change, _SLOW_WARM_UP, "x = 1 for each tick"),
    _feature("trade_imbalance_fast", flow.signed_share, 3, _FAST),
    _feature("trade_imbalance_slow", flow.signed_share, _SLOW_WARM_UP, _LATE),
    _feature("order_flow_fast", touch.order_flow, 3, _FAST),
    _feature("order_flow_slow", touch.order_flow, _SLOW_WARM_UP, _LATE),
    _feature("vwap_deviation_fast", flow.vwap_deviation, 3, _FAST),
    _feature("vwap_deviation_slow", flow.vwap_deviation, _SLOW_WARM_UP, _LATE),
    _feature("twap_deviation_slow", flow.twap_deviation, _SLOW_WARM_UP, _LATE),
    _feature("tick_volatility_fast", flow.tick_volatility, 3, _FAST),
    _feature("spread", touch.spread, 0),
    _feature("spread_change", flow.spread_change, _SLOW_WARM_UP),
    _feature("touch_imbalance", touch.imbalance, 0, "the touch"),
    _feature("depth_imbalance_5", touch.imbalance, 0, "5 levels a side, the touch where no depth is known"),
    _feature("microprice", touch.microprice, 0),
    _feature("day_sine", calendar.circle_sine, 0, "of the day"),
    _feature("day_cosine", calendar.circle_cosine, 0, "of the day"),
    _feature("week_sine", calendar.circle_sine, 0, "of the week"),
    _feature("week_cosine", calendar.circle_cosine, 0, "of the week"),
)

SHIPPED: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
"""Names of all shipped features, in kernel column order."""


def column(name: str) -> int:
    """The kernel column of a shipped feature; ConfigError that names the nearest one if there is none."""
    if name in SHIPPED:
        return SHIPPED.index(name)
    nearest = difflib.get_close_matches(name, SHIPPED, n=1, cutoff=0.0)[0]
    raise ConfigError(
        f"features: no feature is named {name!r}; the nearest is {nearest!r}. "
        f"Name some of: {', '.join(SHIPPED)}"
    )


def columns(names: Iterable[str]) -> list[int]:
    """Kernel columns of `names`; ConfigError for an unknown name or one named twice."""
    found = [column(name) for name in names]
    for place in found:
        if found.count(place) > 1:
            raise ConfigError(f"features: {SHIPPED[place]!r} is named twice; name it once")
    return found


def reference() -> list[dict[str, object]]:
    """Name, meaning, formula, unit, source and warm-up of every shipped feature, in column order."""
    return [asdict(feature) for feature in FEATURES]
