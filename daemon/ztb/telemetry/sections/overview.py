"""What came of a run, in sentences and key figures."""

from __future__ import annotations

import numpy as np

from ztb.telemetry import texts
from ztb.telemetry.figures import KeyFigures
from ztb.telemetry.markup import Html, card, cards, text, tone
from ztb.telemetry.run_data import RunData
from ztb.telemetry.sections.gate import credit


def verdict(run: RunData, figures: KeyFigures) -> Html:
    """The run against its yardsticks."""
    own = figures.total_return
    if own is None or figures.decisions == 0:
        return Html("<p class=lead>No decision has been made yet.</p>")
    span = texts.span(figures.last_ts - figures.first_ts)
    sentences = [f"Over {span} the {'account' if run.experts else 'run'} {_moved(own)}{_invested(run)}."]
    sentences += _others(run, figures)
    return Html(f"<p class=lead>{text(' '.join([*sentences, credit(run)]).strip())}</p>")


def _invested(run: RunData) -> str:
    """How much of the account its experts had at most."""
    if not run.experts:
        return ""
    most = float(np.max(np.sum([one.weight for one in run.experts], axis=0)))
    return f"; its experts never had more than {texts.percent(most, 0, signed=False)} of it"


def _others(run: RunData, figures: KeyFigures) -> list[str]:
    """What others would have done on the same ticks."""
    of_zero = "with the whole account" if run.experts else "never updated"
    returns = {
        f"generation 0, {of_zero},": figures.frozen_return,
        "holding": figures.hold_return,
        **{f"the rule {name}": value for name, value in figures.at_full_size.items() if name != "hold"},
    }
    moved = [f"{name} {_moved(value)}" for name, value in returns.items() if value is not None]
    if not moved:
        return []
    listed = moved[0] if len(moved) == 1 else f"{', '.join(moved[:-1])} and {moved[-1]}"
    return [f"At the same costs {listed}."]


def _moved(change: float) -> str:
    if abs(change) < 5e-4:
        return "ended where it began"
    size = texts.percent(abs(change), signed=False)
    return f"gained {size}" if change > 0 else f"lost {size}"


def key_cards(run: RunData, figures: KeyFigures) -> Html:
    """The figures one looks for first."""
    quote = run.base_quote[1]
    ends = f"{texts.number(figures.start_equity)} → {texts.number(figures.end_equity)} {quote}"
    return cards(
        [
            card("Return", texts.percent(figures.total_return), ends, tone(figures.total_return)),
            *_frozen(run, figures),
            card("Hold", texts.percent(figures.hold_return), "same venue, same costs"),
            *_rules(figures),
            *_capital(run),
            *([] if run.experts else [card("Flat", texts.percent(0.0), "no position, no cost")]),
            card("Sharpe ratio", texts.number(figures.sharpe), _looked(run)),
            card("Max drawdown", texts.percent(figures.max_drawdown, signed=False), "of equity at decisions"),
            card("Fees", f"{texts.number(figures.fees)} {quote}", _of_start(figures)),
            card("Turnover", f"{texts.number(figures.turnover, 1)} ×", "traded notional over mean equity"),
            card("Orders", texts.count(figures.orders), _orders_note(figures)),
            *_generations(figures.generations),
        ]
    )


def _looked(run: RunData) -> str:
    """What a ratio is worth depends on how often one looked."""
    times = f"; {len(run.looks):,} look{'' if len(run.looks) == 1 else 's'} at this span" if run.looks else ""
    return f"annualised, from 30 days on, risk-free rate 0{times}"


def _of_start(figures: KeyFigures) -> str:
    share = figures.fees / figures.start_equity if figures.start_equity > 0 else None
    return f"{texts.percent(share, signed=False)} of the equity at the start"


def _orders_note(figures: KeyFigures) -> str:
    return f"{figures.fills:,} fills, {figures.rejects:,} rejected, {figures.refusals:,} refused by the gate"


def _frozen(run: RunData, figures: KeyFigures) -> list[Html]:
    """Generation 0 untouched, where there is one."""
    if figures.frozen_return is None:
        return []
    began = f"{figures.origin}, never updated" if figures.origin else "never updated"
    name = "Generation 0, full size" if run.experts else "Generation 0, frozen"
    return [card(name, texts.percent(figures.frozen_return), began)]


def _rules(figures: KeyFigures) -> list[Html]:
    """The rules that are experts, but for hold, which has a card of its own."""
    return [
        card(f"{name.capitalize()}, full size", texts.percent(value), "a rule, same costs")
        for name, value in figures.at_full_size.items()
        if name != "hold"
    ]


def _capital(run: RunData) -> list[Html]:
    """What the experts have at the end."""
    present = [one for one in run.experts if one.present]
    if not present:
        return []
    weights = {one.name: float(one.weight[-1]) for one in present}
    parts = ", ".join(f"{name} {texts.percent(weight, 1, signed=False)}" for name, weight in weights.items())
    whole = texts.percent(sum(weights.values()), 1, signed=False)
    return [card("Capital with experts", whole, parts)]


def _generations(made: dict[str, int]) -> list[Html]:
    if not made["made"]:
        return []
    later = f"{made['promoted']} promoted, {made['rejected']} rejected, {made['rolled_back']} rolled back"
    return [card("Generations", texts.count(made["made"]), later)]
