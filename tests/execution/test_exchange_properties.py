"""What holds for any market and any orders: conservation, legal lives, and the same bits however it is run."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.exchange_cases import PERP, SPOT, Actions, run
from execution.flows import mixed_ticks, random_flow
from ztb.execution.order_states import TERMINAL, OrderProgress, progress_after
from ztb.execution.orders import Filled, Funded, OrderEvent, OrderRequest
from ztb.execution.paper import PaperExchange
from ztb.execution.paper_config import PaperConfig
from ztb.market.instrument import Instrument
from ztb.market.ticks import BAR, QUOTE, TRADE, Ticks, empty_ticks
from ztb.utils.kernel import COMPILED

QUICK = PaperConfig(
    feed_latency_ms=1.0, feed_jitter_ms=1.0, submit_latency_ms=2.0, submit_jitter_ms=2.0, ack_latency_ms=2.0,
    ack_jitter_ms=2.0, cancel_latency_ms=3.0, cancel_jitter_ms=3.0, impact_half_life_ms=50.0,
    lost_timeout_ms=20.0, submit_lost_probability=0.05, submit_rejected_probability=0.05,
    ack_lost_probability=0.1, duplicate_probability=0.1, funding_rate_per_8h=0.001,
)  # fmt: skip
ROWS, ORDERS = 300, 40
KINDS = [(TRADE, QUOTE, 2, BAR), (TRADE,), (BAR,), (QUOTE, TRADE), (2, TRADE)]
CASES = st.tuples(st.integers(0, 2**32), st.sampled_from(KINDS), st.sampled_from([PERP, SPOT]))
Case = tuple[int, tuple[int, ...], Instrument]


def make(case: Case, **settings: object) -> tuple[PaperExchange, Ticks, Actions]:
    seed, kinds, instrument = case
    rng = np.random.default_rng(seed)
    config = replace(QUICK, queue_model="proportional" if seed % 2 else "pessimistic", **settings)  # type: ignore[arg-type]
    venue = PaperExchange(instrument, config, seed % 1000, 1e4)
    return venue, mixed_ticks(rng, ROWS, kinds), random_flow(rng, ROWS, ORDERS)


def settle(venue: PaperExchange, ticks: Ticks) -> list[OrderEvent]:
    """Let every report under way arrive: one more row, of no price, much later."""
    later = empty_ticks(1)
    later["kind"], later["flags"], later["ts_ns"] = 2, 0, ticks["ts_ns"][-1] + 10**12
    return run(venue, later)


def digest(venue: PaperExchange, events: list[OrderEvent]) -> str:
    state = b"".join(array.tobytes() for array in venue.state().values())
    return hashlib.sha256(state + repr(events).encode()).hexdigest()


@settings(max_examples=40, deadline=None)
@given(CASES)
def test_cash_and_position_are_conserved(case: Case) -> None:
    """The account is what its fills say, to the last lot; the venue's own books agree once all is told."""
    venue, ticks, flow = make(case)
    events = run(venue, ticks, flow) + settle(venue, ticks)
    fills = {event.fill_id: event for event in events if isinstance(event, Filled)}
    sides = {int(r["order_id"]): int(r["side"]) for r in venue.reports if r["side"] != 0}
    cash, lots = 1e4, 0
    for fill in fills.values():
        notional = fill.lots * 0.25 * fill.price_ticks * 0.5
        cash -= sides[fill.order_id] * notional
        cash -= notional * (0.001 if fill.liquidity == "maker" else 0.002)
        lots += sides[fill.order_id] * fill.lots
    cash += sum({e.ts_ns: e.amount for e in events if isinstance(e, Funded)}.values())
    account = venue.account[0]
    assert account["position"] == lots * 0.25 and account["n_fills"] == len(fills)
    assert account["cash"] == pytest.approx(cash, rel=1e-12)
    assert venue.exchange["cash"][0] == account["cash"]
    assert venue.exchange["position_lots"][0] == lots
    assert case[2].short or lots >= 0


@settings(max_examples=40, deadline=None)
@given(CASES)
def test_every_order_lives_by_the_table_and_partial_fills_sum(case: Case) -> None:
    venue, ticks, flow = make(case)
    sent: dict[int, int] = {}

    def watch(order: OrderRequest, now_ns: int) -> None:
        sent[order.order_id] = order.lots
        submit(order, now_ns)

    submit, venue.submit = venue.submit, watch  # type: ignore[method-assign]
    events = run(venue, ticks, flow) + settle(venue, ticks)
    lives = {order_id: OrderProgress(order_id, lots) for order_id, lots in sent.items()}
    filled: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for event in events:
        if not isinstance(event, Funded):
            lives[event.order_id] = progress_after(lives[event.order_id], event)
        if isinstance(event, Filled):
            filled[event.order_id].add((event.fill_id, event.lots))
    assert [event.ts_ns for event in events] == sorted(event.ts_ns for event in events)
    assert {i for i, life in lives.items() if life.state not in TERMINAL} == {
        o.order_id for o in venue.open_orders()
    }
    for order_id, life in lives.items():
        assert sum(lots for _, lots in filled[order_id]) == life.filled_lots <= life.lots


@settings(max_examples=25, deadline=None)
@given(CASES, st.lists(st.integers(1, ROWS - 1), max_size=12))
def test_block_boundaries_change_no_bit(case: Case, splits: list[int]) -> None:
    (whole, ticks, flow), (split, _, _) = make(case), make(case)
    assert digest(whole, run(whole, ticks, flow)) == digest(split, run(split, ticks, flow, splits))


@settings(max_examples=25, deadline=None)
@given(CASES, st.integers(1, ROWS - 1))
def test_a_saved_exchange_resumes_bit_for_bit(case: Case, cut: int) -> None:
    (whole, ticks, flow), (first, _, _), (second, _, _) = make(case), make(case), make((1, *case[1:]))
    expected = run(whole, ticks, flow)
    early = run(first, ticks[:cut], {row: acts for row, acts in flow.items() if row < cut})
    second.load_state(first.state())
    late = run(second, ticks[cut:], {row - cut: acts for row, acts in flow.items() if row >= cut})
    assert early + late == expected
    assert digest(second, []) == digest(whole, [])


@settings(max_examples=25, deadline=None)
@given(CASES, st.integers(1, ROWS - 1))
def test_later_ticks_change_nothing_known_before(case: Case, cut: int) -> None:
    (one, ticks, flow), (other, _, _) = make(case), make(case)
    changed = ticks.copy()
    changed[cut:] = mixed_ticks(np.random.default_rng(case[0] + 1), ROWS, case[1])[cut:]
    changed["ts_ns"] = ticks["ts_ns"]
    early = {row: acts for row, acts in flow.items() if row < cut}
    assert run(one, ticks[:cut], early) == run(other, changed[:cut], early)
    assert one.account.tobytes() == other.account.tobytes()


def small_view(view: np.ndarray) -> np.ndarray:
    """The same view with room for one level of depth: what an environment without depth needs, 150 bytes."""
    book = np.dtype([(name, "<i8") for name in ("bids", "asks")] + [
        (f"{side}_{what}", "<f8", (1,)) for side in ("bid", "ask") for what in ("price", "size")
    ])  # fmt: skip
    fields = [(name, book if name == "book" else view.dtype[name]) for name in view.dtype.names or ()]
    small = np.zeros(1, np.dtype(fields))
    for name in view.dtype.names or ():
        if name != "book":
            small[name] = view[name]
    return small


@pytest.mark.proof
def test_environments_without_depth_do_without_the_book() -> None:
    (venue, ticks, flow), (small, _, _) = (
        make((3, (TRADE, QUOTE, BAR), PERP)),
        make((3, (TRADE, QUOTE, BAR), PERP)),
    )
    small.view = small_view(small.view)
    assert run(venue, ticks, flow) == run(small, ticks, flow)
    assert venue.account.tobytes() == small.account.tobytes() and small.view.nbytes < 200


def all_digests() -> str:
    """Every kind of market, two queue models, two instruments: one digest of all states and events."""
    parts = []
    for seed, kinds in enumerate(KINDS):
        venue, ticks, flow = make((seed, kinds, PERP if seed % 3 else SPOT))
        parts.append(digest(venue, run(venue, ticks, flow)))
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def test_plain_python_gives_the_same_bits() -> None:
    tests = Path(__file__).resolve().parent.parent
    switch = {"NUMBA_DISABLE_JIT": "1" if COMPILED else "0"}
    env = os.environ | switch | {"PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent / "daemon")])}
    code = "from execution.test_exchange_properties import all_digests; print(all_digests())"
    result = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == all_digests()
