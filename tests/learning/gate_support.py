"""Made-up markets whose next return is partly known, and policies written by hand that know it or do not."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from trading.markets import HOUR_NS, PERPETUAL, START_NS
from ztb.execution.paper_config import PaperConfig
from ztb.learning.gate.candidate import Candidate, Verdict
from ztb.learning.gate.gate import Gate
from ztb.learning.gate.shadow import ShadowTerms
from ztb.learning.settings import GateRules
from ztb.market.ticks import BAR, Ticks, empty_ticks
from ztb.trading.observation import ACCOUNT_SIZE
from ztb.trading.policy.weights import NetworkShape, Weights, initial_weights
from ztb.trading.recording import Recording, watch
from ztb.trading.settings import BridgeConfig

LADDER = (-1.0, -0.5, 0.0, 0.5, 1.0)
SHAPE = NetworkShape(1 + ACCOUNT_SIZE, (len(LADDER), 3), (8,))
TERMS = ShadowTerms(SHAPE, BridgeConfig(LADDER), PaperConfig(), 10_000.0)
RULES = GateRules(paths=4, window_decisions=2048)
PIECE = 64
SCHEMA = "made-up"
FREE = replace(PERPETUAL, maker_fee=Decimal(0), taker_fee=Decimal(0), spread_bps=0.0)


def market(
    decisions: int,
    seed: int,
    edge: float | NDArray[np.float64] = 0.0,
    free: bool = False,
    sigma: float = 0.01,
) -> Recording:
    """Hourly bars with returns `sigma`·(edge·signal + noise); the one feature is the signal, of unit variance.

    A policy that follows the signal earns where `edge` is positive; nobody earns where it is 0.
    """
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal(decisions)
    known = np.roll(signal, 1) * edge
    known[0] = 0.0
    returns = sigma * (known + rng.standard_normal(decisions))
    close = np.round(50_000.0 * np.exp(np.cumsum(returns)), 1)
    return watch(
        _bars(close), FREE if free else PERPETUAL, HOUR_NS, np.arange(decisions),
        signal[:, None].astype(np.float32),
    )  # fmt: skip


def _bars(close: NDArray[np.float64]) -> Ticks:
    ticks = empty_ticks(len(close))
    ticks["kind"] = BAR
    ticks["ts_ns"] = START_NS + (1 + np.arange(len(close))) * HOUR_NS
    ticks["span_ns"] = HOUR_NS
    ticks["open"] = np.concatenate([[50_000.0], close[:-1]])
    ticks["price"] = close
    ticks["high"], ticks["low"] = np.maximum(ticks["open"], close), np.minimum(ticks["open"], close)
    ticks["size"] = 1000.0
    ticks["buy_volume"] = np.nan
    return ticks


def follower(gain: float, timing: float = 6.0, size: float = 3.0) -> Weights:
    """Chooses exposures of the sign of `gain` times the signal, at once; the larger `size` the surer."""
    weights = {name: np.zeros_like(array) for name, array in initial_weights(SHAPE, 0).items()}
    weights["trunk.0.weight"][0, 0] = gain
    weights["trunk.1.weight"][0, : len(LADDER)] = size * np.array(LADDER)
    weights["trunk.1.bias"][len(LADDER) + 2] = timing
    return weights


def holder(exposure: float, size: float = 8.0) -> Weights:
    """Keeps one exposure, mostly."""
    weights = follower(0.0)
    weights["trunk.1.bias"][LADDER.index(exposure)] = size
    return weights


GOOD = follower(1.0)


def entrant(number: int, weights: Weights, trained_to: int, schema: str = SCHEMA) -> Candidate:
    return Candidate(number, weights, trained_to, START_NS + (1 + trained_to) * HOUR_NS, schema)


def new_gate(incumbent: Weights, rules: GateRules = RULES, seed: int = 0, terms: ShadowTerms = TERMS) -> Gate:
    return Gate(terms, rules, SCHEMA, seed, entrant(0, incumbent, -1))


def pieces(recording: Recording, size: int = PIECE) -> list[tuple[Recording, int]]:
    """Consecutive pieces of `size` steps, each led by the decision that ends the one before, and their last numbers."""
    ends = range(size, recording.decisions, size)
    return [(recording.window(end - size, end + 1), end) for end in ends]


def judge(gate: Gate, candidate: Weights, recording: Recording, number: int = 1) -> Verdict | None:
    """The verdict on `candidate`, trained to the recording's first decision; None if there is none to its end."""
    for verdict in gate.submit(entrant(number, candidate, 0)):
        return verdict
    for piece, last in pieces(recording):
        for verdict in gate.observe(piece, last):
            if verdict.number == number:
                return verdict
    return None
