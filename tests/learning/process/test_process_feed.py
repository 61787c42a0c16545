"""Through shared memory the window hears what happened, to the bit; what finds no room is dropped, counted, a hole."""

from __future__ import annotations

import numpy as np
import pytest

from learning.test_window import CAPACITY, MARKETS, same, views_of, whole
from trading.markets import SPOT
from ztb.errors import InvariantError
from ztb.learning.process import memory
from ztb.learning.process.feed import FeedReader, FeedSize, FeedWriter, SharedFeed
from ztb.learning.window import RecentWindow, RolloutStart
from ztb.market.view import new_view
from ztb.trading.recording import Recording

PIECE = 20


class Ends:
    """Both ends of a feed of `known`, for a window of `capacity`."""

    def __init__(self, known: Recording, capacity: int = CAPACITY) -> None:
        size = FeedSize(capacity, known.feature_size, PIECE)
        whole_memory = np.zeros(size.nbytes + 64 * memory.LINE, np.uint8)
        self.known = known
        self.period_ns = known.period_ns
        self.feed = SharedFeed(memory.Carver(whole_memory), size)
        self.writer = FeedWriter(self.feed)
        self.again = lambda: SharedFeed(memory.Carver(whole_memory), size)
        self.window = RecentWindow(SPOT, known.period_ns, capacity)
        self.reader = FeedReader(self.feed, self.window)

    def write(self, first: int, last: int) -> None:
        """Decisions [first, last) happen, each after one call with the market before it."""
        shared, view = self.known.shared, views_of(self.known)[0]
        width = shared.markets.shape[1]
        for k in range(first, last):
            start = int(shared.rows[k - 1]) + 1 if k else int(shared.rows[0])
            if k:
                view.view(np.uint8)[:width] = shared.markets[k - 1]
            self.writer.ticks(shared.ticks[start : shared.rows[k] + 1], view)
            self.writer.decided(k, shared.features[k], bool(shared.tainted[k]))


@pytest.mark.parametrize("market", ["bars", "quotes", "depth"])
def test_the_window_behind_it_is_the_one_in_front_of_it(market: str):
    known = whole(*MARKETS[market])
    ends = Ends(known)
    for last in range(PIECE, known.decisions, PIECE):
        ends.write(last - PIECE, last)
        ends.reader.follow(last - 1)
        ends.window.cut()
        ends.reader.forget()
        same(ends.window.recording(), known.window(max(0, last - CAPACITY), last))
    assert ends.writer.dropped == 0 and ends.feed.moments.head > 2 * ends.feed.size.moments


def test_it_hears_nothing_of_later_decisions():
    known = whole(*MARKETS["trades"])
    ends = Ends(known)
    ends.write(0, 30)
    ends.reader.follow(11)
    same(ends.window.cut(), known.window(0, 12))
    ends.reader.follow(29)
    same(ends.window.recording(), known.window(0, 12))
    ends.window.cut()
    same(ends.window.recording(), known.window(0, 30))


def test_a_reader_that_takes_over_hears_the_window_again():
    known = whole(*MARKETS["quotes"])
    ends = Ends(known)
    for last in range(10, 111, 10):
        ends.write(last - 10, last)
        ends.reader.follow(last - 1)
        ends.window.cut()
        ends.reader.forget()
    start = ends.window.start
    ends.write(110, 120)
    ends.reader.follow(119)  # what a killed one had heard since its last state is not lost either
    again = RecentWindow(SPOT, known.period_ns, CAPACITY)
    again.resume(RolloutStart(start.first, start.view.copy(), start.on_bars))
    reader = FeedReader(ends.again(), again)
    reader.follow(109)
    again.cut()
    same(again.recording(), known.window(110 - CAPACITY, 110))
    reader.follow(119)
    again.cut()
    same(again.recording(), known.window(120 - CAPACITY, 120))


def test_what_finds_no_room_is_dropped_and_counted_and_the_window_begins_anew():
    known = whole(*MARKETS["bars"])
    ends = Ends(known, 30)
    room = ends.feed.size.moments
    assert room == 100
    ends.write(0, room + 15)
    assert ends.writer.dropped == 15
    for last in range(PIECE, room + 1, PIECE):
        ends.reader.follow(last - 1)
        ends.window.cut()
    ends.reader.forget()
    same(ends.window.recording(), known.window(room - 30, room))
    ends.write(room + 15, room + 30)
    ends.reader.follow(room + 29)
    same(ends.window.cut(), known.window(room + 15, room + 30))
    same(ends.window.recording(), known.window(room + 15, room + 30))
    assert ends.writer.dropped == 15


def test_ticks_that_find_no_room_drop_their_decision_whole():
    known = whole(*MARKETS["trades"])
    ends = Ends(known, 30)
    many = np.tile(known.shared.ticks.view(np.uint8), 2).view(known.shared.ticks.dtype)
    assert len(many) > ends.feed.size.rows
    ends.write(0, 3)
    ends.writer.ticks(many, new_view(SPOT))
    ends.writer.ticks(many[:1], new_view(SPOT))
    ends.writer.decided(3, known.shared.features[3], False)
    ends.write(4, 9)
    assert ends.writer.dropped == 1
    ends.reader.follow(8)
    ends.window.cut()
    same(ends.window.recording(), known.window(4, 9))


def test_after_a_skip_the_next_decision_begins_a_window():
    known = whole(*MARKETS["bars"])
    ends = Ends(known)
    ends.write(0, 10)
    ends.writer.skip()
    ends.write(10, 20)
    fresh = RecentWindow(SPOT, known.period_ns, CAPACITY)
    fresh.resume(RolloutStart(ends.feed.moments.tail, new_view(SPOT)))
    FeedReader(ends.feed, fresh).follow(19)
    fresh.cut()
    same(fresh.recording(), known.window(10, 20))


def test_damaged_ticks_are_not_believed():
    known = whole(*MARKETS["bars"])
    ends = Ends(known)
    ends.write(0, 2)
    ends.feed._rows[ends.feed.moments.read()["last"][0] - 1, 30] ^= 1
    ends.reader._feed.moments.cursor = 0
    with pytest.raises(InvariantError, match="damaged"):
        ends.reader.follow(1)
