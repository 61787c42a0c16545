"""Runs beside each other: their figures in one table, their curves in one picture, on a page of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ztb.ledger.run_directory import RunDirectory
from ztb.telemetry import texts
from ztb.telemetry.charts import ChartLine, equity_svg
from ztb.telemetry.figures import KeyFigures, key_figures
from ztb.telemetry.markup import Html, table, text
from ztb.telemetry.report import static_page
from ztb.telemetry.run_data import Floats, Ints, RunData, load_run

_COLORS = ("ours", "hold", "expert-1", "expert-2", "expert-3", "expert-4", "expert-5", "frozen")
_DASHES = ((), (6, 4), (2, 3))
HEADS = (
    "Run",
    "Strategy",
    "Seed",
    "Return",
    "Hold",
    "Sharpe",
    "Max drawdown",
    "Fees",
    "Orders",
    "Looks",
    "Period",
)


class RunComparison:
    """Some runs, finished or not. DataError: one has no readable journal."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._runs = [load_run(RunDirectory(folder)) for folder in folders]
        self._figures = [key_figures(run) for run in self._runs]

    def facts(self) -> list[dict[str, Any]]:
        """Each run's figures, as JSON."""
        return [
            {
                "run": run.name,
                "strategy": figures.strategy,
                "seed": run.manifest.get("seed"),
                "status": figures.status,
                "return": figures.total_return,
                "hold_return": figures.hold_return,
                "sharpe": figures.sharpe,
                "max_drawdown": figures.max_drawdown,
                "fees": figures.fees,
                "turnover": figures.turnover,
                "orders": figures.orders,
                "decisions": figures.decisions,
                "looks": len(run.looks),
                "first_ts": figures.first_ts,
                "last_ts": figures.last_ts,
            }
            for run, figures in zip(self._runs, self._figures, strict=True)
        ]

    def rows(self) -> list[tuple[str, ...]]:
        """Each run's figures as people read them, under `HEADS`."""
        return [_row(run, figures) for run, figures in zip(self._runs, self._figures, strict=True)]

    def page(self) -> str:
        """The page, complete in itself."""
        shown = table(HEADS, [[text(cell) for cell in row] for row in self.rows()], "Figures", words=2)
        begin, end = min(one.first_ts for one in self._figures), max(one.last_ts for one in self._figures)
        return static_page(
            {
                "title": text(f"{len(self._runs)} runs compared"),
                "eyebrow": text("ztb compare"),
                "status": Html(""),
                "period": text(" to ".join(texts.ends(begin, end))),
                "verdict": text(self._said()),
                "cards": Html(""),
                "sections": Html(f'<section><h2 id="growth">Growth</h2>{self._curves()}{shown}</section>'),
                "note": text("What 100 became in each. Times are UTC."),
            }
        )

    def _said(self) -> str:
        """Caveats of a comparison of a few runs."""
        looks = max((len(run.looks) for run in self._runs), default=0)
        spans = {(one.first_ts, one.last_ts) for one in self._figures}
        apart = " They did not trade the same span: compare with care." if len(spans) > 1 else ""
        counted = f" Their span has had {looks:,} looks." if looks > 1 else ""
        return f"The best of several runs is good by luck too; a study (ztb study run) says how much.{counted}{apart}"

    def _curves(self) -> Html:
        drawn = [run for run in self._runs if len(run.marks.ts_ns) >= 2]
        if not drawn:
            return Html("<p>There is nothing to draw before the second decision.</p>")
        times: Ints = np.unique(np.concatenate([run.marks.ts_ns for run in drawn]))
        lines = [
            ChartLine(
                run.name,
                _COLORS[k % len(_COLORS)],
                _at(run, times),
                _DASHES[k // len(_COLORS) % len(_DASHES)],
            )
            for k, run in enumerate(drawn)
        ]
        keys = " ".join(
            f'<span style="color:var(--{line.color})">■</span>\N{NO-BREAK SPACE}{text(line.name)}'
            for line in lines
        )
        picture = equity_svg(times, lines, "Growth of 100 in each run")
        return Html(f"<figure><figcaption><p>{keys}</p></figcaption>{picture}</figure>")


def _at(run: RunData, times: Ints) -> Floats:
    """The value that 100 had become at each time; nan before the run's first decision and after its last."""
    marks = run.marks
    place = np.searchsorted(marks.ts_ns, times, side="right") - 1
    grown = 100.0 * marks.equity[np.maximum(place, 0)] / marks.equity[0]
    return np.where((place >= 0) & (times <= marks.ts_ns[-1]), grown, np.nan)


def _row(run: RunData, figures: KeyFigures) -> tuple[str, ...]:
    seed = run.manifest.get("seed")
    return (
        run.name,
        figures.strategy,
        texts.MISSING if seed is None else str(seed),
        texts.percent(figures.total_return),
        texts.percent(figures.hold_return),
        texts.number(figures.sharpe),
        texts.percent(figures.max_drawdown, signed=False),
        texts.number(figures.fees),
        texts.count(figures.orders),
        texts.count(len(run.looks)),
        " to ".join(texts.ends(figures.first_ts, figures.last_ts)),
    )
