"""Small pieces of HTML. Every text is escaped here and nowhere else; `Html` is what needs no more escaping."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NewType

Html = NewType("Html", str)
Cell = str | Html

_PLACE = re.compile(r"\{\{(\w+)\}\}")
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def text(content: str) -> Html:
    """Escaped for text and for attributes."""
    return Html(escape(content, quote=True))


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
    """How a result is coloured."""
    if value is None or value == 0.0:
        return ""
    return "good" if value > 0.0 else "bad"


def cards(items: Sequence[Html]) -> Html:
    """A row of key figures."""
    return Html(f'<dl class="cards">{join(items)}</dl>')


def table(heads: Sequence[str], rows: Sequence[Sequence[Html]], caption: str, words: int = 1) -> Html:
    """A table that scrolls sideways where it must. The first `words` columns are words, the others figures."""
    head = "".join(
        f'<th scope="col"{"" if i < words else " class=figure"}>{text(name)}</th>'
        for i, name in enumerate(heads)
    )
    body = "".join(f"<tr>{''.join(_cell(cell, i, words) for i, cell in enumerate(row))}</tr>" for row in rows)
    return Html(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}">'
        f"<table><caption>{text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(cell: Html, place: int, words: int) -> str:
    return f"<td>{cell}</td>" if place < words else f"<td class=figure>{cell}</td>"


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
