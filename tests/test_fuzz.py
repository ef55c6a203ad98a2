"""A few hostile inputs in every run, and a thousand in the slow one, by `fuzz.py`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_cases import run_case
from fuzz_seeds import Seeds

FUZZ = Path(__file__).parent / "fuzz.py"


def test_a_few_hostile_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seeds").mkdir()
    seeds = Seeds(tmp_path / "seeds")
    kinds = ["file", "crystals", "parameters"]
    ended = {run_case(i, 0, tmp_path / "case", seeds, kinds)[1] for i in range(40)}
    assert ended == {"features", "refused"}
    assert [path.name for path in tmp_path.iterdir()] == ["seeds"]


@pytest.mark.slow
def test_a_thousand_hostile_inputs() -> None:
    command = [sys.executable, str(FUZZ), "--cases", "1000", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1,000 cases, 0 faults" in done.stdout
