"""Walk-forward folds: each trains on a span and trades the one after it, with an embargo between (López de Prado 2018,
"Advances in Financial Machine Learning", chapters 7 and 12).

What is learnt from is complete before the embargo begins: a decision's reward is known one decision later, and a
training sees ticks alone, so nothing of the traded span reaches back, and purging is the embargo's cut.
"""

from __future__ import annotations

from dataclasses import dataclass

from ztb.errors import UsageError
from ztb.learning.service.initial_policy import parse_span
from ztb.studies.spec import StudySpec

_DEFAULT_FOLDS = 4
_HOUR_NS = 3_600_000_000_000
_DAY_NS = 24 * _HOUR_NS
_PERIODS_NS = (7 * _DAY_NS, _DAY_NS, 4 * _HOUR_NS, _HOUR_NS, 60_000_000_000, 1_000_000_000)
_LEAST_PERIODS = 20


@dataclass(frozen=True, slots=True)
class Fold:
    """One step of the walk, nanoseconds since 1970: [train_from, test_from) is seen, [test_from, test_to) traded."""

    number: int
    train_from: int
    test_from: int
    test_to: int
    embargo_ns: int

    def ends(self, period_ns: int) -> list[int]:
        """The ends of its test's periods; what is left over belongs to the last."""
        whole = max((self.test_to - self.test_from) // period_ns, 1)
        return [self.test_from + k * period_ns for k in range(1, whole)] + [self.test_to]


@dataclass(frozen=True, slots=True)
class FoldSpans:
    """Lengths of a study's folds, nanoseconds, and how many there are."""

    folds: int
    train_ns: int
    test_ns: int
    embargo_ns: int


def period_of(test_ns: int) -> int:
    """The longest of week, day, four hours, hour, minute and second that a test has twenty of: returns are counted by
    it, nanoseconds.
    """
    fitting = [period for period in _PERIODS_NS if test_ns >= _LEAST_PERIODS * period]
    return fitting[0] if fitting else _PERIODS_NS[-1]


def walk(spec: StudySpec, first_ns: int, last_ns: int) -> list[Fold]:
    """The folds over data from `first_ns` to `last_ns`: tests follow each other, the last ends with the data.

    UsageError: so many of that length do not fit, and what would.
    """
    spans = _spans(spec, last_ns - first_ns)
    begin = last_ns - spans.train_ns - spans.folds * spans.test_ns
    return [
        Fold(
            number=k,
            train_from=start,
            test_from=start + spans.train_ns,
            test_to=start + spans.train_ns + spans.test_ns,
            embargo_ns=spans.embargo_ns,
        )
        for k in range(spans.folds)
        for start in [begin + k * spans.test_ns]
    ]


def _spans(spec: StudySpec, whole_ns: int) -> FoldSpans:
    train, test = _given(spec.train, "--train"), _given(spec.test, "--test")
    if train is not None and train >= whole_ns:
        raise UsageError(f"--train {spec.train}: the data hold {_days(whole_ns)} only: give a shorter one")
    folds = spec.folds or _fitting(train, test, whole_ns)
    if test is None:
        test = _rounded((whole_ns - train) // folds if train is not None else whole_ns // (folds + 2))
    if train is None:
        train = min(2 * test, whole_ns - folds * test)
    embargo = _given(spec.embargo, "--embargo", none=True)
    embargo = train // 100 if embargo is None else embargo
    most = (whole_ns - train) // test if test else 0
    if most < folds or train <= 0:
        raise UsageError(
            f"--folds {folds}: {_days(whole_ns)} of data do not hold {_days(max(train, 0))} to train on and {folds} "
            f"times {_days(test)} to trade; {max(most, 0)} fit: give fewer or shorter ones"
        )
    if embargo >= train:
        raise UsageError(f"--embargo: {_days(embargo)} leaves nothing of {_days(train)} to train on")
    return FoldSpans(folds, train, test, embargo)


def _fitting(train: int | None, test: int | None, whole_ns: int) -> int:
    """As many as fit where the length of a test is given."""
    if test is None:
        return _DEFAULT_FOLDS
    return max((whole_ns - (2 * test if train is None else train)) // test, 1)


def _given(text: str | None, flag: str, none: bool = False) -> int | None:
    if text is None:
        return None
    span = parse_span(text, flag)
    if span == 0 and not none:
        raise UsageError(f"{flag} {text!r}: give a span above 0")
    return span


def _rounded(span_ns: int) -> int:
    """Down to whole days, hours, minutes or seconds, by its length."""
    for unit in (_DAY_NS, _HOUR_NS, 60_000_000_000, 1_000_000_000):
        if span_ns >= 10 * unit:
            return span_ns // unit * unit
    return span_ns


def _days(span_ns: int) -> str:
    return f"{span_ns / _DAY_NS:.4g} days"
