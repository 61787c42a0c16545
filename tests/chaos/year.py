"""A year in a night: many seeds' stories, one a processor, and what they have shown together.

`PYTHONPATH=daemon:tests python -m chaos.year` (`.ci/year`) lives through a year, `--hours N` through less. Each story is
a line of `told.jsonl` in `--out`, and is not lived through again by the next call on the same folder. Exit code 1 where
a defect was found, and where a kind of fault, a pair of them, an event or a branch of recovery has never come.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import structlog

from chaos.branches import BRANCHES
from chaos.faults import FAULTS
from chaos.recipe import Recipe
from chaos.storm import PAIRS
from chaos.story import EVENTS, Seen, tell

YEAR_H, STORY_H = 8760.0, 168.0
_PAIR = " then "
_HANGS_S = 3600.0

Told = dict[str, Any]
"""One story, as it stands in the file: counts by name, `defect` is a traceback or nothing."""


def told_of(seed: int, hours: float) -> Told:
    """Live through one story, in this process."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    faulthandler.dump_traceback_later(_HANGS_S, exit=True)
    began_s, seen, defect = time.process_time(), Seen(), ""
    folder = Path(tempfile.mkdtemp(prefix=f"year-{seed}-"))
    try:
        tell(Recipe(seed), hours, folder / "run", seen)
    except BaseException:  # whatever it is, it is what we look for
        defect = traceback.format_exc()
    finally:
        shutil.rmtree(folder)
        faulthandler.cancel_dump_traceback_later()
    return entered(seed, seen, time.process_time() - began_s, defect)


def entered(seed: int, seen: Seen, processor_s: float, defect: str) -> Told:
    """A story as it is told."""
    return {
        "seed": seed, "hours": round(seen.hours, 2), "processor_s": round(processor_s, 1),
        "schedule choices": seen.choices, "orders": seen.orders, "fills": seen.fills,
        "updates": seen.updates, "comparisons": seen.comparisons,
        "kinds": dict(seen.struck.kinds),
        "pairs": {_PAIR.join(pair): count for pair, count in seen.struck.pairs.items()},
        "branches": dict(seen.branches), "events": dict(seen.events), "digest": seen.digest, "trace": seen.trace, "defect": defect,
    }  # fmt: skip


def total(stories: Iterable[Told], name: str) -> Counter[str]:
    """What all stories count under `name`."""
    count: Counter[str] = Counter()
    for story in stories:
        count.update(story[name])
    return count


def figures(stories: list[Told]) -> tuple[list[str], bool]:
    """Lines to print; whether all is well: nothing wrong, and nothing that never came."""
    wanted = {
        "kinds": list(FAULTS),
        "pairs": [_PAIR.join(pair) for pair in sorted(PAIRS)],
        "branches": [branch.name for branch in BRANCHES],
        "events": [*EVENTS, "a kill", "a clean end"],
    }
    sums = {name: sum(story[name] for story in stories) for name in _SUMS}
    lines = [
        f"{len(stories)} seeds, each a schedule: {', '.join(f'{sums[name]:,.0f} {name}' for name in _SUMS)}"
    ]
    if sums["processor_s"]:
        lines.append(f"{sums['hours'] / sums['processor_s']:.2f} simulated hours in a second of a processor")
    well = bool(stories)
    for name, expected in wanted.items():
        came = total(stories, name)
        never = [one for one in expected if not came[one]]
        well &= not never
        lines.append(f"{name}: {len(expected) - len(never)} of {len(expected)}, {sum(came.values()):,} times")
        if name != "pairs":
            lines += [f"  {count:>9,}  {one}" for one, count in came.most_common()]
        lines += [f"  never: {one}" for one in never]
    defects = [story for story in stories if story["defect"]]
    lines.append(f"defects: {len(defects)}")
    for story in defects:
        lines.append(
            f"  seed {story['seed']} (again: pytest tests/chaos/test_year.py --seed {story['seed']})"
        )
        lines += [f"    {line}" for line in story["defect"].splitlines()[-_LAST_LINES:]]
    return lines, well and not defects


_SUMS = ("hours", "processor_s", "schedule choices", "orders", "fills", "updates", "comparisons")
_LAST_LINES = 12


def live(hours: float, story_h: float, first: int, processes: int, out: Path) -> list[Told]:
    """As many stories as make up `hours`, from the seed `first` on; those in `out` as they stand there."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "told.jsonl"
    known = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    seeds = range(first, first + max(1, round(hours / story_h)))
    stories = [story for story in known if story["seed"] in seeds]
    left = [seed for seed in seeds if seed not in {story["seed"] for story in stories}]
    # A process for each story: what one leaves behind is nobody else's.
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), max_tasks_per_child=1)
    with pool, file.open("a") as told:
        for done in as_completed([pool.submit(partial(told_of, seed, story_h)) for seed in left]):
            stories.append(done.result())
            told.write(json.dumps(stories[-1]) + "\n")
            told.flush()
            print(f"{len(stories)} of {len(seeds)}", file=sys.stderr)
    return stories


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Simulated weeks of live trading, one story a seed")
    parser.add_argument("--hours", type=float, default=YEAR_H, help="of market time, in all")
    parser.add_argument("--story-hours", type=float, default=STORY_H, help="of market time, in one story")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("year"), help="where what was told is kept")
    asked = parser.parse_args()
    stories = live(asked.hours, asked.story_hours, asked.first, asked.processes, asked.out)
    lines, well = figures(stories)
    print("\n".join(lines))
    (asked.out / "figures.txt").write_text("\n".join(lines) + "\n")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
