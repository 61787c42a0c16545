"""What the gate found of each candidate, and whether learning helps: the figures behind the words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ztb.learning.benchmarks import CONFIDENCE, UNLEARNT, BenchmarkTracker, Comparison
from ztb.ledger.records import GenerationRow
from ztb.telemetry import texts
from ztb.telemetry.markup import Html, join, table, text
from ztb.telemetry.run_data import RunData

_MOST_ROWS = 100
_HEADS = ("Generation", "Why", "Differences so far", "Tested on", "Difference", "Bounds", "Evidence", "KL", "Entropy",
          "Turnover", "Drawdown")  # fmt: skip
WHY = {
    "passed": "better than the incumbent",
    "undecided": "no clear difference in the window",
    "worse": "worse than the incumbent",
    "superseded": "gave way to a newer one",
    "kl": "too far from the incumbent",
    "entropy": "hardly explores",
    "turnover": "trades too much",
    "drawdown": "fell deeper than the incumbent",
    "non_finite": "not finite",
    "network": "another network",
    "schema": "another schema",
    "stale": "older than the incumbent",
    "quarantined": "in quarantine",
    "learner_lost": "the learner was lost",
    "manual": "by hand",
}
"""What the gate says of a candidate, by its reason code."""
_BASIS = 1e4
_NOTHING_LEARNT = (
    "Nothing learnt after generation 0 has had a share of the account, "
    "so none of this is credited to learning."
)
_AGAINST = {"unlearnt": "the same with nothing learnt", "frozen": "generation 0, frozen"}


def verdicts(run: RunData) -> Html:
    """A row for each candidate that was tested, newest first; nothing where none was."""
    found = [(row, json.loads(row.detail or "{}")) for row in run.generations[::-1]]
    tested = [(row, detail) for row, detail in found if detail.get("tested_decisions")]
    if not tested:
        return Html("")
    shown = tested[:_MOST_ROWS]
    left = f" The {len(shown)} newest of {len(tested):,}." if len(shown) < len(tested) else ""
    note = (
        "Each candidate traded beside the incumbent, on ticks that came after all it was trained on, with the same "
        "costs and the same random numbers. Differences are in basis points of equity a decision, with the bounds "
        "that the evidence leaves; evidence passes where it exceeds what it stands beside, however often one looks. "
        "Turnover, in equities a decision, and drawdown stand beside the incumbent's."
    )
    listed = table(_HEADS, [_row(row, detail) for row, detail in shown], "What the gate found", words=3)
    return join([f"<p>{text(note + left)}</p>", listed])


def _row(row: GenerationRow, found: dict[str, Any]) -> list[Html]:
    reason = str(found.get("reason", ""))
    evidence, alpha = found.get("log_evidence"), found.get("alpha")
    return [
        text(f"g{row.generation}"),
        Html(f'<span class="mark {text(row.event)}">{text(WHY.get(reason, reason))}</span>'),
        course(found.get("course", []), f"Summed difference of generation {row.generation}"),
        text(texts.count(found.get("tested_decisions"))),
        text(_basis(found.get("difference"))),
        text(" … ".join(_basis(found.get(name)) for name in ("difference_low", "difference_high"))),
        text(" of ".join(texts.significant(value, 3) for value in (_e(evidence), 1.0 / alpha if alpha else None))),
        text(texts.significant(found.get("kl"), 2)),
        text(texts.percent(found.get("entropy_fraction"), 0, signed=False)),
        text(" / ".join(texts.significant(found.get(name), 2) for name in ("turnover", "incumbent_turnover"))),
        text(" / ".join(texts.percent(found.get(n), 1, signed=False) for n in ("drawdown", "incumbent_drawdown"))),
    ]  # fmt: skip


def _e(log_evidence: float | None) -> float | None:
    return None if log_evidence is None else float(np.exp(min(log_evidence, 700.0)))


def _basis(value: float | None) -> str:
    if value is None:
        return texts.MISSING
    return f"{'+' if value > 0 else ''}{texts.number(value * _BASIS, 2)}"


_WIDTH, _HEIGHT = 96, 24


def course(values: Sequence[float], label: str) -> Html:
    """A summed difference over a test as a small curve with the zero line."""
    if len(values) < 2:
        return text(texts.MISSING)
    heights = np.array([0.0, *values])
    low, high = float(heights.min()), float(heights.max())
    span = high - low or 1.0
    y = 1 + (high - heights) / span * (_HEIGHT - 2)
    x = np.linspace(0, _WIDTH, len(heights))
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    zero = 1 + high / span * (_HEIGHT - 2)
    return Html(
        f'<svg class="course" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{text(label)}">'
        f'<path class="grid" d="M0 {zero:.1f}H{_WIDTH}"/>'
        f'<polyline points="{points}" fill="none" style="stroke:var(--ours)" stroke-width="1.5"/></svg>'
    )


def helping(run: RunData) -> Html:
    """Whether it helps, in a sentence, and the comparisons that it rests on; computed from the journal."""
    found = comparisons(run)
    if not found:
        return Html("<p>Nothing to compare before the second decision.</p>")
    learning = _learning(run, found)
    unsaid = run.experts and (learning is None or not run.learnt_had_weight)
    sentence = credit(run) if unsaid else _sentence(learning)
    heads = ("The account against", "In words", "Ahead by", "At least", "At most", "Decisions")
    rows = [
        [text(_against(run, one.baseline)), text(_words(one)),
         *(text(texts.percent(value, 2)) for value in (one.difference, one.low, one.high)),
         text(texts.count(one.decisions))]
        for one in found
    ]  # fmt: skip
    note = (
        "Ahead by: our equity over theirs, less one, on the same ticks at the same costs. At least and at most: "
        f"what is due to the policies rather than to luck, with {100 * CONFIDENCE:.0f} % confidence, at whatever "
        "moment one looks."
    )
    return join(
        [f"<p class=lead>{text(sentence)}</p>", f"<p>{text(note)}</p>", table(heads, rows, "Comparisons", 2)]
    )


def credit(run: RunData) -> str:
    """Whether anything is due to learning, as short as can be; nothing where nothing could have been learnt."""
    found = comparisons(run)
    if not any(one.baseline in (UNLEARNT, "frozen") for one in found):
        return ""
    if run.experts and not run.learnt_had_weight:
        return _NOTHING_LEARNT
    learning = _learning(run, found)
    if learning is None:
        return "Whether learning helps is said when the run has ended."
    if learning.low is None or learning.high is None:
        return _too_early(learning)
    between = f"between {texts.percent(learning.low)} and {texts.percent(learning.high)}"
    return {
        "helps": f"Learning helps: {between} is due to it, luck left aside.",
        "hurts": f"Learning hurts: {between} is due to it, luck left aside.",
    }.get(learning.answer, "Whether learning made a difference is not clear: that may be luck.")


def _learning(run: RunData, found: Sequence[Comparison]) -> Comparison | None:
    """What says whether learning helps, as `BenchmarkTracker.learning`; None where not known, or nothing learns."""
    baseline = UNLEARNT if run.experts else "frozen"
    return next((one for one in found if one.baseline == baseline), None)


def _against(run: RunData, baseline: str) -> str:
    if run.experts and baseline == "frozen":
        return "generation 0, with the whole account"
    return _AGAINST.get(baseline, baseline)


def _unlearnt(run: RunData) -> list[Comparison]:
    """As the summary has it: the account that had learnt nothing is not in the journal."""
    said = ((run.summary or {}).get("helping") or {}).get(UNLEARNT)
    if said is None:
        return []
    return [Comparison(UNLEARNT, said["decisions"], said["difference"], said["low"], said["high"])]


def comparisons(run: RunData) -> tuple[Comparison, ...]:
    """As the run itself made them, decision by decision."""
    made, marks = BenchmarkTracker(), run.marks
    others = {"frozen": marks.frozen, "hold": marks.hold}
    known = {name: values for name, values in others.items() if not np.isnan(values).any()}
    made.follow_all(marks.equity, known)
    return (*_unlearnt(run), *made.comparisons())


def _words(one: Comparison) -> str:
    if one.answer == "too_early":
        return f"too early to say: needs {one.missing}"
    return {
        "helps": "ahead, and not by luck",
        "hurts": "behind, and not by luck",
        "unclear": "may be luck",
    }[one.answer]


def _too_early(learning: Comparison) -> str:
    return f"It is too early to say whether learning helps: that needs {learning.missing}."


def _sentence(learning: Comparison | None) -> str:
    """For somebody who sees this for the first time."""
    if learning is None:
        return "Nothing has learned in this run, so there is no question whether learning helped."
    if learning.difference is None or learning.low is None or learning.high is None:
        return _too_early(learning)
    side = "ahead of" if learning.difference >= 0.0 else "behind"
    apart = texts.percent(abs(learning.difference), signed=False)
    other = (
        "what it would be with nothing learnt"
        if learning.baseline == UNLEARNT
        else "the policy it began with"
    )
    where = f"the account is {apart} {side} {other}"
    bounds = f"between {texts.percent(learning.low)} and {texts.percent(learning.high)} is due to learning"
    if learning.answer == "helps":
        return f"Learning helps: {where}, and {bounds}, luck left aside."
    if learning.answer == "hurts":
        return f"Learning hurts: {where}, and {bounds}, luck left aside."
    return f"It is not clear whether learning helps: {where}, but that may be luck ({bounds})."
