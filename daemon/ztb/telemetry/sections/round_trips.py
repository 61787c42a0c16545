"""Round trips: the figures traders judge by, and a table of them."""

from __future__ import annotations

from collections.abc import Sequence

from ztb.telemetry import texts
from ztb.telemetry.markup import Html, card, cards, join, sort_key, table, text, tone
from ztb.telemetry.run_data import RunData
from ztb.telemetry.trades import ReportedTrade, TradeStatistics, trade_statistics, trades

_MOST_ROWS = 750
_HEADS = ("Side", "Expert", "Generation", "Entry", "Entry price", "Exit", "Exit price", "Quantity", "Net profit",
          "Return", "Fees", "Held", "Why")  # fmt: skip


def round_trips(run: RunData) -> Html:
    """Statistics and the newest round trips, those that are open first."""
    found = trades(run)
    if not found:
        return Html("<p>Nothing was bought or sold.</p>")
    newest = sorted(found, key=lambda one: (one.closed, -(one.trip.exit_ns or one.trip.entry_ns)))
    shown = newest[:_MOST_ROWS]
    left = (
        f" The {len(shown):,} newest of {len(found):,}; the Python table run.trades has them all."
        if len(shown) < len(found)
        else ""
    )
    base, quote = run.base_quote
    note = (
        "What is sold closes what was bought first. A generation is the one that led at the entry, an expert the one "
        f"that wanted most of it. Quantities are {base}, money is {quote}; together with what is open, net profits are "
        f"the change of equity.{left}"
    )
    listed = table(_HEADS, [_row(one) for one in shown], "Round trips", words=3, sorts=True, wide=True)
    return join([statistics(run, trade_statistics(run, found)), Html(f"<p>{text(note)}</p>"), listed])


def statistics(run: RunData, found: TradeStatistics) -> Html:
    """Win rate, profit factor, expectancy, holding time, exposure."""
    quote = run.base_quote[1]
    held = texts.MISSING if found.holding_ns is None else texts.span(found.holding_ns)
    still = f", {found.open:,} open" if found.open else ""
    return cards(
        [
            card("Round trips", texts.count(found.closed), f"closed{still}"),
            card("Win rate", texts.percent(found.win_rate, signed=False), f"{found.won:,} won"),
            card("Profit factor", texts.number(found.profit_factor), _factor(found, quote)),
            card("Expectancy", _money(found.expectancy, quote), "net, a round trip", tone(found.expectancy)),
            card("Best", _money(found.best, quote), "round trip", tone(found.best)),
            card("Worst", _money(found.worst, quote), "round trip", tone(found.worst)),
            card("Average holding time", held, "from entry to exit"),
            card(
                "In the market", texts.percent(found.in_market, signed=False), "of decisions with a position"
            ),
            card(
                "Average exposure", texts.percent(found.exposure, signed=False), "position value over equity"
            ),
        ]
    )


def _factor(found: TradeStatistics, quote: str) -> str:
    if not found.gross_loss:
        return "no loss to divide by"
    return f"{texts.number(found.gross_profit)} won, {texts.number(found.gross_loss)} {quote} lost"


def _money(value: float | None, quote: str) -> str:
    return texts.MISSING if value is None else f"{texts.signed(value)} {quote}"


def _row(one: ReportedTrade) -> list[Html]:
    trip = one.trip
    long = trip.side > 0
    exit_price = text("open") if trip.exit_price is None else text(texts.price(trip.exit_price))
    return [
        Html(f'<span class="{"up" if long else "down"}">{"▲ long" if long else "▼ short"}</span>'),
        text(one.expert),
        text(texts.MISSING if trip.generation is None else f"g{trip.generation}"),
        text(texts.stamp(trip.entry_ns)),
        text(texts.price(trip.entry_price)),
        text(texts.stamp(trip.exit_ns)),
        exit_price,
        text(texts.significant(float(trip.quantity))),
        Html(f'<span class="{tone(one.net)}">{text(texts.signed(one.net))}</span>'),
        text(texts.percent(one.net / one.invested if one.invested else None, 2)),
        text(texts.number(float(trip.fees))),
        sort_key(
            (one.holding_ns or 0) // 10**9, texts.span(one.holding_ns or 0) if one.closed else texts.MISSING
        ),
        _why((trip.entry_order, trip.exit_order)),
    ]


def _why(orders: Sequence[int | None]) -> Html:
    """Links to what led to the entry and to the exit."""
    named = [
        (word, order) for word, order in zip(("entry", "exit"), orders, strict=True) if order is not None
    ]
    return join([Html(f'<a href="#order-{order}">{word}</a>') for word, order in named])
