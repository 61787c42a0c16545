"""Replay: recorded history through the very engine that trades live."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from ztb.config import Config
from ztb.learning.service.initial_policy import InitialPolicy, parse_span
from ztb.ledger.looks import Look, Looks
from ztb.ledger.run_directory import RunDirectory
from ztb.market.history import YEAR_NS, History, open_history
from ztb.ports import Source
from ztb.runtime.build.assembly import assemble
from ztb.runtime.build.beside import compile_beside
from ztb.runtime.build.context import RunContext, configured_instrument, initial_policy, run_id_of
from ztb.runtime.build.parts import SessionParts, open_parts
from ztb.runtime.clock import SystemClock
from ztb.runtime.session import Session, status_of
from ztb.runtime.sources.history import HistorySource, trading_start
from ztb.strategies.loader import load_strategy
from ztb.utils.installation import code_version
from ztb.utils.moments import when

_BLOCK_ROWS = 32_768
"""Read at a time where nothing else is said: many decisions are made in one stretch of them."""

Progress = Callable[[str, float], None]
"""(what is going on, fraction done)."""

SHIPPED_PRETRAIN_NS = parse_span("180d")
"""What trains generation 0 where nothing else is said and the shipped history is replayed."""


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """A request to replay. The first `pretrain_ns` of the data are not traded; but for the last `embargo_ns` of
    them, they train generation 0. `code` is the version whose run is repeated, and has its id; None: this one's.
    """

    config: Config
    paths: tuple[Path, ...]
    seed: int
    start_ns: int | None = None
    end_ns: int | None = None
    pretrain_ns: int = 0
    from_generation: str | None = None
    embargo_ns: int = 0
    code: str | None = None

    @classmethod
    def of(
        cls,
        config: Config,
        paths: tuple[Path, ...],
        seed: int,
        *,
        span_ns: tuple[int | None, int | None] = (None, None),
        pretrain_ns: int | None = None,
        from_generation: str | None = None,
    ) -> Self:
        """As a person asks for it: no `paths` is the shipped history, whose beginning trains generation 0.

        A rule trades the whole of it after the same span, for comparison, and all of a part that is asked for.
        """
        if pretrain_ns is None:
            shipped = not paths and from_generation is None
            compared = span_ns == (None, None) or load_strategy(config.strategy.name).learns
            pretrain_ns = SHIPPED_PRETRAIN_NS if shipped and compared else 0
        return cls(config, paths, seed, *span_ns, pretrain_ns, from_generation)

    def facts(self, history: History) -> dict[str, Any]:
        """Facts of the data for `run.json`, so that the run can be repeated."""
        return {
            "data_digest": history.digest,
            "content_digest": history.content_digest,
            "data": [str(path.resolve()) for path in self.paths],
            "start_ns": self.start_ns,
            "end_ns": self.end_ns,
            "pretrain_ns": self.pretrain_ns,
            "from_generation": self.from_generation,
            "embargo_ns": self.embargo_ns,
            "id_of_code": self.code or code_version(),
        }


def open_data(request: ReplayRequest) -> History:
    """The history of a request, with what the configuration says of its instrument."""
    market = request.config.market
    return open_history(
        request.paths or None,
        symbol=market.symbol,
        tick_size=market.tick_size,
        lot_size=market.lot_size,
        venue=market.venue,
        maker_fee=market.maker_fee,
        taker_fee=market.taker_fee,
        start_ns=request.start_ns,
        end_ns=request.end_ns,
        latest_ns=SystemClock().now_ns() + YEAR_NS,
    )


def replay_context(
    request: ReplayRequest, history: History, directory: RunDirectory, on_progress: Progress
) -> RunContext:
    """The context of a replay of `history`; its run id is a function of all that can change a result."""
    config = request.config
    instrument = configured_instrument(history.instrument, config.market)
    assembly = assemble(config, instrument, history.bar_ns, request.seed)
    if assembly.strategy.learns and request.pretrain_ns:
        compile_beside(config)
    what = [history.digest, str(request.pretrain_ns), str(request.from_generation)]
    if request.embargo_ns:
        what.append(str(request.embargo_ns))
    trade_from_ns = trading_start(history, request.pretrain_ns)

    def pretrained() -> InitialPolicy:
        # Imported here alone: a run that does not train in this process never needs torch.
        from ztb.runtime.build.pretraining import pretrained_origin

        return pretrained_origin(
            assembly=assembly,
            history=history,
            end_ns=trade_from_ns - request.embargo_ns,
            seed=request.seed,
            on_progress=lambda done: on_progress("pretrain", done),
        )

    return RunContext(
        mode="replay",
        assembly=assembly,
        directory=directory,
        run_id=run_id_of(config, request.seed, *what, code=request.code),
        facts=request.facts(history),
        initial_policy=initial_policy(
            assembly, request.from_generation, pretrained=pretrained if request.pretrain_ns else None
        ),
        trade_from_ns=trade_from_ns,
    )


def _unheard(_name: str, _done: float) -> None:
    """Progress that nobody asked for."""


class Replay(Session):
    """One replay from request to summary: `Replay.over` data, then `await run_to_end(it)`."""

    def __init__(self, context: RunContext, parts: SessionParts, history: History, source: Source) -> None:
        super().__init__(context, parts)
        self.history = history
        self.source = source

    @classmethod
    def over(
        cls,
        request: ReplayRequest,
        history: History,
        directory: RunDirectory,
        on_progress: Progress = _unheard,
        *,
        watched: bool = False,
    ) -> Self:
        """A replay of `history` as requested, with its files open in `directory`; `watched`: row by row."""
        context = replay_context(request, history, directory, on_progress)
        guard = context.broadcast.before_order if watched else None
        context = replace(context, packs=not watched, guard=guard)
        source = HistorySource(
            history, request.config.market.block_rows or _BLOCK_ROWS, lambda done: on_progress("replay", done)
        )
        return cls(context, open_parts(context), history, source)

    def look(self) -> Look:
        """The look at the data that it was."""
        progress = self.engine.progress
        return Look(
            data=self.history.content_digest,
            first_ns=progress.trade_first_ts_ns or progress.first_ts_ns,
            last_ns=progress.last_ts_ns,
            kind="replay",
            key=self.run_id,
            run=str(self.directory.path),
        )

    @property
    def dropped(self) -> int:
        """Rows of the data that were left out so far."""
        return sum(self.history.report.dropped.values())


async def run_to_end(run: Replay, is_look: bool = True) -> dict[str, Any]:
    """Run to the end, or to the error or interrupt that ends it; the summary is written in any case.

    `is_look`: it is counted among the looks at what it traded; a trial of a study is, by its study.
    """
    try:
        await run.run(run.source)
        if is_look:
            Looks.beside(run.directory.path).add([run.look()])
    except BaseException as error:
        run.abandon(status_of(error), run.dropped)
        raise
    return run.finish("complete", run.dropped)


def seen_in_training(generation: str | None, summary: dict[str, Any]) -> str | None:
    """A warning for a replay over a span that its `generation` was trained on; None where it was not."""
    if generation is None:
        return None
    told = Path(re.sub(r":\d+$", "", generation)) / "summary.json"
    trained = json.loads(told.read_text(encoding="utf-8")).get("trained_on") if told.is_file() else None
    began = summary["trade_first_ts"]
    if not trained or began is None or began > trained["last_ts"]:
        return None
    return (
        f"{generation} was trained on what happened until {when(trained['last_ts'])}: what it does before, "
        "here too, says nothing of what it can do"
    )
