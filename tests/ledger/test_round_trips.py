"""Round trips: first in, first out, and what all of them earned is what the account earned."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from ledger.test_accounts import instrument
from ztb.ledger.accounts import Account
from ztb.ledger.round_trips import Movement, Paid, PositionChange, RoundTrip, RoundTrips

D = Decimal
HOUR = 3_600 * 10**9


def bought(hour: int, quantity: str, price: str, fee: str = "0", order: int | None = None) -> PositionChange:
    return PositionChange(hour * HOUR, D(quantity), D(price), D(fee), order, order and order % 3)


def closed(trip: RoundTrip) -> tuple[int, Decimal, Decimal, Decimal | None, Decimal]:
    return trip.side, trip.quantity, trip.entry_price, trip.exit_price, trip.net_profit(D(0))


def test_the_oldest_quantity_is_closed_first_and_fees_go_with_it():
    trips = RoundTrips(
        [bought(0, "2", "100", "4", 1), bought(1, "1", "110", "3", 2), bought(5, "-2.5", "120", "5", 3)]
    )
    first, second = trips.closed
    assert closed(first) == (1, D(2), D(100), D(120), D(2) * 20 - 4 - D(5) * 2 / D("2.5"))
    assert closed(second) == (1, D("0.5"), D(110), D(120), D("0.5") * 10 - D("1.5") - 1)
    assert (first.entry_order, first.exit_order, first.generation) == (1, 3, 1)
    assert first.exit_ns is not None and first.exit_ns - first.entry_ns == 5 * HOUR
    (left,) = trips.open
    assert (left.quantity, left.fees, left.exit_price) == (D("0.5"), D("1.5"), None)
    assert left.net_profit(D(130)) == 10 - D("1.5")


def test_a_turn_closes_what_is_long_and_opens_what_is_short():
    trips = RoundTrips([bought(0, "1", "100", "0", 1), bought(1, "-3", "90", "6", 2)])
    assert closed(trips.closed[0]) == (1, D(1), D(100), D(90), D(-12))
    (short,) = trips.open
    assert (short.side, short.quantity, short.fees, short.net_profit(D(80))) == (-1, D(2), D(4), D(16))


def test_the_fills_of_the_same_two_orders_are_one_trade_at_their_mean_prices():
    trips = RoundTrips(
        [
            bought(0, "1", "100", "1", 1), bought(1, "3", "104", "1", 1),
            bought(2, "-2", "110", "1", 2), bought(3, "-2", "112", "1", 2),
        ]
    )  # fmt: skip
    (trip,) = trips.closed
    assert closed(trip) == (1, D(4), D(103), D(111), D(32 - 4))
    assert (trip.entry_ns, trip.exit_ns) == (0, 3 * HOUR)
    apart = RoundTrips(
        [bought(0, "1", "100", "0", 1), bought(1, "1", "100", "0", 2), bought(2, "-2", "101", "0", 3)]
    )
    assert [trip.entry_order for trip in apart.closed] == [1, 2]


def test_funding_is_of_those_who_hold_and_after_the_last_exit_of_whoever_held_last():
    trips = RoundTrips(
        [
            bought(0, "-1", "100", "0", 1), bought(1, "-3", "100", "0", 2), Paid(HOUR, D(8)),
            bought(2, "4", "100", "0", 3), Paid(HOUR, D("0.5")),
        ]
    )  # fmt: skip
    assert [trip.funding for trip in trips.closed] == [D(2), D("6.5")]


LOT, TICK = D("0.001"), D("0.5")
QUANTITY = st.integers(-5_000, 5_000)
PRICE = st.integers(100, 1_000)
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("fill"), QUANTITY.filter(bool), PRICE, st.integers(1, 4), st.integers(0, 3)),
        st.tuples(st.just("funding"), st.integers(-50, 50)),
        st.tuples(st.just("adopted"), st.integers(-100, 100), QUANTITY, PRICE),
    ),
    max_size=60,
)


@given(moves=MOVES, mid=st.floats(1.0, 2_000.0))
def test_what_all_trades_earned_is_what_the_exact_account_earned(moves, mid):
    account = Account(instrument(str(TICK), str(LOT)), D(10_000))
    movements: list[Movement] = []
    put_in = D(10_000)
    for move in moves:
        if move[0] == "fill":
            _, lots, ticks, order, base = move
            base_fee, before = base * LOT / 4, account.fees_units
            account.fill(1 if lots > 0 else -1, abs(lots), ticks, "taker")
            account.base_fee(base_fee, ticks)
            fee = (account.fees_units - before) * account.unit
            movements.append(PositionChange(0, lots * LOT - base_fee, ticks * TICK, fee, order, 0))
        elif move[0] == "funding":
            if account.exact_position:
                account.fund(D(move[1]))
                movements.append(Paid(0, D(move[1])))
        else:
            _, cash, lots, ticks = move
            account.adopt(D(cash), lots * LOT)
            put_in += cash + lots * LOT * ticks * TICK
            movements.append(PositionChange(0, lots * LOT, ticks * TICK))
    trips = RoundTrips(movements)
    assert sum(trip.side * trip.quantity for trip in trips.open) == account.exact_position
    assert len({trip.side for trip in trips.open}) <= 1
    earned = sum((trip.net_profit(D(mid)) for trip in trips), D(0))
    equity = account.exact_cash + account.exact_position * D(mid)
    assert abs(earned - (equity - put_in)) < D("1e-12") * max(1, abs(equity))
    assert abs(sum((trip.fees for trip in trips), D(0)) - account.fees_units * account.unit) < D("1e-12")
