"""A package that is missing or broken is named, with the line that installs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ssatom
from ssatom.dependencies import NAMES, explained
from ssatom.exceptions import DependencyError

ROOT = Path(ssatom.__file__).parents[1]


def plain(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0]


def run_python(code: str, *first: Path) -> str:
    path = os.pathsep.join(map(str, [*first, ROOT]))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_names_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sorted(NAMES.values()) == sorted(map(plain, project["dependencies"]))


def test_lowest_versions_are_the_bounds_of_the_project() -> None:
    """With which `.ci/lowest` tests; torch has no lower build for the CPU in the tests' index."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    found = (line.partition("==") for line in lines if not line.startswith("#"))
    pins = {name.lower().replace("_", "-"): version for name, _, version in found}
    for requirement in project["dependencies"]:
        name, _, bound = requirement.partition(">=")
        pin = pins[name.lower().replace("_", "-")]
        assert (pin == bound or pin.startswith(f"{bound}.")) == (name != "torch"), requirement


_BLOCKED = """
import sys
names = NAMES
for name in names:
    sys.modules[name] = None
    try:
        import ssatom
    except ImportError as error:
        print(type(error).__name__, error)
    del sys.modules[name]
    for module in [one for one in sys.modules if one.split(".")[0] == "ssatom"]:
        del sys.modules[module]
for name in names[:2]:
    sys.modules[name] = None
import ssatom
"""


def test_missing_packages_are_named_at_once() -> None:
    told = run_python(_BLOCKED.replace("NAMES", repr(list(NAMES)), 1)).splitlines()
    for line, package in zip(told, NAMES.values(), strict=False):
        expected = f'DependencyError ssatom needs {package}, which is not installed; pip install "'
        # Built metadata write names with hyphens.
        assert line.replace("lazy-loader", "lazy_loader").startswith(expected + package)
    assert "ssatom needs lazy_loader, ase, which are not installed; pip install " in told[-1]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("from ssatom import read_structures; list(read_structures(sys.argv[2]))", "Error: "),
        ("from ssatom.cli import main; main()", "error: "),
    ],
)
def test_broken_packages_are_named(code: str, words: str, tmp_path: Path) -> None:
    broken = tmp_path / "gemmi"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('libgemmi.so: no such file')")
    arguments = f"import sys; sys.argv = ['ssatom', 'featurize', {str(tmp_path)!r}, '-o', 'x.csv']"
    (tmp_path / "a.cif").write_text("")
    last = run_python(f"{arguments}; {code}", tmp_path).splitlines()[-1]
    assert words in last
    assert "gemmi is installed and cannot be imported (libgemmi.so: no such file); pip" in last
    assert "pip install --force-reinstall" in last


def test_other_errors_of_imports_stay() -> None:
    plain_error = ImportError("something else")
    assert explained(plain_error) is plain_error
    own = DependencyError("known")
    assert explained(own) is own
