"""The table at the end of a run."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ztb.ledger.run_directory import RunDirectory
from ztb.telemetry import texts

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 112  # columns of a terminal that holds the remarks beside the figures

_FAR = 700.0  # log evidence beyond which no float holds it


def _day(ts_ns: int | None) -> str:
    return "–" if not ts_ns else datetime.fromtimestamp(ts_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M")


def _period(summary: dict[str, Any]) -> str:
    if not summary["decisions"]:
        return "–"
    return f"{_day(summary['trade_first_ts'])} to {_day(summary['last_ts'])}"


def _rows(summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(name, figure, remark) rows of a summary."""
    generations = summary["generations"]
    return [
        ("period traded", _period(summary), "UTC"),
        ("ticks", f"{summary['ticks']:,}", f"{summary['gaps']} gaps, {summary['dropped']} rows dropped"),
        ("decisions", f"{summary['decisions']:,}", f"{summary['refusals']} orders refused by the risk gate"),
        ("orders, fills", f"{summary['orders']:,}, {summary['fills']:,}", f"{summary['rejects']} rejected"),
        (
            "return",
            texts.percent(summary["return"], 2),
            f"{summary['start_equity']:,.2f} to {summary['end_equity']:,.2f}",
        ),
        *_yardsticks(summary),
        ("  hold", texts.percent(summary["hold_return"], 2), "the same costs"),
        *_shares(summary["allocation"]),
        (
            "Sharpe ratio, a year",
            texts.number(summary["sharpe"]),
            "of returns between decisions; from 30 days on",
        ),
        ("greatest drawdown", texts.percent(summary["max_drawdown"], 2, signed=False), ""),
        ("fees", f"{summary['fees']:,.2f}", f"turnover {summary['turnover'] or 0:,.1f} times mean equity"),
        ("generations", str(generations["made"]), _lives(generations)),
        ("updates", str(summary["updates"]), f"generation 0: {summary['generation_0'] or 'none'}"),
    ]


def _yardsticks(summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    if summary["allocation"] is None:
        return [
            (
                "  generation 0, frozen",
                texts.percent(summary["frozen_return"], 2),
                "the same policy had it not learned",
            )
        ]
    return [
        (
            "  nothing learnt",
            texts.percent(summary["unlearnt_return"], 2),
            "the account without what came after generation 0",
        ),
        (
            "  generation 0, full size",
            texts.percent(summary["frozen_return"], 2),
            "the whole account, never updated",
        ),
    ]


def _shares(experts: dict[str, dict[str, float | None]] | None) -> list[tuple[str, str, str]]:
    """The share of the account that each expert had at the end."""
    if not experts:
        return []
    rows = [
        (
            f"  {name}",
            _share(found["weight"]),
            f"evidence {_evidence(found)}, at full size {texts.percent(found['return'], 2)}",
        )
        for name, found in experts.items()
    ]
    whole = sum(found["weight"] or 0.0 for found in experts.values())
    return [("capital at the end", _share(whole), "over all experts; the rest is flat"), *rows]


def _share(weight: float | None) -> str:
    return texts.percent(weight, signed=False)


def _evidence(found: dict[str, float | None]) -> str:
    log_evidence = found["log_evidence"]
    return "–" if log_evidence is None else f"{math.exp(min(log_evidence, _FAR)):.2g}"


def _lives(generations: dict[str, int]) -> str:
    return f"{generations['promoted']} promoted, {generations['rejected']} rejected"


def _print_table(title: str, rows: list[tuple[str, str, str]]) -> Console:
    """Print `rows`, with their remarks where there is room; the console for what follows."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=title, title_style="bold", show_header=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    if console.width >= _WIDE:
        table.add_column(style="dim", no_wrap=True)
    for row in rows:
        table.add_row(*row[: len(table.columns)])
    console.print(table)
    return console


def print_summary(summary: dict[str, Any], directory: RunDirectory) -> None:
    """Print the figures of a run, and where the rest is."""
    console = _print_table(f"{summary['strategy']} on {summary['symbol']}", _rows(summary))
    if summary["remark"] is not None:
        console.print(summary["remark"], style="yellow", highlight=False)
    console.print(
        f"report   {directory.report}\nfigures  {directory.summary}", highlight=False, soft_wrap=True
    )


def _training_rows(summary: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(name, figure, remark) rows of a training's summary."""
    validation, trained, held_out = (
        summary[name] for name in ("validation_mean_reward", "trained_on", "held_out")
    )
    early = "no gain for a while" if summary["ended"] == "early" else "as many as were asked for"
    return [
        ("trained on", f"{trained['decisions']:,} decisions", f"to {_day(trained['last_ts'])}"),
        ("held out", f"{held_out['decisions']:,} decisions", f"to {_day(held_out['last_ts'])}"),
        ("updates", f"{summary['updates']:,}", f"{summary['steps']:,} steps; {early}"),
        ("best on what was held out", f"update {summary['best_update']:,}", "mean reward a decision, basis points:"),
        *((f"  {name}", f"{1e4 * validation[name]:+.3f}", remark) for name, remark in _YARDSTICKS.items()),
    ]  # fmt: skip


_YARDSTICKS = {
    "policy": "as it serves",
    "flat": "no position",
    "hold": "the highest rung of the ladder",
    "random": "every action drawn uniformly",
}


def _after(summary: dict[str, Any]) -> str:
    """The first moment of which training has seen nothing, held out or not, as --from takes it."""
    last_ns = max(summary[part]["last_ts"] for part in ("trained_on", "held_out"))
    return f"{datetime.fromtimestamp(last_ns // 1_000_000_000 + 1, UTC):%Y-%m-%dT%H:%M:%S}"


def print_training(summary: dict[str, Any], directory: RunDirectory) -> None:
    """Print the figures of a training, and how to serve what came of it."""
    title = f"{summary['strategy']} trained on {summary['symbol']}"
    console = _print_table(title, _training_rows(summary))
    serve = f"ztb replay --from-generation {directory.path} --from {_after(summary)}"
    console.print(f"figures  {directory.summary}\nserve    {serve}", highlight=False, soft_wrap=True)
