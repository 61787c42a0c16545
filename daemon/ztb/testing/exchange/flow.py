"""Synthetic flow: quotes around a wandering price, and takers on both sides."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ztb.testing.exchange.background import Background
from ztb.testing.exchange.candles import MINUTE_MS, Candle
from ztb.testing.exchange.listing import SCALE, cost_of
from ztb.testing.exchange.orders import Side

_LEVELS = 20
_RENEWED = 3
_MOST_IN_A_ROW = 3
_MEAN_NS, _MOST_NS = 250_000_000, 700_000_000
_STEP = 2e-5
_PULL = 1e-3
_LEVEL_NOTIONAL = 20_000.0
_TAKE_NOTIONAL = 2_500.0


class Flow(Protocol):
    """The rest of the world on one market. `next_ns` is when it acts next; None: never again."""

    next_ns: int | None

    def act(self, background: Background, now_ms: int) -> None:
        """Do what is due, and set `next_ns` to a later moment."""
        ...


@dataclass(slots=True)
class SyntheticFlow:
    """A price that wanders and is drawn back to where it began; at least a trade each `most_ns`, on both sides.

    `step`: the standard deviation of what it moves by at a time. `levels`: how many are quoted on each side.
    """

    seed: int
    next_ns: int | None
    price: float
    rng: np.random.Generator = field(init=False)
    anchor: float = field(init=False)
    side: Side = Side.BUY
    in_a_row: int = 0
    mean_ns: int = _MEAN_NS
    most_ns: int = _MOST_NS
    step: float = _STEP
    levels: int = _LEVELS
    falling: tuple[float, int, int] = (0.0, 0, 0)
    """Of the logarithm of the price in each nanosecond, from when, until when."""

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.anchor = self.price

    def act(self, background: Background, now_ms: int) -> None:
        """Move the quotes, then take."""
        self._fall()
        self._wander()
        for side in Side:
            background.replace_side(side, self._ladder(background, side), now_ms)
        self._take(background, now_ms)
        assert self.next_ns is not None
        self.next_ns += int(min(1e6 + self.rng.exponential(self.mean_ns), self.most_ns))

    def fall(self, fraction: float, now_ns: int, for_ns: int) -> None:
        """From now on the price falls by `fraction` (negative: rises), evenly over so long, and stays there."""
        self.falling = math.log(1.0 - fraction) / max(1, for_ns), now_ns, now_ns + max(1, for_ns)

    def _fall(self) -> None:
        each, since_ns, until_ns = self.falling
        now_ns = min(self.next_ns or 0, until_ns)
        if now_ns > since_ns:
            self.falling = each, now_ns, until_ns
            self.price *= math.exp(each * (now_ns - since_ns))
            self.anchor = self.price

    def _wander(self) -> None:
        drift = _PULL * (self.anchor - self.price)
        self.price += drift + self.price * self.step * float(self.rng.standard_normal())

    def _ladder(self, background: Background, side: Side) -> list[tuple[int, int]]:
        """Levels on a fixed grid, so that most stay as the price moves; sizes of a few are drawn anew."""
        listing = background.market.listing
        spacing = max(1, round(self.price * 1e-5 * SCALE / listing.tick)) * listing.tick
        centre = int(self.price * SCALE) // spacing
        steps = range(self.levels)
        rungs = [centre - k if side is Side.BUY else centre + 1 + k for k in steps]
        renewed = set(self.rng.integers(0, self.levels, _RENEWED).tolist())
        levels: list[tuple[int, int]] = []
        for k, rung in zip(steps, rungs, strict=True):
            price = rung * spacing
            present = background.quantity(side, price)
            keep = present and k not in renewed
            levels.append((price, present if keep else self._size(_LEVEL_NOTIONAL, price, listing.lot)))
        return levels

    def _take(self, background: Background, now_ms: int) -> None:
        side = Side.BUY if self.rng.random() < 0.5 else Side.SELL
        if side is self.side and self.in_a_row >= _MOST_IN_A_ROW:
            side = side.opposite
        self.in_a_row = self.in_a_row + 1 if side is self.side else 1
        self.side = side
        listing = background.market.listing
        best = background.market.book.of(side.opposite).best
        if best is not None:
            reach = best // 1000 // listing.tick * listing.tick
            limit = best + reach if side is Side.BUY else best - reach
            background.take(side, self._size(_TAKE_NOTIONAL, best, listing.lot), limit, now_ms)

    def _size(self, notional: float, price: int, lot: int) -> int:
        """Base units, in whole lots, of about `notional` of quote currency."""
        drawn = notional * float(self.rng.lognormal(0.0, 1.0)) * SCALE / price
        return max(1, int(drawn * SCALE) // lot) * lot


def past_candles(seed: int, count: int, end_ms: int, close: int, tick: int) -> list[Candle]:
    """`count` bars of one minute that lead to the price `close` (units) at `end_ms`: what went before."""
    rng = np.random.default_rng([seed, 1])
    path = close * np.exp(np.concatenate([[0.0], np.cumsum(rng.normal(0.0, 3e-4, count))])[::-1])
    prices = [round(price / tick) * tick for price in path]
    wiggles = np.abs(rng.normal(0.0, 2e-4, (count, 2)))
    volumes = rng.lognormal(0.0, 0.5, count)
    first_ms = end_ms // MINUTE_MS * MINUTE_MS - count * MINUTE_MS
    candles: list[Candle] = []
    for k in range(count):
        begin, end = prices[k], prices[k + 1]
        high = round(max(begin, end) * (1 + wiggles[k, 0]) / tick) * tick
        low = round(min(begin, end) * (1 - wiggles[k, 1]) / tick) * tick
        volume = int(volumes[k] * SCALE)
        quote = cost_of(end, volume)
        bar = Candle(
            open_ms=first_ms + k * MINUTE_MS,
            open=begin,
            high=high,
            low=low,
            close=end,
            volume=volume,
            quote=quote,
            trades=240,
            bought=volume // 2,
            bought_quote=quote // 2,
        )
        candles.append(bar)
    return candles
