"""The notebooks run from the first cell to the last, in a kernel, and are kept without what they printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
for module in ("ipykernel", "pandas", "duckdb", "optuna", "stable_baselines3"):
    pytest.importorskip(module)

ROOT = Path(__file__).resolve().parents[2]
SHOWN = ("ztb-replay-", "ztb-study-", "stable-baselines3    ")
"""What comes of a notebook: a run, a study, or two learners beside each other."""
NOTEBOOKS = sorted((ROOT / "daemon/docs/notebooks").glob("*.ipynb"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_to_its_end(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "daemon"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert any(shown in str(cell.outputs) for shown in SHOWN for cell in code)


def test_there_are_notebooks_and_they_hold_no_output():
    assert {path.stem for path in NOTEBOOKS} >= {
        "comparing-runs",
        "environments",
        "reading-a-run",
        "running-a-study",
        "writing-a-strategy",
    }
    for path in NOTEBOOKS:
        cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
        assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells), path.name


def test_the_page_names_each_of_them():
    page = (ROOT / "daemon/docs/pages/notebooks.md").read_text()
    assert all(path.name in page for path in NOTEBOOKS)
