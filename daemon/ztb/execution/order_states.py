"""The life of an order as a table: (state, event) to state. What the table lacks must not happen.

A fill may arrive before the acceptance, or instead of it when the acknowledgement was lost. Accepted twice is
the same as once; a fill reported twice is known by its cumulative quantity and changes nothing. An order whose
sending had no answer is unknown until the venue, asked, tells of it, or does not know it: then it is rejected.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import assert_never

import msgspec

from ztb.errors import InvariantError
from ztb.execution.orders import (
    Accepted,
    Cancelled,
    CancelRejected,
    CancelRequested,
    Expired,
    Filled,
    Funded,
    OpenOrder,
    OrderEvent,
    Rejected,
    SubmitUnknown,
)


class OrderState(StrEnum):
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    OPEN = "open"
    PARTIALLY_FILLED = "partially filled"
    PENDING_CANCEL = "pending cancel"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"


class LifeEvent(StrEnum):
    ACCEPTED = "accepted"
    SUBMIT_UNKNOWN = "submit unknown"
    PARTIAL_FILL = "partial fill"
    FINAL_FILL = "final fill"
    CANCEL_REQUESTED = "cancel requested"
    CANCELLED = "cancelled"
    CANCEL_REJECTED = "cancel rejected"
    EXPIRED = "expired"
    REJECTED = "rejected"


_S, _E = OrderState, LifeEvent
TERMINAL = frozenset({_S.FILLED, _S.CANCELLED, _S.EXPIRED, _S.REJECTED})
_ENDS = {
    _E.FINAL_FILL: _S.FILLED,
    _E.CANCELLED: _S.CANCELLED,
    _E.EXPIRED: _S.EXPIRED,
}


def _table() -> dict[tuple[OrderState, LifeEvent], OrderState]:
    live = [state for state in OrderState if state not in TERMINAL]
    arriving = (_S.SUBMITTED, _S.UNKNOWN)
    table = {(state, event): end for state in live for event, end in _ENDS.items()}
    for state in live:
        table[state, _E.ACCEPTED] = _S.OPEN if state in arriving else state
        table[state, _E.PARTIAL_FILL] = state if state is _S.PENDING_CANCEL else _S.PARTIALLY_FILLED
        table[state, _E.CANCEL_REQUESTED] = _S.PENDING_CANCEL
    for state in (*arriving, _S.PENDING_CANCEL):
        table[state, _E.REJECTED] = _S.REJECTED
    # The second word of an end, and the end of a cancel that came too early or too late, change nothing; nor does
    # a missing answer, where the venue has already told of the order otherwise.
    for state, event in ((_S.CANCELLED, _E.CANCELLED), (_S.EXPIRED, _E.EXPIRED), (_S.REJECTED, _E.REJECTED)):
        table[state, event] = state
    table |= {(state, _E.CANCEL_REJECTED): state for state in OrderState}
    table |= {(state, _E.SUBMIT_UNKNOWN): state for state in OrderState if state is not _S.REJECTED}
    table[_S.SUBMITTED, _E.SUBMIT_UNKNOWN] = _S.UNKNOWN
    table[_S.PENDING_CANCEL, _E.CANCEL_REJECTED] = _S.OPEN
    return table


TRANSITIONS: Mapping[tuple[OrderState, LifeEvent], OrderState] = MappingProxyType(_table())
"""Every legal step. Whatever is not here raises InvariantError."""


def next_state(state: OrderState, event: LifeEvent) -> OrderState:
    """The state after `event`; InvariantError if the table has no such step."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise InvariantError(f"an order that is {state.value} cannot be {event.value}") from None


class OrderProgress(msgspec.Struct, frozen=True):
    """The progress of an order of `lots`."""

    order_id: int
    lots: int
    state: OrderState = OrderState.SUBMITTED
    filled_lots: int = 0


def progress_of_open(order: OpenOrder) -> OrderProgress:
    """An order that was left open, as far as it had come."""
    filled = order.request.lots - order.remaining_lots
    state = OrderState.PARTIALLY_FILLED if filled else OrderState.SUBMITTED
    return OrderProgress(order.order_id, order.request.lots, state, filled)


def progress_after(progress: OrderProgress, event: OrderEvent) -> OrderProgress:
    """The progress after a report on the order; InvariantError if it contradicts what came before."""
    match event:
        case Filled():
            return _after_fill(progress, event)
        case Accepted():
            life = LifeEvent.ACCEPTED
        case Rejected():
            life = LifeEvent.REJECTED
        case SubmitUnknown():
            life = LifeEvent.SUBMIT_UNKNOWN
        case CancelRequested():
            life = LifeEvent.CANCEL_REQUESTED
        case Cancelled():
            life = LifeEvent.CANCELLED
        case CancelRejected():
            life = LifeEvent.CANCEL_REJECTED
        case Expired():
            life = LifeEvent.EXPIRED
        case Funded():
            raise InvariantError("funding concerns no order")
        case _:
            assert_never(event)
    state = next_state(progress.state, life)
    return OrderProgress(progress.order_id, progress.lots, state, progress.filled_lots)


def _after_fill(progress: OrderProgress, fill: Filled) -> OrderProgress:
    if fill.cumulative_lots <= progress.filled_lots:
        return progress
    if fill.cumulative_lots != progress.filled_lots + fill.lots or fill.cumulative_lots > progress.lots:
        raise InvariantError(
            f"order {progress.order_id}: fill of {fill.lots} to {fill.cumulative_lots} lots "
            f"after {progress.filled_lots} of {progress.lots}"
        )
    final = fill.cumulative_lots == progress.lots
    state = next_state(progress.state, LifeEvent.FINAL_FILL if final else LifeEvent.PARTIAL_FILL)
    return OrderProgress(progress.order_id, progress.lots, state, fill.cumulative_lots)


def diagram() -> str:
    """The table as a Mermaid state diagram; steps that change nothing are left out."""
    lines = ["stateDiagram-v2", f"    [*] --> {OrderState.SUBMITTED.name}"]
    for (state, event), after in TRANSITIONS.items():
        if state is not after:
            lines.append(f"    {state.name} --> {after.name}: {event.value}")
    lines += [f"    {state.name} --> [*]" for state in OrderState if state in TERMINAL]
    return "\n".join(lines) + "\n"
