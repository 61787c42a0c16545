"""What a symbol's filters refuse."""

from __future__ import annotations

from ztb.testing.exchange.listing import Listing
from ztb.testing.exchange.orders import OrderRequest, OrderType, Side
from ztb.testing.exchange.refusals import filter_failure
from ztb.testing.exchange.units import cost_of


def check_filters(listing: Listing, request: OrderRequest, last_price: int) -> None:
    """Raise a Refusal that names the first filter which `request` breaks; `last_price` in units."""
    if request.type is not OrderType.MARKET:
        _check_price(listing, request, last_price)
    if request.quote_quantity:
        _check_notional(listing, request.quote_quantity)
        return
    if not listing.lot <= request.quantity <= listing.max_quantity or request.quantity % listing.lot:
        raise filter_failure("LOT_SIZE")
    price = last_price if request.type is OrderType.MARKET else request.price
    _check_notional(listing, cost_of(price, request.quantity))


def _check_price(listing: Listing, request: OrderRequest, last_price: int) -> None:
    price = request.price
    if not listing.tick <= price <= listing.max_price or price % listing.tick:
        raise filter_failure("PRICE_FILTER")
    too_high = request.side is Side.BUY and price > last_price * listing.band
    too_low = request.side is Side.SELL and price * listing.band < last_price
    if too_high or too_low:
        raise filter_failure("PERCENT_PRICE_BY_SIDE")


def _check_notional(listing: Listing, notional: int) -> None:
    if notional < listing.min_notional:
        raise filter_failure("NOTIONAL")
