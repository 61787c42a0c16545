"""Provenance of the run: its data, their faults, and what it takes to get the same run again."""

from __future__ import annotations

from typing import Any

from ztb.ledger.looks import said as looks_said
from ztb.ledger.records import HOUSEKEEPING
from ztb.telemetry import texts
from ztb.telemetry.held import held
from ztb.telemetry.markup import Html, facts, join, spoken, table, text
from ztb.telemetry.plots import tainted_spans
from ztb.telemetry.run_data import RunData

_MOST_ROWS = 200


def data_quality(run: RunData) -> Html:
    """Gaps, what was dropped, decisions on tainted data, and the notes of the journal."""
    summary = run.summary or {}
    spans = tainted_spans(run)
    said = [
        ("Gaps in the data", texts.count(summary.get("gaps"))),
        ("Rows dropped", _dropped(summary.get("dropped"))),
        ("Decisions on tainted data", f"{sum(times for *_, times in spans):,} (never trained on)"),
    ]
    return join([facts(said), _spans(spans), _notes(run)])


def still_held(run: RunData) -> Html:
    """A banner for each condition that held to the end."""
    words = [one.condition.text for one in held(run.notes, run.folder) if one.over_ns is None]
    return join([Html(f'<p class="banner">{spoken(said)}</p>') for said in words])


def what_held(run: RunData) -> Html:
    """Holds on the trading, and until when; nothing where there were none."""
    rows = [
        [
            text(texts.moment(one.over_ns, seconds=True) if one.over_ns else "to the end"),
            spoken(one.condition.text),
        ]
        for one in held(run.notes, run.folder)[-_MOST_ROWS:]
    ]
    return table(("Over", "What"), rows, "What held the trading", words=2, kind="told") if rows else Html("")


def _dropped(dropped: dict[str, int] | int | None) -> str:
    if not isinstance(dropped, dict):
        return texts.count(dropped)
    return ", ".join(f"{times:,} {reason}" for reason, times in dropped.items()) or "none"


def _spans(spans: list[tuple[int, int, int]]) -> Html:
    rows = [
        [text(texts.moment(first)), text(texts.moment(last)), text(texts.count(times))]
        for first, last, times in spans[:_MOST_ROWS]
    ]
    return table(("From", "To", "Decisions"), rows, "Tainted data", words=2) if rows else Html("")


def _notes(run: RunData) -> Html:
    told = [row for row in run.notes if row.kind not in HOUSEKEEPING]
    rows = [
        [text(texts.moment(row.ts_ns, seconds=True)), text(row.kind), text(row.detail)]
        for row in told[:_MOST_ROWS]
    ]
    return table(("When", "What", "Detail"), rows, "Notes of the journal", words=3) if rows else Html("")


def provenance(run: RunData) -> Html:
    """Identity, seed and digests."""
    said = {**run.manifest, **(run.summary or {})}
    rows = [
        ("Run", said.get("run_id")),
        ("Folder", run.name),
        ("Mode", said.get("mode")),
        ("Instrument", _instrument(run.manifest)),
        ("Data", _data(run.manifest)),
        ("Seed", said.get("seed")),
        ("Generation 0", said.get("generation_0")),
        ("Code", said.get("code_version")),
        ("Configuration", said.get("config_hash")),
        ("Looks at what was traded", looks_said(run.looks) if run.looks else None),
        ("Digest of the data", said.get("data_digest")),
        ("Journal, SHA-256", said.get("journal_sha256")),
        ("Weights, SHA-256", said.get("weights_sha256")),
    ]
    return facts([(name, str(value)) for name, value in rows if value not in (None, "")])


def _instrument(manifest: dict[str, Any]) -> str | None:
    """The instrument and its costs, and what of it was not given but inferred."""
    known = manifest.get("instrument", {})
    if "taker_fee" not in known:
        return None
    maker, taker = (texts.number(float(known[fee]) * 1e4, 1) for fee in ("maker_fee", "taker_fee"))
    inferred = ", ".join(known["inferred"]).replace("_", " ")
    return (
        f"{known['symbol']} on {known['venue']}; maker {maker} bp, taker {taker} bp, spread {known['spread_bps']} bp; "
        f"price steps of {known['tick_size']}, size steps of {known['lot_size']}"
        + (f"; inferred: {inferred}" if inferred else "")
    )


def _data(manifest: dict[str, Any]) -> str | None:
    """File names without folders: a report may be shown to others."""
    paths = manifest.get("data")
    if paths is None:
        return None
    return ", ".join(str(path).rsplit("/", 1)[-1] for path in paths) or "the shipped history"
