"""Lanes that live and decide together, each step of all of them in one kernel call."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ztb.market.ticks import Ticks
from ztb.trading.floor import TradingFloor
from ztb.trading.lane import Lane


class LaneGroup:
    """Lanes of one floor that live and decide together."""

    def __init__(self, lanes: Iterable[Lane]) -> None:
        self.lanes = tuple(lanes)
        self.places = np.array([lane.place for lane in self.lanes], np.int64)
        self._on_paper = np.array([lane.place for lane in self.lanes if lane.on_paper], np.int64)
        self._elsewhere = [lane for lane in self.lanes if not lane.on_paper]
        self._told = [lane for lane in self.lanes if lane.told]
        self._served = [lane for lane in self.lanes if lane.policy is not None]
        self.asks = any(lane.asked for lane in self.lanes)
        """Whether a strategy written in Python is among theirs."""
        self._rewarded = [lane for lane in self.lanes if getattr(lane.strategy, "reward", None) is not None]

    @property
    def floor(self) -> TradingFloor:
        """Their floor; there is one where there are lanes."""
        return self.lanes[0].floor

    @property
    def in_one_call(self) -> bool:
        """True if kernels let them live and decide, and call Python for choices at most; one of them may have a log."""
        own_ways = self._elsewhere or self._rewarded or len(self._told) > 1
        return not own_ways and not any(lane.guarded for lane in self._told)

    def serve(self) -> None:
        """See that the kernels have the policies that serve."""
        for lane in self._served:
            lane.serve()

    def advance(self, ticks: Ticks, i0: int, i1: int) -> None:
        """Let rows [i0, i1) happen to everybody's orders."""
        for lane in self._elsewhere:
            lane.broker.advance(ticks, i0, i1)
            lane.collect()
        if len(self._on_paper):
            self.lanes[0].floor.live(ticks, i0, i1, self._on_paper)
        for lane in self._told:
            lane.settle(ticks, i1)

    def decide(
        self,
        ts_ns: int,
        decision: int,
        raw: NDArray[np.float64],
        features: NDArray[np.float32],
    ) -> None:
        """Everybody observes, chooses, passes the gate, sends: see `Lane.decided`.

        `raw` (F,) feature values, `features` (F,) the same normalised.
        """
        if not self.lanes:
            return
        floor = self.lanes[0].floor
        self.serve()
        if not floor.observe(self.places, raw, features, ts_ns, decision):
            self.complain()
        for lane in self._rewarded:
            lane.reward()
        floor.act(self.places)
        for lane in self._told:
            lane.finish_decision()

    def complain(self) -> None:
        """StrategyError of the first whose answer is no choice."""
        for lane in self.lanes:
            lane.complain()
