"""The window of a learner in a process, told again from what the journal says, holds the same bits as its own did."""

from __future__ import annotations

import numpy as np
import pytest

from learning.process.test_process_feed import PIECE, Ends
from learning.test_window import MARKETS, same, views_of, whole
from trading.markets import SPOT
from ztb.learning.process.feed import FeedReader, FeedSpans, numbers
from ztb.learning.recent import RecentRollouts
from ztb.learning.window import RecentWindow, RolloutStart
from ztb.market.view import new_view
from ztb.runtime.verify.record import LearnerRecord
from ztb.runtime.verify.relearning import ThroughMemory
from ztb.trading.recording import Recording

CAPACITY = 30


class Window(RecentRollouts):
    """Only the window of rollouts."""

    def __init__(self, known: Recording) -> None:
        self.window = RecentWindow(SPOT, known.period_ns, CAPACITY)
        self._subscribers = []


def tell_again(known: Recording, unheard: set[int], skips: list[int], lasts: list[int]) -> Window:
    """What `Ends.write` tells, transitions coming after each of `lasts`."""
    recent = Window(known)
    record = LearnerRecord(False, unheard=unheard, skips=skips)
    hearing = ThroughMemory(recent, PIECE, record)
    shared, view = known.shared, views_of(known)[0]
    for k in range(lasts[-1] + 1):
        start = int(shared.rows[k - 1]) + 1 if k else int(shared.rows[0])
        if k:
            view.view(np.uint8)[: shared.markets.shape[1]] = shared.markets[k - 1]
        hearing.ticks(shared.ticks[start : shared.rows[k] + 1], view)
        hearing.decided(k, shared.features[k], bool(shared.tainted[k]))
        if k in lasts:
            hearing.follow(k)
    recent.advance()
    return recent


@pytest.mark.parametrize("market", ["bars", "quotes", "depth"])
def test_after_decisions_were_dropped(market: str):
    known = whole(*MARKETS[market])
    ends = Ends(known, CAPACITY)
    room = ends.feed.size.moments
    ends.write(0, room + 15)
    ends.reader.follow(room - 1)
    ends.window.cut()
    ends.reader.forget()
    ends.write(room + 15, room + 28)
    ends.reader.follow(room + 27)
    ends.window.cut()
    dropped = set(numbers(ends.writer.unheard.take()))
    assert dropped == set(range(room, room + 15))
    again = tell_again(known, dropped, [], [room - 1, room + 27])
    same(again.window.recording(), ends.window.recording())
    assert again.window.recording().decisions == 13


def test_after_a_skip():
    known = whole(*MARKETS["trades"])
    ends = Ends(known, CAPACITY)
    ends.write(0, 10)
    ends.writer.skip()
    rows = ends.writer.rows
    ends.write(10, 20)
    fresh = RecentWindow(SPOT, known.period_ns, CAPACITY)
    fresh.resume(RolloutStart(ends.feed.moments.tail, new_view(SPOT)))
    FeedReader(ends.feed, fresh).follow(19)
    fresh.cut()
    same(tell_again(known, set(), [rows], [19]).window.recording(), fresh.recording())


def test_spans_say_every_number_once():
    spans = FeedSpans()
    for number in (3, 4, 5, 9, 11, 12):
        spans.add(number)
    told = spans.take()
    assert told == [[3, 5], [9, 9], [11, 12]] and spans.take() == []
    assert list(numbers(told)) == [3, 4, 5, 9, 11, 12]
