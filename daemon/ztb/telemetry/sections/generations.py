"""The generations and the updates that made them, as tables."""

from __future__ import annotations

from ztb.telemetry import texts
from ztb.telemetry.lives import Life, lives
from ztb.telemetry.markup import Html, join, table, text
from ztb.telemetry.plots import last_numbers, learning_labels
from ztb.telemetry.run_data import RunData

_MOST_ROWS = 200
_HEADS = ("Generation", "Outcome", "Decided", "Served", "Decisions", "Earned", "Hold", "Frozen", "Fees",
          "KL", "Entropy", "Weights")  # fmt: skip
_OUTCOMES = {"promoted": "▲ promoted", "rejected": "✕ rejected", "rolled_back": "▼ rolled back",
             "quarantined": "✕ quarantined", "restored": "▲ serves again"}  # fmt: skip


def generations(run: RunData) -> Html:
    """A row for each generation."""
    found = lives(run)
    if not found:
        return Html("<p>No generations: nothing has learned in this run.</p>")
    half = _MOST_ROWS // 2
    shown = found if len(found) <= _MOST_ROWS else found[:half] + found[-half:]
    left = f" {len(found) - len(shown)} in the middle are left out." if len(shown) < len(found) else ""
    whose = "the account's, hold's and generation 0's" if run.experts else "returns"
    note = f"Earned, hold and frozen are {whose} over the time in which a generation served.{left}"
    listed = table(_HEADS, [_row(life) for life in shown], "Generations and what they earned", words=4)
    return join([Html(f"<p>{text(note)}</p>"), listed])


def _row(life: Life) -> list[Html]:
    served = texts.span(life.last_ts - life.first_ts) if life.decisions else texts.MISSING
    return [
        text(f"g{life.number}" if life.parent is None else f"g{life.number} ← g{life.parent}"),
        _outcome(life),
        text(texts.moment(life.decided_ts)),
        text(served),
        text(texts.count(life.decisions)),
        *(text(texts.percent(value, 2)) for value in (life.earned, life.hold, life.frozen)),
        text(texts.number(life.fees) if life.decisions else texts.MISSING),
        text(texts.significant(life.numbers.get("kl"), 2)),
        text(texts.percent(life.numbers.get("entropy_fraction"), 1, signed=False)),
        Html(f'<code title="{text(life.weights_sha256)}">{text(life.weights_sha256[:8])}</code>'),
    ]


def _outcome(life: Life) -> Html:
    said = _OUTCOMES.get(life.outcome, life.outcome)
    reason = f" <small>{text(life.reason)}</small>" if life.reason not in ("", "passed") else ""
    return Html(f'<span class="mark {text(life.outcome)}">{text(said)}</span>{reason}')


def learning(run: RunData) -> Html:
    """First and last statistics of the updates; nothing where nothing learns. The charts stand above."""
    if not run.generations:
        return Html("")
    if not run.updates:
        return Html("<p>No update was made.</p>")
    ends = last_numbers(run)
    rows = [
        [text(label), *(text(texts.significant(value)) for value in ends[name])]
        for name, label in learning_labels(run)
    ]
    last = run.updates[-1].number
    return table(("Statistic", "First update", f"Update {last}"), rows, f"{texts.count(last)} updates")
