"""The place of a protective stop: the equity that it keeps, and the price at which the account would come to it.

Plain functions, of which the paper exchange makes kernels: a watchdog has no compiler.
"""

from __future__ import annotations

_NEAREST = 0.25  # of the fraction: no stop is placed nearer to what the account is worth
_LOWEST = 0.5  # of the mid

NO_FRACTION = "risk.protective_stop_fraction is 0"
"""Why a position has no stop; the other reasons are functions."""


def no_stops_at(venue: str) -> str:
    """The reason why a position has no stop where the venue has none, or none that can be followed."""
    return f"{venue} has no stop order there whose fills are told as its own"


def too_little(smallness: str) -> str:
    """The reason why a position has no stop where the venue would refuse it, `smallness` being what is too small."""
    return f"what is held is too little for one: {smallness}"


def reached(quantity: str, price: str) -> str:
    """A fill of a stop, in words."""
    return f"the protective stop was reached: {quantity} sold at {price}"


def floor_of(reference: float, equity: float, fraction: float) -> float:
    """The equity (quote currency) that a stop placed now keeps: all but `fraction` of `reference`.

    Where the account has come near to that already, it is counted from the `equity` of now: a stop that sells at once
    protects nothing.
    """
    floor = reference * (1.0 - fraction)
    if floor > equity * (1.0 - _NEAREST * fraction):
        floor = equity * (1.0 - fraction)
    return floor


def trigger_price(floor: float, cash: float, position: float, mid: float) -> float:
    """The price (quote currency) at which a long account of `cash` and `position` is worth `floor`.

    Never below half the mid: lower, few venues take one.
    """
    return max((floor - cash) / position, _LOWEST * mid)
