"""Costs, choices, refusals and orders."""

from __future__ import annotations

from collections import Counter

from ztb.telemetry import texts
from ztb.telemetry.costs import TradingCosts
from ztb.telemetry.markup import Html, bar, card, cards, join, table, text, tone
from ztb.telemetry.run_data import RunData
from ztb.trading.sizing import TIMINGS

_TIMING_NAMES = ("wait", "passive", "aggressive")
_EVENTS = {"cancelrejected": "cancel rejected", "rolled_back": "rolled back"}


def cost_cards(run: RunData, spent: TradingCosts) -> Html:
    """The share of costs in the result, in their four parts."""
    quote = run.base_quote[1]
    maker = spent.maker_notional / spent.traded if spent.traded > 0 else None
    share = "no gain" if spent.share is None else texts.percent(spent.share, signed=False)
    parts = spent.shortfall
    return cards(
        [
            card(
                "Before costs", f"{texts.signed(spent.before_costs)} {quote}", "at the mids of the decisions"
            ),
            *(
                card(
                    name,
                    f"{texts.number(cost)} {quote}",
                    f"{texts.number(spent.basis_points(cost))} bp: {what}",
                )
                for name, cost, what in (
                    ("Fees", spent.fees, "of what was traded, to the venue"),
                    ("Spread", parts.spread, "half the typical one, earned by makers"),
                    ("Slippage", parts.slippage, "beyond an order's first fill"),
                    ("Latency", parts.latency, "the market moved before the first fill"),
                )
            ),
            card("Result", f"{texts.signed(spent.result)} {quote}", "after all costs", tone(spent.result)),
            card("Taken by costs", share, "costs over the result before them"),
            card(
                "Filled as maker",
                texts.percent(maker, signed=False),
                f"of {texts.number(spent.traded, 0)} {quote}",
            ),
        ]
    )


def actions(run: RunData) -> Html:
    """The frequency of each target with each timing, as shares of all decisions."""
    decisions = run.decisions
    n = max(len(decisions.size), 1)
    chosen = Counter(zip(decisions.size.tolist(), decisions.timing.tolist(), strict=True))
    rows: list[list[Html]] = []
    for size, rung in enumerate(run.ladder):
        counts = [chosen[size, timing] for timing in range(TIMINGS)]
        shares = [times / n for times in (*counts, sum(counts))]
        target = text(texts.percent(rung, 0, signed=min(run.ladder) < 0))
        rows.append([target, *(bar(share, texts.percent(share, signed=False)) for share in shares)])
    return table(("Target", *_TIMING_NAMES, "all"), rows, "Share of decisions by target exposure and timing")


def refusals(run: RunData) -> Html:
    """Refused by our own gate, and what became of orders that were sent."""
    return join([_refused(run), _orders(run)])


def _refused(run: RunData) -> Html:
    if not run.refusals:
        return Html("<p>The risk gate refused nothing.</p>")
    times: dict[str, list[int]] = {}
    for row in run.refusals:
        times.setdefault(row.reason, []).append(row.ts_ns)
    rows = [
        [
            text(reason.replace("_", " ")),
            text(texts.moment(moments[0])),
            text(texts.moment(moments[-1])),
            bar(len(moments) / len(run.refusals), texts.count(len(moments))),
        ]
        for reason, moments in sorted(times.items(), key=lambda item: -len(item[1]))
    ]
    return table(("Reason", "First", "Last", "Times"), rows, "Refused by the risk gate", words=3)


def _orders(run: RunData) -> Html:
    if not run.orders:
        return Html("<p>No order was sent.</p>")
    sent = Counter((f"sent, {'buy' if row.side > 0 else 'sell'}", row.order_type) for row in run.orders)
    heard = Counter((_EVENTS.get(row.event, row.event), row.reason or "") for row in run.events)
    rows = [
        [text(what), text(detail.replace("_", " ")), text(texts.count(times))]
        for (what, detail), times in (*sorted(sent.items()), *heard.most_common())
    ]
    return table(
        ("What", "Kind or reason", "Times"), rows, "Orders, and what the venue said of them", words=2
    )
