"""Injected faults come at their stated rates and never corrupt the account."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from execution.exchange_cases import INSTANT, MS, PERP, T0, exchange, kinds, market, quotes, run
from ztb.errors import ConfigError, DataError, InvariantError
from ztb.execution.orders import Accepted, Filled, Funded, OrderRequest, OrderType, Rejected
from ztb.execution.paper import PaperExchange
from ztb.execution.paper_config import BOUNDS, PaperConfig

CONFIG = Path(__file__).resolve().parents[2] / "config"
N = 3000
ROWS = quotes(*((float(ms), 100.0, 101.0, 1e6, 1e6) for ms in range(N + 1)))
FLOW = {row: [market(row + 1, 1 - 2 * (row % 2), 1)] for row in range(N)}


def rate(count: int) -> float:
    return count / N


@pytest.mark.parametrize("probability", [0.0, 0.1, 1.0])
def test_lost_and_rejected_submits(probability: float) -> None:
    busy = run(exchange(submit_rejected_probability=probability), ROWS, FLOW)
    rejected = [e for e in busy if isinstance(e, Rejected)]
    assert rate(len(rejected)) == pytest.approx(probability, abs=0.02)
    assert {e.reason for e in rejected} <= {"venue_busy"}
    lost = run(exchange(submit_lost_probability=probability, lost_timeout_ms=5.0), ROWS, FLOW)
    losses = {e.order_id: e for e in lost if isinstance(e, Rejected)}
    assert rate(len(losses)) == pytest.approx(probability, abs=0.02)
    assert all(e.reason == "submit_lost" and e.ts_ns == T0 + (n + 4) * MS for n, e in losses.items())


def test_lost_acknowledgements_lose_nothing_else() -> None:
    events = run(exchange(ack_lost_probability=0.25), ROWS, FLOW)
    assert rate(kinds(events).count("Accepted")) == pytest.approx(0.75, abs=0.03)
    assert kinds(events).count("Filled") == N


def test_duplicates_are_told_twice_and_booked_once() -> None:
    venue, plain = exchange(duplicate_probability=0.25), exchange()
    events, once = run(venue, ROWS, FLOW), run(plain, ROWS, FLOW)
    assert len(events) / len(once) == pytest.approx(1.25, abs=0.03)
    assert [e for i, e in enumerate(events) if i == 0 or e != events[i - 1]] == once
    assert venue.account.tobytes() == plain.account.tobytes()


def test_longs_pay_funding_at_each_period_end() -> None:
    hour = 3_600_000.0
    ticks = quotes(*((h * hour, 100.0, 101.0, 9.0, 9.0) for h in range(24)))
    venue = exchange(funding_rate_per_8h=0.001)
    events = run(venue, ticks, {0: [market(1, 1, 8)]})
    funded = [e for e in events if isinstance(e, Funded)]
    assert [e.ts_ns % (8 * 3600 * 10**9) for e in funded] == [0, 0, 0]
    assert [e.amount for e in funded] == pytest.approx([-2.0 * 100.5 * 0.001] * 3)
    assert venue.account["funding"][0] == pytest.approx(-0.603)


def test_an_id_cannot_be_used_twice() -> None:
    venue = exchange()
    order = OrderRequest(1, 1, 4, OrderType.LIMIT, 100)
    venue.submit(order, T0)
    with pytest.raises(InvariantError, match="twice"):
        venue.submit(order, T0)


def test_uncollected_events_are_an_error_not_a_loss() -> None:
    venue = exchange()
    with pytest.raises(InvariantError, match=r"events\(\)"):
        for n in range(N):
            venue.submit(OrderRequest(n, 1, 1, OrderType.MARKET), int(ROWS["ts_ns"][n]))
            venue.advance(ROWS, n, n + 1)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("feed_latency_ms", -1.0),
        ("ack_jitter_ms", 30.0),
        ("bar_participation", 1.5),
        ("bar_participation", 0.0),
        ("submit_lost_probability", 1.1),
        ("walk_levels", 0),
        ("impact_half_life_ms", 0.0),
        ("queue_model", "lucky"),
        ("level_typical_sizes", float("nan")),
    ],
)
def test_settings_out_of_bounds_are_named(setting: str, value: float | str) -> None:
    with pytest.raises(ConfigError, match=setting):
        replace(PaperConfig(), **{setting: value})  # type: ignore[arg-type]


def test_what_is_shipped_says_the_defaults_and_the_bounds_of_each_number() -> None:
    shipped = json.loads((CONFIG / "trade-config.json").read_text())["paper"]
    assert shipped == asdict(PaperConfig())
    numbers = json.loads((CONFIG / "trade-config.schema.json").read_text())["$defs"]["PaperConfig"][
        "properties"
    ]
    told = {name: (told["minimum"], told["maximum"]) for name, told in numbers.items() if "minimum" in told}
    assert told == BOUNDS and set(shipped) - set(told) == {"queue_model"}


@pytest.mark.parametrize(
    "setting", [name for name in BOUNDS if "jitter" not in name and "latency" not in name]
)
def test_a_number_may_be_at_its_bounds_and_not_beyond(setting: str) -> None:
    low, high = BOUNDS[setting]
    for value in (low, high):
        assert getattr(replace(PaperConfig(), **{setting: value}), setting) == value  # type: ignore[arg-type]
    for value in (low - 1e-9 * max(1.0, abs(low)), high * (1.0 + 1e-9) + 1e-9):
        with pytest.raises(ConfigError, match=f"{setting} .*must lie between"):
            replace(PaperConfig(), **{setting: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["feed", "submit", "ack", "cancel"])
def test_a_latency_may_be_as_uncertain_as_it_is_long_and_no_more(name: str) -> None:
    latency, jitter = f"{name}_latency_ms", f"{name}_jitter_ms"
    assert getattr(replace(PaperConfig(), **{latency: 7.0, jitter: 7.0}), jitter) == 7.0  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=f"{jitter} is above {latency}"):
        replace(PaperConfig(), **{latency: 7.0, jitter: 7.1})  # type: ignore[arg-type]


def test_states_of_another_layout_are_refused() -> None:
    venue = PaperExchange(PERP, INSTANT, 1, 100.0)
    state = venue.state()
    with pytest.raises(DataError, match="orders"):
        venue.load_state(state | {"orders": state["orders"][:3]})


def test_events_name_their_order() -> None:
    assert {type(e) for e in run(exchange(), ROWS[:3], {0: FLOW[0]})} == {Accepted, Filled}
