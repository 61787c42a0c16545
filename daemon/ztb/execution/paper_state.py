"""The paper exchange's memory: three small arrays that can be saved, compared and held a thousand times.

EXCHANGE is one record (costs, latencies and models; clocks and counters), ORDER one slot of a table of open
orders, REPORT one entry of the ring of what the venue said. The lengths of table and ring are their owner's
choice: 64 and 1,024 for a daemon, a handful for an environment.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

NEVER = 2**62
"""A time that does not come, nanoseconds."""

EXCHANGE: np.dtype[np.void] = np.dtype(
    [
        # the instrument
        ("tick_size", "<f8"),
        ("lot_size", "<f8"),
        ("min_notional", "<f8"),
        ("min_quantity", "<f8"),
        ("maker_fee", "<f8"),
        ("taker_fee", "<f8"),
        ("short", "<i8"),
        ("keeps_stops", "<i8"),
        # the models, see PaperConfig
        ("seed", "<i8"),
        ("feed_ns", "<f8", (2,)),  # latencies: mean and jitter
        ("submit_ns", "<f8", (2,)),
        ("ack_ns", "<f8", (2,)),
        ("cancel_ns", "<f8", (2,)),
        ("lost_timeout_ns", "<i8"),
        ("proportional_queue", "<i8"),
        ("level_typical_sizes", "<f8"),
        ("level_spacing_spreads", "<f8"),
        ("walk_levels", "<i8"),
        ("impact_half_life_ns", "<f8"),
        ("bar_participation", "<f8"),
        ("submit_lost", "<f8"),  # probabilities
        ("submit_rejected", "<f8"),
        ("ack_lost", "<f8"),
        ("duplicated", "<f8"),
        ("funding_rate", "<f8"),  # a period
        # the venue's own books: fills count here at once, in the account when they are reported
        ("cash", "<f8"),
        ("position_lots", "<i8"),
        ("consumed", "<f8", (2,)),  # base currency we took from asks [0] and bids [1] ...
        ("consumed_ns", "<i8", (2,)),  # ... as it stood then
        ("on_bars", "<i8"),  # the last prices came from a bar
        # the protective stop, see paper_stop
        ("stop_ticks", "<i8"),  # 0: none stands
        ("stop_lots", "<i8"),
        ("stop_floor", "<f8"),  # the equity that it keeps, ...
        ("stop_reference", "<f8"),  # ... counted from this one
        ("stops", "<i8"),  # that were reached
        # clocks and counters
        ("now_ns", "<i8"),
        ("action_ns", "<i8"),  # the earliest arrival, cancel or funding to come
        ("report_ns", "<i8"),  # when the next report reaches us
        ("last_report_ns", "<i8"),
        ("funding_ns", "<i8"),
        ("buy_ticks", "<i8"),  # our highest resting buy, 0 if none
        ("sell_ticks", "<i8"),  # our lowest resting sell, NEVER if none
        ("resting", "<i8"),
        ("used", "<i8"),  # slots [0, used) of the table may be taken
        ("sent", "<i8"),  # orders and cancels
        ("fills", "<i8"),
        ("written", "<i8"),  # reports made, ...
        ("delivered", "<i8"),  # ... known to us, ...
        ("read", "<i8"),  # ... and collected
        ("overflowed", "<i8"),  # reports lost because nobody collected: an error
    ]
)

ORDER: np.dtype[np.void] = np.dtype(
    [
        ("order_id", "<i8"),
        ("sequence", "<i8"),
        ("status", "<i8"),
        ("reported", "<i8"),  # we know that it is done
        ("side", "<i8"),
        ("lots", "<i8"),
        ("remaining", "<i8"),  # as the venue knows
        ("known_remaining", "<i8"),  # as reports have told us
        ("order_type", "<i8"),
        ("price_ticks", "<i8"),
        ("time_in_force", "<i8"),
        ("post_only", "<i8"),
        ("reduce_only", "<i8"),
        ("fault", "<i8"),  # the reason an injected fault will give
        ("reports", "<i8"),
        ("arrival_ns", "<i8"),
        ("cancel_ns", "<i8"),  # when a cancel arrives, NEVER without one
        ("cancel_sequence", "<i8"),
        ("ahead", "<f8"),  # base currency queued before us at our price
        ("level", "<f8"),  # all that others show at our price, as last seen
        ("level_traded", "<f8"),  # traded there since
    ]
)

REPORT: np.dtype[np.void] = np.dtype(
    [
        ("kind", "<i8"),
        ("order_id", "<i8"),
        ("slot", "<i8"),  # -1: no order of the table
        ("ts_ns", "<i8"),  # when it happened at the venue
        ("due_ns", "<i8"),  # when it reaches us
        ("copies", "<i8"),
        ("reason", "<i8"),
        ("side", "<i8"),
        ("lots", "<i8"),
        ("price_ticks", "<i8"),
        ("fill_id", "<i8"),
        ("maker", "<i8"),
        ("cumulative_lots", "<i8"),
        ("last", "<i8"),  # the order is done
        ("amount", "<f8"),  # the fee of a fill, or funding received
    ]
)


class PaperOrderStatus(IntEnum):
    FREE = 0
    IN_FLIGHT = 1
    RESTING = 2
    DONE = 3


class ReportKind(IntEnum):
    ACCEPTED = 0
    REJECTED = 1
    FILLED = 2
    CANCELLED = 3
    CANCEL_REJECTED = 4
    EXPIRED = 5
    FUNDED = 6


class RejectReason(IntEnum):
    NONE = 0
    QUANTITY = 1
    PRICE = 2
    MIN_NOTIONAL = 3
    NO_MARKET = 4
    WOULD_CROSS = 5
    POST_ONLY_TYPE = 6
    REDUCE_ONLY = 7
    INSUFFICIENT_BALANCE = 8
    TOO_MANY_ORDERS = 9
    UNKNOWN_ORDER = 10
    ALREADY_DONE = 11
    SUBMIT_LOST = 12
    VENUE_BUSY = 13


# Kernels read plain integers: an enum's member costs compile time.
FREE, IN_FLIGHT, RESTING, DONE = (int(status) for status in PaperOrderStatus)
ACCEPTED, REJECTED, FILLED, CANCELLED, CANCEL_REJECTED, EXPIRED, FUNDED = (int(k) for k in ReportKind)
(
    NONE, QUANTITY, PRICE, MIN_NOTIONAL, NO_MARKET, WOULD_CROSS, POST_ONLY_TYPE, REDUCE_ONLY,
    INSUFFICIENT_BALANCE, TOO_MANY_ORDERS, UNKNOWN_ORDER, ALREADY_DONE, SUBMIT_LOST, VENUE_BUSY,
) = (int(reason) for reason in RejectReason)  # fmt: skip
