"""What the page draws stays bounded, keeps the whole time in view, and a page that falls behind gets it again."""

from __future__ import annotations

import msgspec

from telemetry.made_up import alert, fill_row, generation_row, snapshot
from ztb.secrets import Redactor
from ztb.telemetry.web.feed import Feed, Thinned


def test_a_long_series_is_thinned_evenly():
    series = Thinned(100)
    for number in range(10_000):
        series.append((number,))
    found = [row[0] for row in series.rows()]
    steps = {b - a for a, b in zip(found[:-1], found[1:], strict=True)}
    assert 50 <= len(found) < 100 and found[0] == 0 and len(steps) == 1 and found[-1] > 9_700


def test_news_is_what_came_since():
    feed = Feed(Redactor())
    feed.record(fill_row(1))
    seen = feed.count
    feed.record(fill_row(2, side=-1))
    assert feed.since(seen) == {"fills": [(1.6e9, 5000.12, -1, 0.01)]}
    assert feed.since(feed.count) == {}


def test_who_is_too_far_behind_gets_the_history_again():
    feed = Feed(Redactor())
    for number in range(1_500):
        feed.record(fill_row(number))
    assert feed.since(0) is None and feed.since(600) is not None
    assert len(feed.history()["fills"]) == 500


def test_the_same_moment_is_drawn_once():
    feed = Feed(Redactor())
    feed.sample(snapshot())
    feed.sample(snapshot())
    feed.sample(snapshot(mid=None, last_tick_ns=10**19))
    assert len(feed.history()["marks"]) == 1


def test_texts_are_kept_without_secrets():
    feed = Feed(Redactor(["hunter2-hunter2"]))
    feed.alert(alert(text="hunter2-hunter2 was refused"))
    feed.record(msgspec.structs.replace(generation_row(), detail='{"reason": "hunter2-hunter2"}'))
    history = feed.history()
    assert history["alerts"][0][2] == "[secret] was refused" and history["generations"][0][3] == "[secret]"
