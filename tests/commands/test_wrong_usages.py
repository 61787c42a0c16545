"""Wrong usages, each with its message, its exit code, and nothing left behind: no folder, no file, no traceback."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from ztb.cli import run

# What is typed, the exit code, and words of the sentence that is said.
WRONG: list[tuple[str, int, str]] = [
    ('replay --seed x', 2, "Invalid value for '--seed': Input should be a valid integer, unable to p"),
    ('replay --seed -1', 2, "Invalid value for '--seed': Input should be greater than or equal to 0 ("),
    ('replay --pretrain half', 2, "--pretrain 'half': give a span such as 180d, 12h, 2w or 30m, or none"),
    ('replay --pretrain -3d', 2, "--pretrain '-3d': give a span such as 180d, 12h, 2w or 30m, or none"),
    ('replay --from yesterday', 2, "--from 'yesterday': neither ISO 8601, such as 2019-01-31T12:00, nor seco"),
    ('replay --data bars.csv --from 2024-01-02 --to 2024-01-01', 2, "--from '2024-01-02' is not before --to '2024-01-01': nothing lies betwee"),
    ('replay --data gone.csv', 3, 'gone.csv: no such file or folder: check the path'),
    ('replay --data empty.csv', 3, 'empty.csv: is empty: fetch or export it again'),
    ('replay --data garbage.csv', 3, "garbage.csv: first line 'hello' is no table of known layout: rename its"),
    ('replay --data bars.csv --strategy hodl', 78, "no strategy 'hodl'; did you mean 'hold'? known: ema_cross, flat, hold, p"),
    ('replay --data bars.csv --strategy ../hold', 78, "no strategy '../hold'; did you mean 'hold'? known: ema_cross, flat, hold"),
    ('replay --config gone.json', 78, 'gone.json: cannot be read:'),
    ('replay --config broken.json', 78, 'broken.json:1:10: not JSON: Expecting value; compare with `ztb config sh'),
    ('replay --config section.json', 78, "section.json: unknown section: 'rsik'; did you mean 'risk'?"),
    ('replay --config key.json', 78, "key.json: unknown key in risk: 'max_exposur'; did you mean 'max_exposure"),
    ('replay --config negative.json', 78, 'negative.json: risk.max_exposure: Input should be greater than 0 (got -1'),
    ('replay --config text.json', 78, 'text.json: risk.max_exposure: Input should be a valid number, unable to'),
    ('replay --config twice.json', 78, "twice.json: 'risk' stands twice (line 1 and line 1): make one of the two"),
    ('replay --data bars.csv --learner sometimes', 78, "flag: online.learner: Input should be 'auto', 'off', 'inline' or 'proces"),
    ('replay --data bars.csv --from-generation gone', 3, 'gone: no run directory or checkpoint folder'),
    ('replay --data bars.csv --tick-size x', 2, "--tick-size 'x': not a decimal number, such as 0.01"),
    ('replay --data bars.csv --lot-size -1', 2, "--lot-size '-1': must be above 0"),
    ('replay --relearn', 2, '--relearn: name the run whose generations are to be made again: ztb repl'),
    ('replay gone', 3, 'gone/run.json: cannot be read ('),
    ('replay --no-such-flag', 2, 'No such option: --no-such-flag'),
    ('replay --data bars.csv --strategy hold --learner off --out made', 2, 'made: holds a run already; choose another --out, or remove it'),
    ('replay --data bars.csv --strategy hold --learner off --out bars.csv/run', 2, 'bars.csv/run: cannot be created (File exists); choose another --out'),
    ('replay --data bars.csv --venue', 2, "Option '--venue' requires an argument."),
    ('no-such-verb', 2, "No such command 'no-such-verb'."),
    ('train --data bars.csv --validation 0d', 2, "--validation '0d': something must be held out, for the best is chosen by"),
    ('train --data bars.csv --validation x', 2, "--validation 'x': give a span such as 180d, 12h, 2w or 30m, or none"),
    ('train --updates 0', 2, "Invalid value for '--updates': Input should be greater than or equal to"),
    ('train --patience -1', 2, "Invalid value for '--patience': Input should be greater than or equal to"),
    ('train --data bars.csv --strategy hold', 78, "strategy 'hold' learns nothing: train one that does"),
    ('train --resume gone', 3, 'gone/run.json: cannot be read ('),
    ('train --data gone.csv', 3, 'gone.csv: no such file or folder: check the path'),
    ('run --mode sideways', 2, "--mode 'sideways': give replay, paper, live"),
    ('run', 78, 'market.venue: name the venue as ccxt does, such as binance or kraken'),
    ('run --mode live', 78, "--mode live needs the secret 'exchange_api_key': set $ZTB_SECRET_EXCHANG"),
    ('run --config paperless.json', 78, 'market.venue: name the venue as ccxt does, such as binance or kraken'),
    ('run --mode replay --data gone.csv', 3, 'gone.csv: no such file or folder: check the path'),
    ('run --mode replay --data bars.csv --speed -1', 2, "--speed '-1': give a number above 0, such as 1 or 60, or max"),
    ('run --mode replay --data bars.csv --speed fast', 2, "--speed 'fast': give a number above 0, such as 1 or 60, or max"),
    ('status', 75, 'no daemon runs below runs/; start one with `ztb run`, or say where with'),
    ('status --run gone', 75, 'gone: no daemon answers there (No such file or directory); is it running'),
    ('halt --run gone', 75, 'gone: no daemon answers there (No such file or directory); is it running'),
    ('halt too many words', 2, 'Got unexpected extra argument(s) (many words)'),
    ('resume --run gone', 75, 'gone: no daemon answers there (No such file or directory); is it running'),
    ('flatten --run gone', 75, 'gone: no daemon answers there (No such file or directory); is it running'),
    ('freeze --run gone', 75, 'gone: no daemon answers there (No such file or directory); is it running'),
    ('unfreeze --run gone', 75, 'gone: no daemon answers there (No such file or directory); is it running'),
    ('disarm --run gone', 75, 'gone: no daemon answers there (No such file or directory); is it running'),
    ('arm --run gone', 2, "Missing option '--limit'."),
    ('arm --run gone --limit -1', 2, "Invalid value for '--limit': Input should be greater than or equal to 0"),
    ('arm --run gone --limit 100', 78, "ztb arm needs the secret 'exchange_api_key': set $ZTB_SECRET_EXCHANGE_AP"),
    ('generations list gone', 3, 'gone: there are no generations'),
    ('generations list made', 3, 'made: there are no generations'),
    ('generations show gone', 3, 'gone/policy: there is no generation yet'),
    ('generations show made x', 2, "Invalid value for 'N': Input should be a valid integer, unable to parse"),
    ('generations diff gone 0', 3, 'gone: no run directory: there is no journal.sqlite in it'),
    ('generations promote -1', 2, 'No such option: -1'),
    ('generations promote 1 --run gone', 75, 'gone: no daemon answers there (No such file or directory); is it running'),
    ('generations rollback --run gone', 75, 'gone: no daemon answers there (No such file or directory); is it running'),
    ('generations diff made 0 1', 3, 'made/checkpoints: the weights of generation 0 were not kept; nor those of any'),
    ('replay made --seed 3', 2, '--seed: a repetition is made of what the run was made of: leave it out'),
    ('replay made --strategy flat --from 2024-01-01', 2, '--strategy: a repetition is made of what the run was made'),
    ('run --mode paper --data bars.csv', 2, '--data: --mode paper is told by the venue what happens there: leave it'),
    ('run --mode live --speed 2', 2, '--speed: --mode live is told by the venue what happens there: leave it out'),
    ('run --mode paper --pretrain 3d', 2, '--pretrain: --mode paper is told by the venue'),
    ('run --mode replay --data bars.csv --sandbox', 2, '--sandbox: a replay asks no venue: leave it out'),
    ('exchange --balance USDT=-5', 2, "--balance 'USDT=-5': an account holds nothing or more, such as USDT=1000"),
    ('compare made', 2, 'name two runs or more: ztb compare runs/replay-001 runs/replay-002'),
    ('compare made gone', 3, 'gone/journal.sqlite: no journal there; is this a run directory?'),
    ('data info bars.csv --symbol BITCOIN', 2, "symbol 'BITCOIN': base and quote cannot be told apart: write BASE/Q"),
    ('data import bars.csv --out bars.csv', 3, 'bars.csv: exists already, recordings are never overwritten: name a'),
    ('study run gone.json', 78, 'gone.json: cannot be read:'),
    ('backup bars.csv b.tar', 3, 'bars.csv/journal.sqlite: no journal there; is bars.csv a run directory?'),
    ('report gone', 3, 'gone/journal.sqlite: no journal there; is this a run directory?'),
    ('report bars.csv', 3, 'bars.csv/journal.sqlite: no journal there; is this a run directory?'),
    ('why 1 --run gone', 3, 'gone/run.json: cannot be read ('),
    ('why 99999 --run made', 3, "made: no order 99999 in this run (it has 1 to 1); ask for an order's num"),
    ('why refusal:7 --run made', 3, 'made: no refusal 7 in this run, which has 0'),
    ('why fill:999 --run made', 3, 'made: no fill 999 in this run, which has 1'),
    ('why nonsense --run made', 3, "made: no order 'nonsense' in this run (it has 1 to 1); ask for an order'"),
    ('why 1999-01-01 --run made', 3, 'made: no decision had been made by then; ask for a later time'),
    ('why 1', 2, "Missing option '--run'."),
    ('config check --config gone.json', 78, 'gone.json: cannot be read:'),
    ('config show --config broken.json', 78, 'broken.json:1:10: not JSON: Expecting value; compare with `ztb config sh'),
    ('config frobnicate', 2, "No such command 'frobnicate'."),
    ('data info gone.csv', 3, 'gone.csv: no such file or folder: check the path'),
    ('data verify gone.csv', 3, 'gone.csv: no such file or folder: check the path'),
    ('data import gone.csv --out there', 3, 'gone.csv: no such file or folder: check the path'),
    ('data download --out there', 2, "Missing option '--from'."),
    ('data download --venue binance --symbol BTC/USDT --what songs --out there', 2, "Missing option '--from'."),
    ('exchange --port 99999', 2, "Invalid value for '--port': Input should be less than or equal to 65535"),
    ('exchange --balance USDT', 2, "--balance 'USDT': write an asset and an amount, such as USDT=1000"),
    ('exchange --speed 0', 2, "Invalid value for '--speed': Input should be greater than or equal to 0."),
    ('exchange --data gone.csv', 3, 'gone.csv: no such file or folder: check the path'),
    ('backup gone gone.tar', 3, 'gone/journal.sqlite: no journal there; is gone a run directory?'),
    ('backup made bars.csv', 2, 'bars.csv: is there already; a backup overwrites nothing, name a new file'),
    ('backup made made/backup.tar', 2, 'made/backup.tar: lies within the run; name a file outside of made'),
    ('backup made bars.csv/backup.tar', 2, 'bars.csv/backup.tar: cannot be written (Not a directory); name another place'),
    ('restore gone.tar there', 3, 'gone.tar: no such file'),
    ('restore bars.csv there', 3, 'bars.csv: not a backup, or cut short ('),
    ('restore bars.csv made', 2, 'made: is not empty; a backup overwrites nothing, restore into a new folder'),
    ('restore bars.csv', 2, "Missing argument 'DIR'."),
    ('init bars.csv/x', 2, 'bars.csv/x/paper.json: cannot be written'),
    ('study show gone', 3, 'gone: holds no study (no study.json): name the folder of one'),
    ('study run --executor cloud', 2, "--executor 'cloud': give one of processes, here"),
]  # fmt: skip

FILES = {
    "empty.csv": "",
    "garbage.csv": "hello\nworld\n",
    "broken.json": '{"risk": ',
    "section.json": '{"rsik": {}}',
    "key.json": '{"risk": {"max_exposur": 1}}',
    "negative.json": '{"risk": {"max_exposure": -1}}',
    "text.json": '{"risk": {"max_exposure": "much"}}',
    "twice.json": '{"risk": {"max_exposure": 1}, "risk": {}}',
    "paperless.json": '{"market": {"symbol": "BTC/USDT"}}',
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_bars: Callable[..., Path]) -> Path:
    """A working folder with bars, and with files of all sorts that are not what they should be."""
    folder = tmp_path / "place"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_text(content)
    write_bars(150).rename(folder / "bars.csv")
    monkeypatch.chdir(folder)
    return folder


def everything(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_there_are_sixty_of_them_and_each_once():
    assert len({typed for typed, _, _ in WRONG}) == len(WRONG) >= 60


def test_each_is_said_with_its_code_and_leaves_nothing_behind(place, capsys):
    made = "replay --data bars.csv --strategy hold --learner off --out made --json"
    assert run(shlex.split(made)) == 0
    before, wrong = everything(place), []
    for typed, code, words in WRONG:
        capsys.readouterr()
        found, said = run(shlex.split(typed)), capsys.readouterr().err
        left = sorted(set(everything(place)) - set(before))
        if (found, left) != (code, []) or words not in said or "Traceback" in said:
            wrong.append((typed, found, said, left))
    assert wrong == []


@pytest.mark.parametrize(
    "typed", ["replay --data gone.csv", "why 1 --run gone", "status --run gone", "run --mode sideways"]
)
def test_with_json_the_error_is_json_too(place, capsys, typed):
    code = run([*shlex.split(typed), "--json"])
    said = capsys.readouterr()
    told = json.loads(said.out.splitlines()[-1])
    assert told["ok"] is False and told["exit_code"] == code != 0 and f"ztb: {told['message']}" in said.err


def test_what_is_named_and_not_there_has_one_exit_code():
    missing = (
        "gone.csv",
        "replay gone",
        "report gone",
        "generations list gone",
        "generations show gone",
        "why 99999",
        "fill:999",
        "study show",
    )
    named = [
        (typed, code)
        for typed, code, _ in WRONG
        if any(word in typed for word in missing) and "import" not in typed
    ]
    assert len(named) >= 12 and {code for _, code in named} == {3}
