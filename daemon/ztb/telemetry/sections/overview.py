"""What came of a run, in sentences and key figures."""

from __future__ import annotations

from ztb.telemetry import texts
from ztb.telemetry.figures import KeyFigures
from ztb.telemetry.markup import Html, card, cards, text, tone
from ztb.telemetry.run_data import RunData


def verdict(figures: KeyFigures) -> Html:
    """The run against its yardsticks."""
    own = figures.total_return
    if own is None or figures.decisions == 0:
        return Html("<p class=lead>No decision has been made yet.</p>")
    sentences = [f"Over {texts.span(figures.last_ts - figures.first_ts)} the run {_moved(own)}."]
    if figures.hold_return is not None:
        sentences.append(f"Holding, at the same costs, {_moved(figures.hold_return)}.")
    if figures.frozen_return is not None:
        frozen = figures.frozen_return
        sentences.append(f"Generation 0, never updated, {_moved(frozen)}: learning {_worth(own - frozen)}.")
    return Html(f"<p class=lead>{text(' '.join(sentences))}</p>")


def _worth(apart: float) -> str:
    if abs(apart) < 5e-4:
        return "made no difference"
    return f"{'added' if apart > 0 else 'cost'} {abs(apart) * 100.0:,.1f} points"


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
            card("Hold", texts.percent(figures.hold_return), "same venue, same costs"),
            *_frozen(figures),
            card("Flat", texts.percent(0.0), "no position, no cost"),
            card("Sharpe ratio", texts.number(figures.sharpe), "annualised, risk-free rate 0"),
            card("Max drawdown", texts.percent(figures.max_drawdown, signed=False), "of equity at decisions"),
            card("Fees", f"{texts.number(figures.fees)} {quote}", _of_start(figures)),
            card("Turnover", f"{texts.number(figures.turnover, 1)} ×", "traded notional over mean equity"),
            card("Orders", texts.count(figures.orders), _orders_note(figures)),
            *_generations(figures.generations),
        ]
    )


def _of_start(figures: KeyFigures) -> str:
    share = figures.fees / figures.start_equity if figures.start_equity > 0 else None
    return f"{texts.percent(share, signed=False)} of the equity at the start"


def _orders_note(figures: KeyFigures) -> str:
    return f"{figures.fills:,} fills, {figures.rejects:,} rejected, {figures.refusals:,} refused by the gate"


def _frozen(figures: KeyFigures) -> list[Html]:
    """Generation 0 untouched, where there is one."""
    if figures.frozen_return is None:
        return []
    began = f"{figures.origin}, never updated" if figures.origin else "never updated"
    return [card("Generation 0, frozen", texts.percent(figures.frozen_return), began)]


def _generations(made: dict[str, int]) -> list[Html]:
    if not made["made"]:
        return []
    later = f"{made['promoted']} promoted, {made['rejected']} rejected, {made['rolled_back']} rolled back"
    return [card("Generations", texts.count(made["made"]), later)]
