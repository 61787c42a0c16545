"""Whatever a name or a note holds, it stays text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztb.telemetry.markup import Html, card, embedded_json, facts, fill, spoken, table, text

NASTY = "</script><!-- & \"quoted\" <b onload='x'> \u2028"


def test_pieces_escape_what_they_are_given():
    for piece in (card(NASTY, NASTY, NASTY), facts([(NASTY, NASTY)]), table([NASTY], [[text(NASTY)]], NASTY)):
        assert "</script" not in piece and "<b " not in piece and "<!--" not in piece


def test_a_command_between_backticks_is_code_and_escaped_too():
    assert spoken("halted; `ztb resume --run <b>` ends it") == (
        "halted; <code>ztb resume --run &lt;b&gt;</code> ends it"
    )
    assert spoken(NASTY) == text(NASTY)


@given(st.text() | st.just(NASTY))
def test_embedded_json_is_the_same_json_and_can_end_no_script(content):
    encoded = embedded_json({"name": content, content: [1, None]})
    assert not set("<>&\u2028\u2029") & set(encoded)
    assert json.loads(encoded)["name"] == content or content == "name"


def test_embedded_json_has_no_nan():
    with pytest.raises(ValueError, match="not JSON compliant"):
        embedded_json({"x": float("nan")})


def test_what_is_filled_in_is_not_looked_at_again():
    assert fill("{{a}} {{b}}", {"a": Html("{{b}}"), "b": Html("$1 \\g<0>")}) == "{{b}} $1 \\g<0>"
