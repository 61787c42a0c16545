"""Transitions of the policy that leads: what a decision came to is known at the next one, and a learner is told."""

from __future__ import annotations

from ztb.learning.service.base import Learning
from ztb.market.ticks import Ticks
from ztb.trading.course import Course
from ztb.trading.decided import Decided


class Transitions:
    """Completes each decision by the next one, and tells a learner."""

    def __init__(self) -> None:
        self._incomplete: tuple[Decided, int] | None = None

    def add(self, learning: Learning, decided: Decided, generation: int, tainted: bool) -> None:
        """`generation` has decided; `tainted`: what happened since the decision before is not to be trained on."""
        if self._incomplete is not None:
            before, decided_by = self._incomplete
            learning.completed(before, decided_by, decided.reward, tainted=tainted, after=decided)
        self._incomplete = decided, generation

    def add_stretch(
        self,
        learning: Learning,
        ticks: Ticks,
        begin: int,
        course: Course,
        decisions: range,
        seen: int,
        generation: int,
    ) -> None:
        """As `add`, of `ticks` that happened, row `begin` of their block the first, and the `decisions` of `course` on
        them; `seen` is the place of the lane that is learnt from, among those that are noted.
        """
        made = len(decisions)
        learning.followed(ticks, course.rows[:made] + 1 - begin, course.told[:made], course.tainted[:made])
        for k, number in enumerate(decisions):
            self.add(learning, course.decided(k, number, seen), generation, bool(course.tainted[k]))
