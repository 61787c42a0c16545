"""A study's page is complete in itself, says what the figures say, and survives whatever names it shows."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from studies.conftest import SPACE
from ztb.studies.page import page, write_page
from ztb.studies.reading import LoadedStudy


class Balanced(HTMLParser):
    """Fails at a tag that closes another than the last opened. Cells need no end."""

    VOID = (
        "td",
        "th",
        "tr",
        "tbody",
        "thead",
        "meta",
        "link",
        "path",
        "polyline",
        "circle",
        "br",
        "img",
        "input",
    )

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open and self.open.pop() == tag


def test_a_tuned_study_shows_folds_seeds_parameters_failures_and_looks(drive, tmp_path):
    drive(space={"strategy.options.fast": {"choices": [13, 4, 9, 17]}}, trials=10, prune=False).run()
    study = LoadedStudy(tmp_path / "study")
    told = write_page(study).read_text()
    parser = Balanced()
    parser.feed(told)
    assert parser.open == []
    for name in ("growth", "folds", "seeds", "parameters", "yardsticks", "looks", "failures", "provenance"):
        assert f'id="{name}"' in told, name
    assert study.evidence.sentence.split(":")[0] in told and "ConfigError: unlucky" in told
    assert "Importance" not in told or re.search(r"Importance \d", told)
    assert study.summary is not None and study.summary["digest"] in told
    outside = re.findall(r'(?:src|href)="(?!data:,|#|runs/)([^"]*)"', told)
    assert outside == [] and "<script" not in told and "http" not in told.replace("http-equiv", "")


def test_importance_is_told_by_who_proposed(drive):
    summary = drive(space=SPACE, trials=12, prune=False).run()
    assert (
        set(summary["importance"]) == {"strategy.options.fast"}
        and summary["importance"]["strategy.options.fast"] == 1.0
    )


def test_a_study_that_has_just_begun_has_a_page_too(drive, tmp_path):
    pages: list[str] = []
    drive(listener=lambda *_: pages.append(page(LoadedStudy(tmp_path / "study"))), folds=2, train="20d").run()
    assert len(pages) == 6 and all("running" in told for told in pages)
