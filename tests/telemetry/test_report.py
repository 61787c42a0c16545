"""The page: complete in itself, honest about unfinished runs, and safe whatever the names in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pyarrow.parquet as pq
import pytest

from ztb.commands.report import report
from ztb.errors import DataError
from ztb.ledger.run_directory import RunDirectory
from ztb.telemetry.report import write_report

NASTY = "</script><script>alert(1)</script><!--"

FINISHED = {
    "status": "complete", "strategy": "ppo_online", "start_equity": 1000.0, "end_equity": 1100.0, "return": 0.1,
    "hold_return": None, "frozen_return": None, "sharpe": None, "max_drawdown": 0.2, "fees": 1.0, "turnover": 2.0,
    "generations": {"made": 3, "promoted": 1, "rejected": 1, "rolled_back": 0}, "dropped": {"duplicate": 2},
}  # fmt: skip


class Reader(HTMLParser):
    """What a browser would run, load and show of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.loaded: list[str] = []
        self.shown: list[str] = []
        self.policy = ""
        self._in: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in ("meta", "link", "path", "input", "br"):
            self._in.append(tag)
        if tag == "script":
            self.scripts.append("")
        if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(given["content"])
        asked = [value for name, value in attrs if name in ("src", "href", "data", "action") and value]
        self.loaded += [value for value in asked if not value.startswith("#")]

    def handle_endtag(self, tag: str) -> None:
        if tag in self._in:
            self._in.pop()

    def handle_data(self, data: str) -> None:
        if self._in and self._in[-1] == "script":
            self.scripts[-1] += data
        elif self._in and self._in[-1] != "style":
            self.shown.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.shown).split())

    @property
    def data(self) -> dict[str, Any]:
        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} in the page's data")

        return json.loads(self.scripts[0], parse_constant=refuse)


def read(directory: RunDirectory) -> Reader:
    return Reader(write_report(directory).read_text())


def test_an_unfinished_run_has_its_report_and_its_decisions_from_the_journal_alone(make_run):
    directory = make_run()
    page = read(directory)
    assert "unfinished" in page.text and "This run is unfinished" in page.text
    assert pq.read_table(directory.decisions).num_rows == 40
    assert page.data["charts"]["equity"]["x"][0] == 1_500_001_200
    assert not directory.summary.exists()


def test_the_decisions_of_an_unfinished_run_are_exported_anew_and_those_of_a_finished_one_kept(make_run):
    running, done = make_run("running"), make_run("done", summary=FINISHED)
    for directory in (running, done):
        directory.decisions.write_bytes(b"older")
        write_report(directory)
    assert pq.read_table(running.decisions).num_rows == 40
    assert done.decisions.read_bytes() == b"older"
    done.decisions.unlink()
    assert "complete" in read(done).text and pq.read_table(done.decisions).num_rows == 40


def test_without_javascript_there_are_the_figures_the_tables_and_an_equity_curve(make_run):
    directory = make_run()
    page = read(directory)
    for words in (
        "Return",
        "Max drawdown",
        "✕ rejected",
        "drawdown",
        "Explained variance",
        "bought",
        "ab" * 16,
    ):
        assert words in page.text
    assert directory.report.read_text().count("<polyline") == 4 + 2, "four accounts, two tests"


def test_the_page_loads_nothing_and_allows_no_script_but_its_own(make_run):
    page = read(make_run())
    assert page.loaded == ["data:,"]
    assert page.policy.startswith("default-src 'none'")
    digests = [
        "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"
        for script in page.scripts[1:]
    ]
    assert re.search(r"script-src (.*)$", page.policy)[1].split() == digests
    assert len(page.scripts) == 4


def test_a_name_or_a_note_cannot_become_code(make_run):
    directory = make_run(strategy=NASTY, note=NASTY)
    page = read(directory)
    assert len(page.scripts) == 4
    assert page.data["charts"]["equity"]["lines"][0]["name"] == NASTY
    assert f"{NASTY} on BTC/USD" in page.text
    assert "alert(1)</script>" not in directory.report.read_text()


def test_folders_of_the_machine_are_not_told(make_run):
    directory = make_run()
    content = write_report(directory).read_text()
    assert "bars.csv" in content and "/somewhere" not in content and str(directory.path.parent) not in content


def test_twenty_thousand_decisions_make_a_page_below_a_megabyte_that_says_it_is_sampled(make_run):
    directory = make_run(decisions=20_000)
    page = read(directory)
    assert directory.report.stat().st_size < 1_000_000
    assert "20,000 decisions, so that no extreme is lost" in page.text
    price = page.data["charts"]["price"]
    assert price["candles"]["count"] == 20_000 and len(price["fills"]["x"]) == 1_500
    assert "The 1,500 newest of 5,000 fills" in page.text
    assert "The 750 newest of" in page.text


@pytest.mark.parametrize("decisions", [0, 1, 2])
def test_a_run_that_hardly_began_has_a_report(make_run, decisions):
    page = read(make_run(decisions=decisions, learns=False))
    assert ("No decision has been made yet" in page.text) == (decisions == 0)
    assert bool(page.data["charts"]) == (decisions == 2)


def test_the_same_run_gives_the_same_page(make_run):
    directory = make_run()
    first = write_report(directory).read_bytes()
    assert write_report(directory).read_bytes() == first


def test_a_run_without_its_manifest_is_still_reported(make_run):
    directory = make_run()
    directory.manifest.unlink()
    assert "unknown strategy on BTC/USD" in read(directory).text


def test_the_command_says_where_the_page_is(make_run, capsys):
    directory = make_run()
    assert report(directory.path, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["report"] == str(directory.report)
    assert report(directory.path, as_json=False) == 0
    assert capsys.readouterr().out.strip() == str(directory.report)


def test_a_folder_without_a_journal_is_an_error_that_names_it(tmp_path):
    with pytest.raises(DataError, match=r"journal\.sqlite: no journal there"):
        write_report(RunDirectory(tmp_path))
