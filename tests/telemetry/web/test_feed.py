"""What the page draws stays bounded, keeps the whole time in view, and a page that falls behind gets it again."""

from __future__ import annotations

from itertools import pairwise

import msgspec

from telemetry.made_up import (
    SECOND_NS,
    START_NS,
    alert,
    decision_row,
    fill_row,
    generation_row,
    mark_row,
    snapshot,
    update_row,
)
from ztb.ledger.journal import Journal
from ztb.ledger.journal_reader import JournalReader
from ztb.secrets import Redactor
from ztb.telemetry.web.feed import PageFeed, Thinned


def test_a_long_series_is_thinned_evenly():
    series = Thinned(100)
    for number in range(10_000):
        series.append((number,))
    *found, newest = (row[0] for row in series.rows())
    steps = [b - a for a, b in pairwise(found)]
    assert 40 <= len(found) < 100 and found[0] == 0 and max(steps) <= 2 * min(steps) and newest == 9_999


def test_a_day_of_seconds_leaves_a_year_of_hours_in_view():
    series = Thinned(1_000)
    for hour in range(500):
        series.append((hour * 17.5 * 3_600,))
    for second in range(86_400):
        series.append((8_760.0 * 3_600 + second,))
    found = [row[0] for row in series.rows()]
    hours = [at for at in found if at < 8_760.0 * 3_600]
    assert len(found) < 1_000 and found[-1] == 8_784.0 * 3_600 - 1
    assert len(hours) == 250, "half of them went once, when the seconds filled the series, and no more since"


def test_the_curves_of_earlier_starts_are_read_back_from_the_journal_and_bounded(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    for decision in range(5_000):
        journal.append(decision_row(decision))
        journal.append(mark_row(decision, 10_000.0 + decision))
        if decision % 5 == 0:
            journal.append(fill_row(decision // 5, ts_ns=START_NS + decision))
            journal.append(update_row(decision // 5 + 1))
            journal.append(generation_row(decision // 5))
    journal.close()
    feed = PageFeed(Redactor())
    feed.recall(JournalReader(journal.path))
    history = feed.history()
    marks = history["marks"]
    assert 800 <= len(marks) <= 1_001 and len({round(b[0] - a[0]) for a, b in pairwise(marks)}) == 1
    assert marks[0][1:] == (5000.0, 10_000.0, 9_900.0, 9_800.0, 0.1)
    assert marks[-1][0] >= (START_NS + 4_990 * 10 * SECOND_NS) / 1e9
    assert [row[0] for row in history["updates"]] == list(range(1, 1_001))
    assert [row[0] for row in history["generations"]] == list(range(800, 1_000))
    assert len(history["fills"]) == 500 and history["fills"][-1][0] == (START_NS + 4_995) / 1e9
    feed.sample(snapshot(last_tick_ns=START_NS))
    assert feed.history()["marks"] == marks, "an older moment than the last is drawn already"


def test_a_new_journal_has_nothing_to_read_back(tmp_path):
    Journal(tmp_path / "journal.sqlite").close()
    feed = PageFeed(Redactor())
    feed.recall(JournalReader(tmp_path / "journal.sqlite"))
    assert not any(feed.history().values())


def test_news_is_what_came_since():
    feed = PageFeed(Redactor())
    feed.record(fill_row(1))
    seen = feed.count
    feed.record(fill_row(2, side=-1))
    assert feed.since(seen) == {"fills": [(1.6e9, 5000.12, -1, 0.01)]}
    assert feed.since(feed.count) == {}


def test_who_is_too_far_behind_gets_the_history_again():
    feed = PageFeed(Redactor())
    for number in range(1_500):
        feed.record(fill_row(number))
    assert feed.since(0) is None and feed.since(600) is not None
    assert len(feed.history()["fills"]) == 500


def test_the_same_moment_is_drawn_once():
    feed = PageFeed(Redactor())
    feed.sample(snapshot())
    feed.sample(snapshot())
    feed.sample(snapshot(mid=None, last_tick_ns=10**19))
    assert len(feed.history()["marks"]) == 1


def test_texts_are_kept_without_secrets():
    feed = PageFeed(Redactor(["hunter2-hunter2"]))
    feed.alert(alert(text="hunter2-hunter2 was refused"))
    feed.record(msgspec.structs.replace(generation_row(), detail='{"reason": "hunter2-hunter2"}'))
    history = feed.history()
    assert history["alerts"][0][2] == "[secret] was refused" and history["generations"][0][3] == "[secret]"


def test_warming_up_is_not_drawn():
    feed = PageFeed(Redactor())
    feed.sample(snapshot(last_tick_ns=START_NS, decisions=0))
    assert feed.history()["marks"] == []
    feed.sample(snapshot(last_tick_ns=START_NS + SECOND_NS, decisions=1))
    assert [row[0] for row in feed.history()["marks"]] == [START_NS / 1e9 + 1]
