"""The built wheel, installed outside the repository, works without a network."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from ssatom import list_weights

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="needs the source tree"
)

_NO_NETWORK = """
import socket

def refuse(*arguments, **options):
    raise OSError("the network is cut")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""

_FEATURIZE = """
from pathlib import Path

import ssatom
from pymatgen.core import Lattice, Structure

assert "environment" in ssatom.__file__, ssatom.__file__
salt = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
for name in ssatom.list_weights():
    X = ssatom.GraphEmbeddingFeaturizer(layers="012", weights=name).fit_transform([salt])
    print(name, X.shape, len(ssatom.load_example_crystals()))
"""


def _run(*command: str | Path, cwd: Path) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    clean["NUMBA_DISABLE_JIT"] = "1"  # to compile for one crystal would take most of the time
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_weights_and_crystals_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for weights in list_weights():
        for file in ("encoder.safetensors", "card.json", "README.md", "curve.csv"):
            assert f"ssatom/_weights/{weights}/{file}" in names
    assert "ssatom/corpora/example_crystals.csv" in names
    assert all(name.startswith(("ssatom/", "ssatom-")) for name in names)


def test_wheel_holds_nothing_twice_but_the_index_of_a_corpus(wheel):
    """Each set of weights is whole by itself, also where two learned from one corpus."""
    archive = zipfile.ZipFile(wheel)
    names: dict[bytes, list[str]] = {}
    for name in archive.namelist():
        if content := archive.read(name):
            names.setdefault(hashlib.sha256(content).digest(), []).append(name)
    twice = {name for several in names.values() if len(several) > 1 for name in several}
    assert {Path(name).name for name in twice} <= {"corpus.safetensors"}
    assert {"LICENSE", "NOTICE"} <= {Path(name).name for name in archive.namelist()}


def test_source_distribution_has_all_that_its_tests_need(tmp_path):
    _run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, cwd=ROOT)
    (built,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for folder in ("paper", "benchmarks"):
        files = (ROOT / "examples" / folder).rglob("*.py")
        assert {path.relative_to(ROOT).as_posix() for path in files} <= names
    for file in (
        "docs/conf.py",
        "docs/results/paper/best.json",
        "tests/data/reference_states.json",
    ):
        assert file in names
    for pattern in ("tests/*.py", "docs/*.rst", "docs/*.py", "*.md", "examples/plot_*.py"):
        found = {path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern)}
        assert found - {"docs/sg_execution_times.rst"} <= names  # of a build of the documentation
    assert {"LICENSE", "NOTICE", "CITATION.cff", "constraints.txt", ".ci/run"} <= names
    assert "examples/paper/studies/printed.csv" in names
    built = ("docs/_build", "docs/generated", "docs/auto_examples")
    assert not [name for name in names if name.startswith(built)]


def test_wheel_has_the_types(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"ssatom/py.typed", "ssatom/__init__.pyi"} <= names


def test_installed_wheel_featurizes_with_the_network_cut(wheel, tmp_path):
    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    paths = {"base": str(environment), "platbase": str(environment)}
    site = Path(sysconfig.get_path("purelib", vars=paths))
    _run(
        sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index",
        "--target", site, wheel, cwd=tmp_path,
    )  # fmt: skip
    # Everything but ssatom itself comes from the environment that runs the tests.
    (site / "zz_dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (site / "sitecustomize.py").write_text(_NO_NETWORK)
    python = environment / "bin" / "python"
    if not python.exists():
        python = environment / "Scripts" / "python.exe"
    shown = _run(python, "-c", _FEATURIZE, cwd=tmp_path)
    assert [line.split()[0] for line in shown.splitlines()] == list_weights()
    assert "(1, 192)" in shown
