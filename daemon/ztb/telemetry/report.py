"""`report.html`: one self-contained page about a run, made from the journal alone where it must be."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ztb.ledger.export import export_decisions
from ztb.ledger.run_directory import RunDirectory
from ztb.telemetry import texts
from ztb.telemetry.charts import BUCKETS, equity_svg
from ztb.telemetry.costs import costs
from ztb.telemetry.figures import KeyFigures, key_figures
from ztb.telemetry.markup import Html, embedded_json, fill, join, text
from ztb.telemetry.plots import MOST_FILLS, equity_lines, learning_charts, learning_labels, time_charts
from ztb.telemetry.run_data import RunData, load_run
from ztb.telemetry.sections import (
    capital,
    gate,
    generations,
    overview,
    periods,
    provenance,
    round_trips,
    trading,
)
from ztb.utils import files

_HERE = Path(__file__).parent


def write_report(directory: RunDirectory) -> Path:
    """Write the page of a run, finished or not, in one step; returns where it is.

    Also makes `decisions.parquet` again where the run did not live to. DataError: there is no readable journal.
    """
    run = load_run(directory)
    if run.summary is None or not directory.decisions.exists():
        export_decisions(directory.journal, directory.decisions)
    files.write_durably(directory.report, page(run).encode())
    return directory.report


def page(run: RunData) -> str:
    """The whole page."""
    figures = key_figures(run)
    template = _asset("page/report.html")
    return fill(template, _head(run, figures) | _body(run, figures) | _code(run, figures))


def static_page(parts: Mapping[str, Html]) -> str:
    """A page without scripts, complete in itself; `parts` fill `page/static.html`."""
    return fill(_asset("page/static.html"), {"style": Html(_asset("page/report.css")), **parts})


def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _head(run: RunData, figures: KeyFigures) -> dict[str, Html]:
    ticks = f" on {figures.ticks:,} ticks" if figures.ticks else ""
    when = (
        " to ".join(texts.ends(figures.first_ts, figures.last_ts)) if figures.decisions else "no decision yet"
    )
    kind = "complete" if figures.status == "complete" else "incomplete"
    return {
        "title": text(f"{figures.strategy} on {run.symbol}"),
        "eyebrow": text(f"ztb {(run.summary or run.manifest).get('mode', 'run')}"),
        "period": text(f"{when} · {figures.decisions:,} decisions{ticks}"),
        "status": Html(f'<span class="status {kind}">{text(figures.status)}</span>'),
        "unfinished": join([Html("") if figures.finished else _UNFINISHED, provenance.still_held(run)]),
        "verdict": overview.verdict(run, figures),
        "cards": overview.key_cards(run, figures),
    }


_UNFINISHED = Html(
    '<p class="banner">This run is unfinished: it is still going on, or it was killed. '
    "Everything here comes from its journal, as far as that goes.</p>"
)


_CHOSEN = "Share of decisions that chose each exposure."
_CHOSEN_ON_PAPER = (
    "Share of decisions at which the generation that led chose each exposure, on its account on paper."
)


def _adaptation(run: RunData) -> Html:
    if not run.generations or len(run.marks.ts_ns) < 2:
        return Html("")
    told = (
        "The account moves by as much of it as experts have; the others by the whole."
        if run.experts
        else "Where learning helps, the policy's line comes away upwards from that of generation 0."
    )
    return Html(
        '<figure data-chart="adaptation"><figcaption><h3>How it follows the market</h3><p>Earned a decision in each '
        f"stretch of the run, basis points. Marks on the axis are generations. {text(told)}</p></figcaption></figure>"
    )


def _body(run: RunData, figures: KeyFigures) -> dict[str, Html]:
    return {
        "equity_svg": _static_equity(run, figures),
        "capital": capital.capital(run),
        "capital_chart": capital.chart(run),
        "round_trips": round_trips.round_trips(run),
        "months": periods.months(run),
        "drawdowns": periods.drawdown_periods(run),
        "clock": periods.clock(run),
        "fills_left": text(_fills_left(run)),
        "chosen": text(_CHOSEN_ON_PAPER if run.experts else _CHOSEN),
        "helping": gate.helping(run),
        "generations": generations.generations(run),
        "adaptation": _adaptation(run),
        "verdicts": gate.verdicts(run),
        "learning_figures": _learning_figures(run),
        "learning": generations.learning(run),
        "costs": trading.cost_cards(run, costs(run, figures)),
        "actions": trading.actions(run),
        "refusals": join([provenance.what_held(run), trading.refusals(run)]),
        "data_quality": provenance.data_quality(run),
        "provenance": provenance.provenance(run),
        "sampling": text(_sampling(figures)),
        "quote": text(run.base_quote[1]),
    }


def _fills_left(run: RunData) -> str:
    left = len(run.fills) - MOST_FILLS
    return f" The {MOST_FILLS:,} newest of {len(run.fills):,} fills." if left > 0 else ""


def _static_equity(run: RunData, figures: KeyFigures) -> Html:
    if len(run.marks.ts_ns) < 2:
        return Html("<p>There is nothing to draw before the second decision.</p>")
    return equity_svg(run.marks.ts_ns, equity_lines(run, figures), f"Equity in {run.base_quote[1]} over time")


def _learning_figures(run: RunData) -> Html:
    if len(run.updates) < 2:
        return Html("")
    small = [
        f'<figure class="small" data-chart="{name}"><figcaption><h3>{text(label)}</h3></figcaption></figure>'
        for name, label in learning_labels(run)
    ]
    return Html(
        f'<p class="only-js">Over the numbers of the updates.</p><div class="multiples">{join(small)}</div>'
    )


def _sampling(figures: KeyFigures) -> str:
    if figures.decisions <= 2 * BUCKETS:
        return "Charts show every decision. Times are UTC."
    return (
        f"Charts show the lowest and the highest value in each of {BUCKETS} stretches of the "
        f"{figures.decisions:,} decisions, so that no extreme is lost (exposure: the mean of each stretch); "
        "candles, figures and tables are made of all. Times are UTC."
    )


def _code(run: RunData, figures: KeyFigures) -> dict[str, Html]:
    """Style and scripts; the page allows no script but these, by their digests."""
    scripts = {
        "plotter": _asset("vendor/uPlot.iife.min.js"),
        "charts": _asset("page/charts.js"),
        "script": _asset("page/report.js"),
    }
    data: dict[str, Any] = {
        "charts": time_charts(run, figures) | learning_charts(run),
        "quote": run.base_quote[1],
        "run": run.name,
    }
    return {
        "style": Html(_asset("vendor/uPlot.min.css") + _asset("page/report.css")),
        "data": embedded_json(data),
        "allowed": Html(" ".join(_digest(script) for script in scripts.values())),
        **{name: Html(script) for name, script in scripts.items()},
    }


def _digest(script: str) -> str:
    """As a Content-Security-Policy names a script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
