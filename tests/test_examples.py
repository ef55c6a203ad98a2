"""Everything that the README, the tutorial and the examples show is run."""

from __future__ import annotations

import doctest
import json
import re
import runpy
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from ssatom import load_example_crystals
from ssatom.corpora import read_structures

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Nothing is shown on a screen or written into the repository."""
    monkeypatch.chdir(tmp_path)
    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_draws(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        variables = runpy.run_path(str(path))
    drawn = plt.get_fignums() or [v for v in variables.values() if isinstance(v, Figure)]
    assert drawn, "an example of the gallery draws something"


def test_readme_blocks_run_in_order(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    namespace: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)
    assert namespace["X"].shape == (20, 562)
    assert namespace["site"].shape == (1, 434)
    assert len(namespace["both"]) == 3
    assert (tmp_path / "my-weights" / "card.json").is_file()


def test_readme_shows_the_main_job_in_ten_lines():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    code = [line for line in first.splitlines() if line and not line.startswith(("from", "import"))]
    assert len(code) <= 10


def test_readme_shows_the_errors_of_the_results():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = [line.strip("| ").split(" | ") for line in text.splitlines() if ", MAE" in line]
    report = json.loads((ROOT / "docs" / "results" / "paper" / "best.json").read_text("utf-8"))
    columns = ("property", "paper's best", "best rival", "ours")
    places = [report["tables"][0]["columns"].index(name) for name in columns]
    rows = [row for row in report["tables"][0]["rows"] if row[1] != "grouped"]
    assert shown == [[row[i] for i in places] for row in rows]


QUICK_PAGES = ("index", "tutorial", "similar", "table", "error_bars")
PAGES = [
    page if page in QUICK_PAGES else pytest.param(page, marks=pytest.mark.slow)
    for page in sorted(path.stem for path in (ROOT / "docs").glob("*.rst"))
    if ">>> " in (ROOT / "docs" / f"{page}.rst").read_text(encoding="utf-8")
]


def test_all_pages_with_code_are_run():
    assert {*QUICK_PAGES, "choosing", "sites", "own_corpus", "coming_from"} <= names_of(PAGES)


def names_of(pages) -> set[str]:
    return {page if isinstance(page, str) else page.values[0] for page in pages}


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_true(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    warnings.simplefilter("ignore", UserWarning)
    path = ROOT / "docs" / f"{page}.rst"
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    result = doctest.testfile(str(path), module_relative=False, optionflags=flags)
    assert result.attempted > 5
    assert result.failed == 0


def test_crystals_for_the_command_line_can_be_read():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pymatgen rounds coordinates
        records = list(read_structures(ROOT / "examples" / "crystals"))
    formulas = {record.structure.reduced_formula for record in records}
    assert len(records) >= 10
    assert formulas <= {s.reduced_formula for s in load_example_crystals()["structure"]}
