"""Every mistake a person can make ends in one clear line and the documented exit code, never in a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ztb.cli import run
from ztb.ledger.journal_reader import JournalReader
from ztb.ledger.records import DecisionRow

ROOT = Path(__file__).resolve().parents[1]


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = run([str(argument) for argument in arguments])
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return code, text


def test_a_missing_file_is_named(capsys, tmp_path):
    code, text = said(capsys, "replay", "--data", tmp_path / "gone.csv", "--out", tmp_path / "run")
    assert code == 3 and "gone.csv" in text


def test_an_unknown_strategy_names_the_nearest(capsys, write_bars, tmp_path):
    code, text = said(
        capsys, "replay", "--data", write_bars(50), "--strategy", "hodl", "--out", tmp_path / "r"
    )
    assert code == 78 and "did you mean 'hold'" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"rsik": {}}', "unknown section: 'rsik'; did you mean 'risk'?"),
        ('{"risk": {"max_exposur": 1}}', "unknown key in risk: 'max_exposur'; did you mean 'max_exposure'?"),
        ('{"risk": {"max_exposure": -1}}', "risk.max_exposure: Input should be greater than 0 (got -1)"),
        ('{"risk": {"max_exposure": "much"}}', "risk.max_exposure: Input should be a valid number"),
        ('{"ppo": {"gamma": 1.5}}', "gamma"),
        ('{"paper": {"bar_participation": 2}}', "bar_participation"),
        ('{"risk": 3}', "risk must be an object of settings"),
        ('{"risk": ', ":1:"),
        ("[1]", "holds no JSON object"),
    ],
)
def test_bad_configuration_names_file_place_and_remedy(capsys, tmp_path, content, message):
    path = tmp_path / "trade-config.json"
    path.write_text(content)
    code, text = said(capsys, "config", "check", "--config", path)
    assert code == 78 and message in text, text
    assert "trade-config.json" in text or message in ("gamma", "bar_participation")


def test_a_ladder_that_cannot_be_traded_is_refused(capsys, write_bars, tmp_path, monkeypatch):
    monkeypatch.setenv("ZTB_DECISION__LADDER", "[-1, 0, 1]")
    code, text = said(capsys, "replay", "--data", write_bars(50), "--out", tmp_path / "run")
    assert code == 78 and "cannot be sold short" in text


def test_usage_errors_are_usage_errors(capsys):
    assert said(capsys, "replay", "--seed", "x")[0] == 2
    assert said(capsys, "no-such-verb")[0] == 2
    assert said(capsys, "replay", "--pretrain", "half")[0] == 2
    assert said(capsys, "replay", "--from", "yesterday")[0] == 2


def test_a_second_run_never_overwrites_the_first(capsys, write_bars, tmp_path):
    data, out = write_bars(120), tmp_path / "run"
    arguments = ("replay", "--data", data, "--strategy", "hold", "--out", out)
    assert said(capsys, *arguments)[0] == 0
    code, text = said(capsys, *arguments)
    assert code == 2 and "holds a run already" in text


def test_a_run_of_another_version_repeats_bit_for_bit_or_is_refused_by_name(
    capsys, write_bars, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as then:
        for module in ("build.context", "build.parts", "modes.replay", "summary"):
            then.setattr(f"ztb.runtime.{module}.code_version", lambda: "0.0.9+0123456789ab")
        made = ("replay", "--data", write_bars(120), "--strategy", "hold", "--out", "run")
        assert said(capsys, *made)[0] == 0
    for recorded in ("run", "runs/replay-001"):
        code, text = said(capsys, "replay", recorded, "--json")
        assert code == 0 and f"{recorded}: repeated bit for bit" in text
    kept = Path("run/summary.json")
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"end_equity": 1.0}))
    code, text = said(capsys, "replay", "run")
    assert code == 3 and "differs in end_equity" in text and "0.0.9+0123456789ab then" in text


@pytest.fixture
def own_strategies(tmp_path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    return folder


def in_a_process(folder: Path, *arguments: object, **keywords: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "daemon"), "ZTB_STRATEGY_PATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "ztb", *map(str, arguments)], env=environment, capture_output=True, text=True,
        check=False, **keywords,
    )  # type: ignore[call-overload,no-any-return]  # fmt: skip


def test_a_strategy_that_raises_is_named_with_its_line_and_the_run_stays_readable(
    own_strategies, write_bars, tmp_path
):
    (own_strategies / "breaks.py").write_text(
        "from ztb.trading.strategy import Action\n"
        "class Strategy:\n"
        "    def __init__(self, context): pass\n"
        "    def decide(self, moment):\n"
        "        if moment.decision == 100: raise ValueError('out of ideas')\n"
        "        return Action(0)\n"
    )
    out = tmp_path / "run"
    done = in_a_process(
        own_strategies, "replay", "--data", write_bars(400), "--strategy", "breaks", "--out", out
    )
    assert done.returncode == 78 and "Traceback" not in done.stderr
    assert "breaks.py:5: the strategy raised ValueError: out of ideas (decision 100)" in done.stderr
    assert json.loads((out / "summary.json").read_text())["status"].startswith("failed: ")
    assert len(list(JournalReader(out / "journal.sqlite").rows(DecisionRow))) == 100


def test_an_answer_that_is_no_action_is_refused(own_strategies, write_bars, tmp_path):
    (own_strategies / "odd.py").write_text(
        "class Strategy:\n    def __init__(self, context): pass\n    def decide(self, moment): return 7\n"
    )
    done = in_a_process(
        own_strategies, "replay", "--data", write_bars(200), "--strategy", "odd", "--out", tmp_path / "run"
    )
    assert done.returncode == 78 and "decide() must return an Action" in done.stderr


def test_an_interrupt_keeps_what_was_done(own_strategies, write_bars, tmp_path):
    (own_strategies / "slow.py").write_text(
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from ztb.trading.strategy import Action\n"
        "class Strategy:\n"
        "    def __init__(self, context): pass\n"
        "    def decide(self, moment):\n"
        "        if moment.decision == 200: os.kill(os.getpid(), signal.SIGINT)\n"
        "        return Action(4)\n"
    )
    out = tmp_path / "run"
    done = in_a_process(
        own_strategies, "replay", "--data", write_bars(900), "--strategy", "slow", "--out", out
    )
    assert done.returncode == 130 and "interrupted" in done.stderr and "Traceback" not in done.stderr
    assert json.loads((out / "summary.json").read_text())["status"] == "interrupted"
    assert 200 <= len(list(JournalReader(out / "journal.sqlite").rows(DecisionRow))) < 836


@pytest.mark.parametrize(
    ("room", "what"), [(100_000, "the journal cannot be created"), (900_000, "the journal cannot be written")]
)
def test_a_full_disk_is_said_and_what_was_committed_stays(own_strategies, write_bars, tmp_path, room, what):
    script = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n"
        "from ztb.cli import run\n"
        "sys.exit(run(sys.argv[1:]))\n"
    )
    out, asked = tmp_path / "run", ["replay", "--data", str(write_bars(6000)), "--strategy", "random_walk"]
    assert (
        run([*asked, "--out", str(tmp_path / "whole")]) == 0
    )  # compiled code is larger than what there is room for
    environment = os.environ | {"PYTHONPATH": str(ROOT / "daemon")}
    done = subprocess.run(
        [sys.executable, "-c", script, *asked, "--out", str(out)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 75 and what in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    if room > 100_000:
        reader = JournalReader(out / "journal.sqlite")
        assert [row.decision for row in reader.rows(DecisionRow)][:3] in ([], [0, 1, 2])


HEAVY = {
    "torch",
    "ccxt",
    "numba",
    "gymnasium",
    "numpy",
    "pyarrow",
    "aiohttp",
    "ztb.config",
    "ztb.runtime",
}


@pytest.mark.parametrize("verb", [["--help"], ["status", "--run", "/nowhere"], ["halt", "--run", "/nowhere"]])
def test_what_is_asked_in_a_hurry_imports_nothing_that_takes_its_time(verb):
    script = "import sys\nfrom ztb.cli import run\nrun(sys.argv[1:])\nprint(*sorted(sys.modules), sep='\\n', file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script, *verb], env=os.environ | {"PYTHONPATH": str(ROOT / "daemon")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    loaded = set(done.stderr.split())
    assert "ztb.cli" in loaded and loaded & HEAVY == set()
    # Its own modules beside those of the library that reads the command line.
    assert len({name for name in loaded if name == "ztb" or name.startswith("ztb.")}) <= 24, sorted(loaded)


def test_repeating_a_run_compares_bit_for_bit(capsys, write_bars, tmp_path):
    data, out = write_bars(300), tmp_path / "run"
    assert said(capsys, "replay", "--data", data, "--strategy", "random_walk", "--out", out)[0] == 0
    assert said(capsys, "replay", out, "--out", tmp_path / "again")[0] == 0
    code, message = said(capsys, "replay", out, "--relearn", "--json", "--out", tmp_path / "once_more")
    assert code == 0 and "every generation was made again too" in message
    text = data.read_text().splitlines()
    data.write_text("\n".join([*text[:-1], text[-1].replace(".", ".", 1)[:-1] + "1"]) + "\n")
    code, message = said(capsys, "replay", out, "--out", tmp_path / "changed")
    assert code == 3 and "differs in journal_sha256" in message


@pytest.mark.parametrize(
    "verb", [["replay", "--data"], ["train", "--data"], ["data", "info"], ["data", "verify"]]
)
@pytest.mark.parametrize(
    ("flag", "value", "code"), [("--tick-size", "x", 2), ("--tick-size", "-1", 2), ("--lot-size", "nan", 2)]
)
def test_increments_are_flags_of_every_verb_that_reads(capsys, write_bars, tmp_path, verb, flag, value, code):
    found, text = said(capsys, *verb, write_bars(20), flag, value)
    assert found == code and f"{flag} '{value}'" in text


def test_what_a_message_names_is_a_flag_of_the_verb_that_says_it(capsys, tmp_path):
    rows = "".join(
        f"{1704067200 + 60 * i},{'10.25' if i == 1001 else '10.5'},11,10,10.5,1\n" for i in range(1100)
    )
    path = tmp_path / "x.csv"
    path.write_text("time,open,high,low,close,volume\n" + rows)
    replay = ("replay", "--data", path, "--strategy", "hold", "--learner", "off", "--json")
    code, text = said(capsys, *replay, "--out", tmp_path / "a")
    assert code == 3 and "--tick-size" in text
    flags = ("--tick-size", "0.01", "--lot-size", "0.1", "--venue", "kraken", "--symbol", "ETH/EUR")
    assert run([str(a) for a in (*replay, "--out", tmp_path / "b", *flags)]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["symbol"] == "ETH/EUR"
    manifest = json.loads((tmp_path / "b" / "run.json").read_text())
    assert manifest["instrument"]["tick_size"] == "0.01" and manifest["instrument"]["venue"] == "kraken"


def test_a_pretrain_that_leaves_nothing_to_trade_is_refused(capsys, write_bars, tmp_path):
    code, text = said(
        capsys, "replay", "--data", write_bars(200), "--pretrain", "30d", "--out", tmp_path / "r"
    )
    assert code == 3 and "--pretrain" in text and "leaves nothing to trade on" in text


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--from", "2024-01-02", "--to", "2024-01-01"), 2, "is not before --to"),
        (("--from", "soon"), 2, "neither ISO 8601"),
        (("--from", "2031-01-01"), 3, "nothing lies from --from 2031-01-01"),
    ],
)
def test_a_span_without_data_is_refused(capsys, write_bars, tmp_path, flags, code, words):
    found, text = said(
        capsys, "replay", "--data", write_bars(100), "--learner", "off", "--strategy", "hold", *flags,
        "--out", tmp_path / "r",
    )  # fmt: skip
    assert found == code and words in text


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252", "utf-8"])
def test_a_terminal_without_a_letter_shows_a_sign_in_its_place(write_bars, encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT / "daemon")}
    program = "import sys; from ztb import __main__ as m, cli; cli.run = lambda _: print('5 µs → ∞ ┏') or 0; m.main()"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode(encoding).startswith("5 ")


@pytest.mark.parametrize(("target", "code"), [("closed", 1), ("/dev/full", 75)])
def test_a_pipe_that_is_closed_or_full_ends_without_a_traceback(write_bars, target, code):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "daemon")}
    command = [sys.executable, "-m", "ztb", "data", "info", str(write_bars(50)), "--json"]
    if target == "closed":
        reading, writing = os.pipe()
        os.close(reading)
    else:
        writing = os.open(target, os.O_WRONLY)
    try:
        done = subprocess.run(command, env=environment, stdout=writing, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writing)
    assert done.returncode == code and b"Traceback" not in done.stderr and b"Exception" not in done.stderr
