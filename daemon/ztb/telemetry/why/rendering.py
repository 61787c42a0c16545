"""An explanation as a terminal shows it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ztb.execution.orders import is_protective
from ztb.ledger.records import FillRow
from ztb.telemetry import texts
from ztb.telemetry.why.capital import Capital
from ztb.telemetry.why.explanation import Ancestor, Explanation, Sent
from ztb.telemetry.why.recomputation import Recomputation, uniforms_of
from ztb.telemetry.why.words import TIMING_NAMES, reason_words

_BAR_CELLS = 20
_SECOND_NS = 1_000_000_000
_COLUMNS = 4
_VALUE_CELLS = 13
_FAR = 700.0  # log evidence beyond which no float holds it
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def show(answer: Explanation, console: Console) -> None:
    """Print the whole answer."""
    console.print(_headline(answer))
    width = console.width
    parts: list[tuple[str, RenderableType]] = [
        ("Decision", _decision(answer)),
        *((("Capital", _capital(answer.capital)),) if answer.capital else ()),
        (f"Observation, {len(answer.features)} normalised features", _values(answer.features, width)),
        (_of_account(answer), _values(answer.account, width)),
        ("Policy", _policy(answer)),
        ("Risk gate", _gate(answer)),
        *((f"Order {sent.order.order_id}", _order(answer, sent)) for sent in answer.orders),
        ("Generation", _lineage(answer)),
        ("Recomputed from disk", _recomputed(answer)),
    ]
    for title, body in parts:
        console.print()
        console.print(Text(title, style="bold"))
        console.print(body)


def _grid(rows: Sequence[tuple[str, str | Text]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for name, value in rows:
        grid.add_row(f"  {name}", value)
    return grid


def _headline(answer: Explanation) -> Panel:
    """The answer in a few sentences."""
    decision, subject = answer.subject.decision, answer.subject
    target, timing = answer.ladder[decision.action_size], TIMING_NAMES[decision.action_timing]
    who = answer.strategy if answer.is_rule else f"{answer.strategy}, generation {decision.generation},"
    chose = f"{who} chose {_share(target)} of equity, {timing}"
    if answer.capital is not None:
        chose = f"{_pursuit(answer.capital)}; {who} which leads, {_on_paper(answer.capital, target, timing)}"
    said = [f"At {_when(decision.ts_ns)} {chose}: {answer.verdict}."]
    said += [
        _sent_sentence(answer, sent)
        for sent in answer.orders
        if subject.order_id in (None, sent.order.order_id)
    ]
    asked = f"why {answer.asked}" if subject.fill_id is None else f"why fill {subject.fill_id}"
    return Panel(Text(" ".join(said)), title=asked, title_align="left", box=box.ROUNDED)


def _sent_sentence(answer: Explanation, sent: Sent) -> str:
    base, quote = answer.currencies
    quantity = sum(fill.lots for fill in sent.fills) * answer.lot_size
    done = "bought" if sent.order.side > 0 else "sold"
    kind = "The protective stop, order" if is_protective(sent.order.order_id) else "Order"
    if not sent.fills:
        return f"{kind} {sent.order.order_id} was not filled."
    price = sum(float(fill.price) * fill.lots for fill in sent.fills) / sum(fill.lots for fill in sent.fills)
    return (
        f"{kind} {sent.order.order_id} {done} {texts.significant(quantity, 6)} {base} at {texts.number(price)} "
        f"for {texts.number(sent.fees)} {quote} of fees."
    )


def _when(ts_ns: int) -> str:
    return f"{texts.moment(ts_ns, seconds=True)} UTC"


def _share(exposure: float) -> str:
    return texts.percent(exposure, 0, signed=False)


def _decision(answer: Explanation) -> Table:
    decision, mark = answer.subject.decision, answer.mark
    base, quote = answer.currencies
    served = "" if answer.is_rule else f", by generation {decision.generation}"
    rows: list[tuple[str, str | Text]] = [
        ("number", f"{decision.decision:,}{served}"),
        ("time", f"{_when(decision.ts_ns)} ({decision.ts_ns} ns)"),
        ("mid", f"{texts.number(decision.mid)} {quote}"),
        ("position before", f"{texts.significant(decision.position, 8)} {base}"),
        ("equity", f"{texts.number(decision.equity)} {quote}"),
        ("chosen", f"target {_share(answer.ladder[decision.action_size])}, {_by_whom(answer)}"),
    ]
    if answer.capital is not None:
        rows.append(("pursued", f"target {_fine(decision.target)}, by the account"))
    if decision.tainted:
        rows.append(("data", Text("tainted: near a gap or a fault, never trained on", style="yellow")))
    if mark is not None and mark.hold_equity is not None:
        frozen = (
            "" if mark.frozen_equity is None else f", generation 0 frozen {texts.number(mark.frozen_equity)}"
        )
        rows.append(("beside it", f"hold {texts.number(mark.hold_equity)}{frozen} {quote}"))
    return _grid(rows)


def _by_whom(answer: Explanation) -> str:
    """The manner of the choice, and by whom where that is not the account itself."""
    decision = answer.subject.decision
    timing = TIMING_NAMES[decision.action_timing]
    return f"{timing}, by generation {decision.generation} on paper" if answer.capital else timing


def _on_paper(found: Capital, target: float, timing: str) -> str:
    """The choice of the generation that leads; whoever waits goes on wanting what it wanted before."""
    if timing == "wait":
        wanted = next((share.wanted for share in found.shares if share.leads), target)
        return f"chose to wait on paper, wanting {_share(wanted)} as before"
    return f"chose {_share(target)} on paper, {timing}"


def _of_account(answer: Explanation) -> str:
    if answer.capital is None:
        return "Own account, as observed"
    return f"Account on paper of generation {answer.subject.decision.generation}, as observed"


def _fine(exposure: float) -> str:
    return texts.percent(exposure, 2, signed=False)


def _pursuit(found: Capital) -> str:
    """The account's target, and why that."""
    experts = f"{len(found.shares)} experts" if len(found.shares) != 1 else "one expert"
    if not found.agrees:
        return f"the account pursued {_fine(found.target)} of equity, which is not what the journal's weights lead to"
    if found.how == "closing":
        return "the account was told to close its position, whatever its experts wanted"
    if found.how == "stayed":
        return (
            f"the account went on pursuing {_fine(found.target)} of equity, since what {experts} wanted by weight, "
            f"{_fine(found.sum)}, was nearer than the band of {_fine(found.band)}"
        )
    return f"the account pursued {_fine(found.target)} of equity, what {experts} wanted by weight"


def _capital(found: Capital) -> Table:
    """The experts' targets with their weights, the sum, and what became of it."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    for _ in range(4):
        grid.add_column(justify="right")
    grid.add_column()
    grid.add_row(
        "  expert", *(Text(name, "dim") for name in ("weight", "evidence", "wanted", "weight × wanted", ""))
    )
    for share in found.shares:
        evidence = None if share.log_evidence is None else math.exp(min(share.log_evidence, _FAR))
        weight, part = (texts.percent(value, 2, signed=False) for value in (share.weight, share.part))
        grid.add_row(
            f"  {share.expert}",
            weight,
            texts.significant(evidence, 3),
            _share(share.wanted),
            part,
            "leads" if share.leads else "",
        )
    grid.add_row("  sum", "", "", "", _fine(found.sum), _became(found))
    return grid


def _became(found: Capital) -> str:
    if found.how == "closing":
        return "not pursued: the position was to be closed"
    if found.how == "stayed":
        return f"nearer to {_fine(found.target)} than the band of {_fine(found.band)}, so it stayed there"
    return "pursued"


def _values(values: list[tuple[str, float]], width: int) -> Table:
    """Names and values in as many columns as fit `width` cells, read downwards."""
    longest = max((len(name) for name, _ in values), default=0)
    columns = min(max(width // (longest + _VALUE_CELLS), 1), _COLUMNS)
    height = -(-len(values) // columns)
    table = Table.grid(padding=(0, 2))
    for _ in range(columns):
        table.add_column(style="dim", no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
    for row in range(height):
        cells = values[row::height]
        table.add_row(*(cell for name, value in cells for cell in (f"  {name}", f"{value:+.4f}")))
    return table


def _policy(answer: Explanation) -> RenderableType:
    decision, again = answer.subject.decision, answer.recomputed
    if answer.is_rule:
        return Text(f"  {answer.strategy} decides by a rule: there are no probabilities and no value.")
    drawn = ", ".join(f"{uniform:.6f}" for uniform in uniforms_of(decision).tolist())
    facts = _grid(
        [("log-prob", repr(decision.logprob)), ("value", repr(decision.value)), ("drawn with", drawn)]
    )
    if again is None:
        return facts
    targets = [_share(rung) for rung in answer.ladder]
    heads = zip(("target", "timing"), (targets, TIMING_NAMES), again.probabilities, strict=True)
    chosen = (decision.action_size, decision.action_timing)
    return Group(facts, *(_head(*head, pick) for head, pick in zip(heads, chosen, strict=True)))


def _head(title: str, names: Sequence[str], probabilities: list[float], chosen: int) -> Table:
    """The distribution of one head, the choice marked."""
    table = Table.grid(padding=(0, 2))
    for i, (name, probability) in enumerate(zip(names, probabilities, strict=True)):
        style = "bold cyan" if i == chosen else ""
        label = f"  {title if i == 0 else '':<8}"
        mark = "◀ chosen" if i == chosen else ""
        share = texts.percent(probability, 2, signed=False)
        table.add_row(
            Text(label, style="dim"),
            Text(name, style),
            Text(f"{share:>9}", style),
            Text(_bar(probability), style),
            Text(mark, style),
        )
    return table


def _bar(share: float) -> str:
    eighths = round(share * _BAR_CELLS * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _gate(answer: Explanation) -> Table:
    rows: list[tuple[str, str | Text]] = [
        ("verdict", answer.subject.decision.verdict),
        ("meaning", answer.verdict),
    ]
    quote = answer.currencies[1]
    for refusal in answer.refusals:
        wanted = f"{_quantity(answer, refusal.side, refusal.lots)} at {texts.number(refusal.price)} {quote}"
        words = f"{wanted}, {refusal.reason}: {reason_words(refusal.reason, answer.limits)}"
        rows.append(("refused", Text(words, style="yellow")))
    return _grid(rows)


def _quantity(answer: Explanation, side: int, lots: int) -> str:
    size = texts.significant(lots * answer.lot_size, 8)
    return f"{'buy' if side > 0 else 'sell'} {size} {answer.currencies[0]}"


def _order(answer: Explanation, sent: Sent) -> Table:
    order = sent.order
    flags = (("post-only", order.post_only), ("reduce-only", order.reduce_only))
    terms = [
        order.order_type + _limit(answer, sent),
        order.time_in_force,
        *(name for name, on in flags if on),
    ]
    rows: list[tuple[str, str | Text]] = [
        ("sent", f"{_quantity(answer, order.side, order.lots)}, {', '.join(terms)}"),
        ("client id", order.client_id),
        ("generation", str(order.generation)),
        (_after(answer, order.ts_ns), "intent written, then sent"),
    ]
    return _grid(rows + [(_after(answer, ts_ns), text) for ts_ns, text in _history(answer, sent)])


def _limit(answer: Explanation, sent: Sent) -> str:
    if sent.order.order_type != "limit":
        return ""
    return f" at {texts.number(sent.order.price_ticks * answer.tick_size)} {answer.currencies[1]}"


def _after(answer: Explanation, ts_ns: int) -> str:
    """Time since the decision."""
    since = ts_ns - answer.subject.decision.ts_ns
    return f"+{texts.span(since)}" if since >= _SECOND_NS else f"+{since / 1e6:.1f} ms"


def _history(answer: Explanation, sent: Sent) -> list[tuple[int, str | Text]]:
    """Events and fills in order of time."""
    happened: list[tuple[int, str | Text]] = [
        (event.ts_ns, f"{event.event}{f' ({event.reason})' if event.reason else ''}") for event in sent.events
    ]
    happened += [(fill.ts_ns, _fill(answer, fill)) for fill in sent.fills]
    return sorted(happened, key=lambda item: item[0])


def _fill(answer: Explanation, fill: FillRow) -> Text:
    base, quote = answer.currencies
    asked = fill.fill_id == answer.subject.fill_id
    return Text(
        f"fill {fill.fill_id}: {fill.quantity} {base} at {fill.price} {quote} as {fill.liquidity}, "
        f"fee {fill.fee} {quote}",
        style="bold cyan" if asked else "green",
    )


def _lineage(answer: Explanation) -> RenderableType:
    if not answer.lineage:
        return Text("  none: the journal has no generations")
    return _grid([(f"g{each.generation}", _ancestor(each)) for each in answer.lineage])


def _ancestor(each: Ancestor) -> str:
    origin = each.numbers.get("origin")
    came = f"from g{each.parent}" if each.parent is not None else f"origin: {origin or 'not said'}"
    promoted = "not promoted" if each.promoted_ts_ns is None else _promoted(each.promoted_ts_ns)
    kl = each.numbers.get("kl")
    apart = f", KL {texts.significant(kl, 3)}" if kl is not None else ""
    return f"{came}, {promoted}{apart}, weights {each.weights_sha256[:12]}"


def _promoted(ts_ns: int) -> str:
    return f"promoted {_when(ts_ns)}" if ts_ns else "serving from the start"


def _recomputed(answer: Explanation) -> RenderableType:
    rows: list[tuple[str, str | Text]] = [
        ("observation", _same(answer.observation_intact, "its hash is the journal's"))
    ]
    if answer.capital is not None:
        found = answer.capital
        evidence = all(share.same_evidence for share in found.shares)
        weighed = all(share.same_weight for share in found.shares)
        rows += [
            ("evidence", _same(evidence, "of each expert, from the sums that it is made of")),
            ("shares", _same(weighed, "the weight of each expert, from the evidence")),
            ("target", _same(found.same_target, f"{found.target!r}, of the sum {found.sum!r}")),
        ]
    again = answer.recomputed
    if again is None:
        style = "" if answer.is_rule else "bold red"
        return _grid([*rows, ("decision", Text(f"not recomputed: {answer.not_recomputed}", style=style))])
    return _grid([*rows, *_checks(answer, again)])


def _checks(answer: Explanation, again: Recomputation) -> list[tuple[str, str | Text]]:
    number = answer.subject.decision.generation
    action = f"target {_share(answer.ladder[again.action_size])}, {TIMING_NAMES[again.action_timing]}"
    return [
        ("weights", _same(again.same_weights, f"generation {number}, from checkpoint {again.checkpoint}")),
        ("action", _same(again.same_action, action)),
        ("log-prob", _same(again.same_logprob, repr(again.logprob))),
        ("value", _same(again.same_value, repr(again.value))),
    ]


def _same(same: bool, what: str) -> Text:
    return Text(f"✓ {what}", style="green") if same else Text(f"✗ differs: {what}", style="bold red")
