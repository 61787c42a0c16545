"""Which branches of recovery are taken, and how often: counted where the code takes them."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any
from unittest.mock import patch

from ztb.errors import VenueError
from ztb.market.live.source import ChannelRunner
from ztb.market.live.streams import Trades
from ztb.runtime.modes import live
from ztb.runtime.recovery import put_back
from ztb.runtime.venue.gateway import OrderGateway
from ztb.runtime.venue.orders import OrderTable
from ztb.runtime.venue.protection import Protection
from ztb.runtime.venue.reconciliation import Balances, Reconciler
from ztb.runtime.venue.translation import fill_id
from ztb.runtime.venue.user_stream import UserStream
from ztb.runtime.venue.watchdog import Clearing, Stops

Taken = Callable[[tuple[Any, ...], Any], bool]
"""Whether a call, by its arguments and what came of it (an exception: itself), took the branch."""


@dataclass(frozen=True)
class Branch:
    """A branch of recovery: it is taken when `owner.function` has been called and `taken` says so."""

    name: str
    owner: Any
    function: str
    taken: Taken


def _always(_arguments: tuple[Any, ...], _result: Any) -> bool:
    return True


def _failed(_arguments: tuple[Any, ...], result: Any) -> bool:
    return isinstance(result, VenueError)


def _never_arrived(arguments: tuple[Any, ...], _result: Any) -> bool:
    return arguments[2] == "never_arrived"


BRANCHES = (
    Branch("reconciliation: the books agree", Reconciler, "_agrees", lambda _a, agrees: agrees is True),
    Branch("reconciliation: something traded meanwhile", Reconciler, "_look", lambda _a, found: found is None),
    Branch("reconciliation: a balance that is not ours yet", Reconciler, "_agrees", lambda _a, agrees: not agrees),
    Branch("reconciliation: the venue does not answer", Reconciler, "reconcile", _failed),
    Branch("reconciliation: a mismatch halts", Reconciler, "_differs", _always),
    Branch("the venue's figures are adopted", Reconciler, "settled", lambda _a, found: isinstance(found, Balances)),
    Branch("a sending without an answer", OrderTable, "lost_sight", _always),
    Branch("an unanswered order is found", OrderGateway, "ask", lambda a, _r: a[1].accepted),
    Branch("an unanswered order never arrived", OrderTable, "refused", _never_arrived),
    Branch("a cancel is repeated until it is over", OrderGateway, "_end", lambda a, _r: a[1].over),
    Branch("a trade of an order not known yet", OrderTable, "traded", lambda a, _r: fill_id(a[1]) in a[0].foreign),
    Branch("a trade that REST told first", UserStream, "missed", _always),
    Branch("the user stream is made anew", UserStream, "_read", _always),
    Branch("a market stream is made anew", ChannelRunner, "_failed", _always),
    Branch("missed trades are asked for", Trades, "_mend", _always),
    Branch("a stop is placed", Protection, "_place", _always),
    Branch("a stop makes way", Protection, "make_way", lambda a, _r: a[0].standing is not None),
    Branch("a stop is taken away", Protection, "_take_away", _always),
    Branch("a stop that a person took away stays away", Protection, "_left_to_others", lambda _a, left: left is True),
    Branch("a restart finds a past", live, "read_past", lambda _a, past: past is not None),
    Branch("a restart asks for an order left open", OrderTable, "resume", _always),
    Branch("a restart enters the watchdog's stop", put_back, "read_past", lambda _a, past: past is not None),
    Branch("the watchdog cancels", Clearing, "_cancel", _always),
    Branch("the watchdog puts a stop back", Stops, "_put", _always),
    Branch("the watchdog replaces an older stop", Stops, "_send", lambda a, _r: a[3] != []),
)  # fmt: skip


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """While it lasts, every branch that is taken."""
    count: Counter[str] = Counter()
    by_function: dict[tuple[Any, str], list[Branch]] = {}
    for branch in BRANCHES:
        by_function.setdefault((branch.owner, branch.function), []).append(branch)
    with ExitStack() as patches:
        for (owner, function), branches in by_function.items():
            watched = _watched(getattr(owner, function), branches, count)
            patches.enter_context(patch.object(owner, function, watched))
        yield count


def _watched(call: Callable[..., Any], branches: list[Branch], count: Counter[str]) -> Callable[..., Any]:
    def note(arguments: tuple[Any, ...], result: Any) -> None:
        count.update(branch.name for branch in branches if branch.taken(arguments, result))

    if iscoroutinefunction(call):

        @functools.wraps(call)
        async def waited(*arguments: Any, **named: Any) -> Any:
            try:
                result = await call(*arguments, **named)
            except Exception as error:
                note(arguments, error)
                raise
            note(arguments, result)
            return result

        return waited

    @functools.wraps(call)
    def called(*arguments: Any, **named: Any) -> Any:
        result = call(*arguments, **named)
        note(arguments, result)
        return result

    return called
