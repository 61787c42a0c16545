"""Each latency and fault draws at a place of its own, keyed by order and report; small orders meet the filter exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ztb.execution import latency
from ztb.execution.filters import is_enough
from ztb.execution.latency import DRAWS
from ztb.execution.paper_state import EXCHANGE, NONE, SUBMIT_LOST, VENUE_BUSY
from ztb.utils.kernel import kernel
from ztb.utils.rng import STREAM_FAULT, STREAM_LATENCY, uniform

SEED, ORDER = 5, 21


# A record passes only between kernels.
@kernel
def _delays(exchange: np.ndarray, order_id: int, report: int) -> tuple[int, int, int]:
    own = exchange[0]
    return (
        latency.submit_delay(own, order_id), latency.cancel_delay(own, order_id),
        latency.ack_delay(own, order_id, report),
    )  # fmt: skip


@kernel
def _faults(exchange: np.ndarray, order_id: int, report: int) -> tuple[int, bool, bool]:
    own = exchange[0]
    return (
        latency.submit_fault(own, order_id), latency.ack_is_lost(own, order_id),
        latency.is_duplicated(own, order_id, report),
    )  # fmt: skip


def made(**settings: Any) -> np.ndarray:
    exchange = np.zeros(1, EXCHANGE)
    exchange["seed"] = SEED
    for name, value in settings.items():
        exchange[name] = value
    return exchange


def delay(mean: float, jitter: float, draw: int) -> int:
    return int(mean + jitter * (2.0 * uniform(SEED, STREAM_LATENCY, ORDER * DRAWS + draw) - 1.0))


@pytest.mark.parametrize("report", [0, 1, DRAWS - 8, DRAWS + 3])
def test_a_delay_is_its_mean_and_a_share_of_its_jitter_drawn_at_its_own_place(report):
    given = {"feed_ns": (900, 70), "submit_ns": (5000, 400), "cancel_ns": (7000, 600), "ack_ns": (300, 20)}
    submit, cancel, ack = _delays(made(**given), ORDER, report)
    assert submit == delay(900, 70, 0) + delay(5000, 400, 1)
    assert cancel == delay(900, 70, 2) + delay(7000, 600, 3)
    assert ack == delay(300, 20, (8 + report) % DRAWS)


def chance(draw: int) -> float:
    return uniform(SEED, STREAM_FAULT, ORDER * DRAWS + draw)


@pytest.mark.parametrize("report", [0, 2])
def test_a_fault_happens_as_often_as_it_should_drawn_at_its_own_place(report):
    draws = {"submit_lost": 0, "submit_rejected": 1, "ack_lost": 2, "duplicated": 8 + report}
    likely = {name: np.nextafter(chance(draw), 1.0) for name, draw in draws.items()}
    unlikely = {name: chance(draw) for name, draw in draws.items()}
    assert _faults(made(**unlikely), ORDER, report) == (NONE, False, False)
    assert _faults(made(**likely), ORDER, report) == (SUBMIT_LOST, True, True)
    assert _faults(made(**likely | {"submit_lost": 0.0}), ORDER, report) == (VENUE_BUSY, True, True)
    assert _faults(made(), ORDER, report) == (NONE, False, False)


@pytest.mark.parametrize(
    ("quantity", "price", "least", "enough"),
    [
        (0.5, 10.0, (0.5, 5.0), True),
        (0.5, 9.9, (0.5, 5.0), False),
        (0.4, 20.0, (0.5, 5.0), False),
        (3 * 0.1, 10.0, (0.3, 0.0), True),
        (0.3 * (1.0 - 1e-13), 10.0, (0.3, 0.0), True),  # as a product of whole lots may fall short
        (0.3 * (1.0 - 1e-11), 10.0, (0.3, 0.0), False),
        (0.0, 0.0, (0.0, 0.0), True),
    ],
)
def test_an_order_is_enough_if_both_its_quantity_and_its_value_are(quantity, price, least, enough):
    assert is_enough(quantity, price, *least) is enough
