"""Small pieces of HTML. Every text is escaped here and nowhere else; `Html` is what needs no more escaping."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NewType

Html = NewType("Html", str)

_PLACE = re.compile(r"\{\{(\w+)\}\}")
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def text(content: str) -> Html:
    """Escaped for text and for attributes."""
    return Html(escape(content, quote=True))


def spoken(content: str) -> Html:
    """Escaped; what stands between backticks is a command."""
    parts = [text(part) for part in content.split("`")]
    return Html("".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts)))


def join(parts: Sequence[str]) -> Html:
    """HTML after HTML."""
    return Html("\n".join(parts))


def embedded_json(content: Mapping[str, Any]) -> Html:
    """JSON that no `</script>` or `<!--` inside a string can end. ValueError for NaN and Infinity."""
    encoded = json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return Html(re.sub("[<>&\u2028\u2029]", lambda found: _UNSAFE[found[0]], encoded))


def fill(template: str, parts: Mapping[str, Html]) -> Html:
    """`template` with each `{{name}}` replaced, once: what is put in is not looked at again."""
    return Html(_PLACE.sub(lambda found: parts[found[1]], template))


def card(label: str, value: str, note: str = "", tone: str = "") -> Html:
    """A key figure. `tone`: good, bad or nothing."""
    below = f'<span class="note">{text(note)}</span>' if note else ""
    return Html(f'<div class="card {tone}"><dt>{text(label)}</dt><dd>{text(value)}{below}</dd></div>')


def tone(value: float | None) -> str:
    """The colour of a result."""
    if value is None or value == 0.0:
        return ""
    return "good" if value > 0.0 else "bad"


def cards(items: Sequence[Html]) -> Html:
    """A row of key figures."""
    return Html(f'<dl class="cards">{join(items)}</dl>')


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[Html]],
    caption: str,
    words: int = 1,
    sorts: bool = False,
    wide: bool = False,
    kind: str = "",
) -> Html:
    """A table of which narrow screens and paper show each row as a block of named cells.

    The first `words` columns are words, the others figures. `sorts`: by any column, on demand. `wide`: one that needs
    a wide screen to be a table. `kind`: a further class.
    """
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in heads)
    body = [f"<tr>{''.join(f'<td>{cell}' for cell in row)}" for row in rows]
    later = f"<tbody hidden>{''.join(body[_FEW:])}</tbody>" if len(body) > _FEW else ""
    chosen = (("sorts", sorts), ("wide", wide or len(heads) > _NARROW), (kind, bool(kind)))
    classes = " ".join((f"words-{words}", *(name for name, on in chosen if on)))
    return Html(
        f'<div class="sheet"><table class="{classes}"><caption>{text(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body[:_FEW])}</tbody>{later}</table></div>"
    )


_FEW = 25  # rows that are seen before one asks for all
_NARROW = 6  # columns that a tablet or a sheet of paper has room for


def sort_key(value: float, shown: str) -> Html:
    """A cell that sorts by `value` and says `shown`."""
    return Html(f'<data value="{value}">{text(shown)}</data>')


def columns(names: Sequence[str], values: Sequence[float], said: Sequence[str]) -> Html:
    """Bars up and down from a common zero; `said` is each value in words."""
    most, least = max(0.0, *values), min(0.0, *values)
    whole = (most - least) or 1.0
    bars = [
        f'<li class="{tone(value)}" style="--from:{100 * (most - max(value, 0.0)) / whole:.1f}%;'
        f'--tall:{100 * abs(value) / whole:.1f}%" title="{text(f"{name}: {what}")}"><i></i>'
        f'<span>{text(name)}</span><b class="unseen">{text(what)}</b></li>'
        for name, value, what in zip(names, values, said, strict=True)
    ]
    return Html(f'<ol class="columns" style="--count:{len(names)}">{join(bars)}</ol>')


def bar(share: float, label: str) -> Html:
    """A share of a whole as a bar with its label."""
    return Html(f'<span class="bar"><i style="width:{100 * share:.2f}%"></i></span>{text(label)}')


def facts(rows: Sequence[tuple[str, str]]) -> Html:
    """Names and values below each other."""
    return Html(
        '<dl class="facts">'
        + "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in rows)
        + "</dl>"
    )
