"""Several streams as one: by event time, ties by source rank, then sequence. And blocks of equal length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ztb.market.ticks import Ticks, empty_ticks, join_ticks, take_ticks


def merge(streams: Sequence[Iterator[Ticks]]) -> Iterator[Ticks]:
    """Rows of all `streams`, each of rising `ts_ns`, given in order of rank, merged by (time, rank, row)."""
    if len(streams) == 1:
        yield from streams[0]
        return
    buffers: list[Ticks] = [empty_ticks(0) for _ in streams]
    open_streams = list(range(len(streams)))
    while open_streams:
        open_streams = [i for i in open_streams if _refill(buffers, streams, i)]
        if open_streams:
            horizon = min(int(buffers[i]["ts_ns"][-1]) for i in open_streams)
            yield from _release(buffers, horizon)
    yield from _release(buffers, np.iinfo(np.int64).max)


def _refill(buffers: list[Ticks], streams: Sequence[Iterator[Ticks]], i: int) -> bool:
    """Make stream `i` hold rows of at least two times, so that all rows of the earlier one are known."""
    while len(buffers[i]) == 0 or buffers[i]["ts_ns"][0] == buffers[i]["ts_ns"][-1]:
        block = next(streams[i], None)
        if block is None:
            return False
        buffers[i] = join_ticks((buffers[i], block))
    return True


def _release(buffers: list[Ticks], horizon: int) -> Iterator[Ticks]:
    ready: list[Ticks] = []
    for i, rows in enumerate(buffers):
        cut = int(np.searchsorted(rows["ts_ns"], horizon, side="left"))
        ready.append(rows[:cut])
        buffers[i] = rows[cut:]
    together = join_ticks(ready)
    if len(together):
        yield take_ticks(together, np.argsort(together["ts_ns"], kind="stable"))


def in_blocks(pieces: Iterator[Ticks], rows: int) -> Iterator[Ticks]:
    """The rows of `pieces` in blocks of `rows`, the last one shorter."""
    held: list[Ticks] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += len(piece)
        if count < rows:
            continue
        whole = held[0] if len(held) == 1 else join_ticks(held)
        cut = count - count % rows
        for at in range(0, cut, rows):
            yield whole[at : at + rows]
        held, count = [whole[cut:]], count - cut
    if count:
        yield join_ticks(held)
