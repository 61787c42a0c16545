"""Experts' shares of the account, and the reasons for them."""

from __future__ import annotations

import math

import numpy as np

from ztb.telemetry import texts
from ztb.telemetry.experts import ExpertCourse
from ztb.telemetry.markup import Html, join, table, text
from ztb.telemetry.run_data import RunData

_HEADS = ("Expert", "Now", "Weight", "Highest weight", "Evidence", "At full size")
_FAR = 700.0  # log evidence beyond which no float holds it
_CHART = Html(
    '<figure class="tall" data-chart="capital"><figcaption><h3>Capital</h3><p>Share of the account that each expert '
    "had; the rest was flat.</p></figcaption></figure>"
)


def chart(run: RunData) -> Html:
    """The place of the chart of weights over time; nothing where the account followed no expert."""
    return _CHART if run.experts and len(run.marks.ts_ns) > 1 else Html("")


def capital(run: RunData) -> Html:
    """A row for each expert; nothing where the account followed none."""
    if not run.experts:
        return Html("")
    prior = run.manifest.get("config", {}).get("allocation", {}).get("prior")
    most = (
        ""
        if prior is None
        else f", {texts.percent(prior, 0, signed=False)} over all of them while nothing is known"
    )
    said = (
        "Each expert trades an account of its own at full size on paper, and the account pursues the sum of what they "
        f"want, each by its weight{most}. A weight grows with the evidence that the expert's own account grows after "
        "costs, fades where it does not, and all of them shrink while the account loses."
    )
    listed = table(_HEADS, [_row(run, one) for one in run.experts], "Experts", words=2)
    return join(["<h2 id=capital>Capital</h2>", f"<p>{text(said)}</p>", listed])


def _row(run: RunData, one: ExpertCourse) -> list[Html]:
    weight = float(one.weight[-1]) if one.present else None
    evidence = math.exp(min(float(one.log_evidence[-1]), _FAR)) if one.present else None
    highest = float(np.max(one.weight)) if len(one.weight) else None
    return [
        text(one.name),
        text(_now(run, one)),
        text(texts.percent(weight, 1, signed=False)),
        text(texts.percent(highest, 1, signed=False)),
        text(texts.significant(evidence, 3)),
        text(texts.percent(one.at_full_size)),
    ]


def _now(run: RunData, one: ExpertCourse) -> str:
    if not one.present:
        return "left"
    if one.generation is None:
        return "rule"
    return "leads" if one.generation == int(run.decisions.generation[-1]) else "shadow"
