"""The life cycle of an order: closed, with ends that stay ends, and a diagram that is the table."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

import ztb.execution.order_states as order_states
from ztb.errors import InvariantError
from ztb.execution.order_states import (
    TERMINAL,
    TRANSITIONS,
    LifeEvent,
    OrderProgress,
    OrderState,
    diagram,
    next_state,
    progress_after,
    progress_of_open,
)
from ztb.execution.orders import (
    Accepted,
    Cancelled,
    Expired,
    Filled,
    Funded,
    OpenOrder,
    OrderEvent,
    OrderRequest,
    OrderType,
    Rejected,
)


@pytest.mark.parametrize(("state", "event"), list(product(OrderState, LifeEvent)))
def test_every_pair_steps_by_the_table_or_is_refused(state: OrderState, event: LifeEvent) -> None:
    if (state, event) in TRANSITIONS:
        assert next_state(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(InvariantError, match=state.value):
            next_state(state, event)


def test_ends_stay_ends_and_every_state_is_reached() -> None:
    assert all(after is state for (state, _), after in TRANSITIONS.items() if state in TERMINAL)
    assert set(TRANSITIONS.values()) | {OrderState.SUBMITTED} == set(OrderState)


def test_every_open_state_can_end() -> None:
    for state in set(OrderState) - TERMINAL:
        assert any(after in TERMINAL for (start, _), after in TRANSITIONS.items() if start is state)


def filled(lots: int, cumulative: int) -> Filled:
    return Filled(1, 0, cumulative, lots, 100, "taker", cumulative)


def progress(*events: OrderEvent) -> OrderProgress:
    state = OrderProgress(order_id=1, lots=10)
    for event in events:
        state = progress_after(state, event)
    return state


def test_fills_before_the_acceptance_and_reports_told_twice_change_nothing() -> None:
    once = progress(filled(4, 4), Accepted(1, 0), filled(6, 10))
    assert once == OrderProgress(1, 10, OrderState.FILLED, 10)
    assert (
        progress(filled(4, 4), filled(4, 4), Accepted(1, 0), Accepted(1, 0), filled(6, 10), filled(6, 10))
        == once
    )
    assert progress(Cancelled(1, 0, 10), Cancelled(1, 0, 10)).state is OrderState.CANCELLED


@pytest.mark.parametrize(
    "events",
    [
        (filled(11, 11),),
        (filled(4, 5),),
        (filled(10, 10), Cancelled(1, 0, 0)),
        (Cancelled(1, 0, 10), filled(4, 4)),
        (Accepted(1, 0), Rejected(1, 0, "price")),
        (Rejected(1, 0, "price"), Accepted(1, 0)),
        (filled(10, 10), Expired(1, 0, 0)),
        (Funded(0, 1.0),),
    ],
)
def test_contradictions_are_refused(events: tuple[OrderEvent, ...]) -> None:
    with pytest.raises(InvariantError):
        progress(*events)


def test_the_diagram_is_the_table() -> None:
    page = Path(order_states.__file__).with_name("ORDER_STATES.md").read_text()
    assert f"```mermaid\n{diagram()}```\n" in page


def test_an_order_that_was_left_open_is_as_far_as_it_had_come() -> None:
    request = OrderRequest(7, 1, 10, OrderType.LIMIT, 99)
    assert progress_of_open(OpenOrder(request, 10)) == OrderProgress(7, 10, OrderState.SUBMITTED, 0)
    assert progress_of_open(OpenOrder(request, 3)) == OrderProgress(7, 10, OrderState.PARTIALLY_FILLED, 7)
