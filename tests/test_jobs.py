"""Long jobs that are killed, full disks, two runs on one output, and caches that are damaged."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import kills
import numpy as np
import pytest
from pymatgen.core import Structure
from typer.testing import CliRunner, Result

from ssatom import graph_embeddings, load_example_crystals
from ssatom.cli import app
from ssatom.cli._parts import PartFolder, input_stamp
from ssatom.embeddings import clear_cache
from ssatom.embeddings.cache import CachedRow, DiskCache
from ssatom.exceptions import SsatomError
from ssatom.files import claimed, filling, is_leftover
from ssatom.files.atomic import new_name
from ssatom.storage import CARD, FORMAT

FORKS = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python from 3.12 on
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="folders of Linux")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments), "--no-progress"])


# Folders that are whole or absent -------------------------------------------------------------


def fill(folder: Path, word: str, steps: int) -> int:
    """Fill a folder in a process that is killed after some steps on the disk; its exit code."""

    def work() -> None:
        left = iter(range(steps))

        def counted(plain: Callable) -> Callable:
            def call(*args: Any, **kwargs: Any) -> Any:
                if next(left, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                return plain(*args, **kwargs)

            return call

        for name in ("replace", "unlink", "mkdir", "rmdir"):
            setattr(os, name, counted(getattr(os, name)))
        with filling(folder, last="card", gone=("figure", "tables")) as new:
            for name in ("card", "tensors"):
                (new / name).write_text(word)
            (new / "inner").mkdir()
            (new / "inner" / "part").write_text(word)

    return kills.wait(kills.fork(work))


@FORKS
@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_is_whole_or_absent_wherever_a_process_is_killed(
    exists: bool, tmp_path: Path
) -> None:
    """Killed at each of the steps on the disk, one after the other."""
    codes = []
    for step in range(30):
        folder = tmp_path / str(step)
        if exists:
            (folder / "inner").mkdir(parents=True)
            for name in ("card", "tensors", "inner/part", "figure", "mine"):
                (folder / name).write_text("old")
        codes.append(fill(folder, "new", step))
        found = {path.name: path.read_text() for path in folder.glob("[!.]*") if path.is_file()}
        if "card" in found:
            inner = (folder / "inner" / "part").read_text()
            assert {found["card"], found["tensors"], inner} == {found["card"]}
            assert ("figure" in found) == (found["card"] == "old")
        assert found.get("mine") == ("old" if exists else None)
        if codes[-1] == 0:
            break
        assert fill(folder, "again", 1000) == 0
        assert (folder / "card").read_text() == (folder / "inner/part").read_text() == "again"
        with claimed(folder):
            pass
        assert not any(map(is_leftover, [*tmp_path.iterdir(), *folder.iterdir()]))
    assert codes[-1] == 0
    assert len(codes) > (6 if exists else 2)
    assert set(codes[:-1]) == {-signal.SIGKILL}


def test_a_folder_that_was_cut_may_be_written_again(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    cut = folder / ".ssatom-0-0"
    cut.mkdir(parents=True)
    (folder / "networks.safetensors").write_text("")
    with pytest.raises(SsatomError, match="is in the way"):
        FORMAT.check_replaced(folder / CARD)
    (cut / CARD).write_text("{}")
    assert not FORMAT.check_replaced(folder / CARD)


def test_one_run_holds_an_output(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with (
        claimed(path),
        pytest.raises(SsatomError, match="another run is at work on .*model'"),
        claimed(path),
    ):
        pass
    path.mkdir()
    for left in (tmp_path / new_name(path), path / new_name(path)):  # of killed processes
        left.mkdir()
    (tmp_path / new_name(tmp_path / "other")).write_text("")
    with claimed(path):
        assert len(list(tmp_path.iterdir())) == 3  # the folder, its lock, and what is not its
    assert len(list(tmp_path.iterdir())) == 2
    assert not list(path.iterdir())


# Tables ----------------------------------------------------------------------------------------


def test_parts_are_never_gone_on_with_once_some_are_removed(tmp_path: Path) -> None:
    import pyarrow as pa

    path = tmp_path / "t.csv.part"
    with PartFolder(path, {"layers": "0"}) as parts:
        for n in range(3):
            parts.add(pa.table({"x": [n]}), {"n": 1})
    # Killed while it removed them: the settings go first.
    (path / "settings").unlink()
    (path / "000000.arrow").unlink()
    with PartFolder(path, {"layers": "0"}) as parts:
        assert parts.files() == []
    (path / "mine.txt").write_text("")
    (path / "settings").unlink()
    with pytest.raises(SsatomError, match="is in the way"):
        PartFolder(path, {"layers": "0"})


def test_inputs_are_told_by_what_they_hold(tmp_path: Path) -> None:
    """A clock that was set back, or a copy that keeps its time, hides no change."""
    file = tmp_path / "a.cif"
    file.write_text("one")
    before, stat = input_stamp(file), file.stat()
    os.utime(file, ns=(0, 0))
    assert input_stamp(file) == before
    file.write_text("two")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file.stat().st_size == stat.st_size
    assert input_stamp(file) != before


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    kills.write_inputs(folder)
    return folder / "data.csv"


@pytest.fixture
def crystals(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of few small crystals; the working directory is empty."""
    monkeypatch.chdir(tmp_path)
    return table


@pytest.mark.slow
def test_a_clock_that_jumps_changes_nothing(
    crystals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["fit", crystals, "-t", "volume", "--weights", "random", "--max-epochs", 3]
    assert run(*command, "-o", "a").exit_code == 0
    now = iter(range(10**6))
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: 1.5e9 + (-1) ** next(now) * 5e8)
        done = run(*command, "-o", "b", "--time-budget", "10h")
    assert done.exit_code == 0, done.output
    for name in ("model.skops", "predictions.csv", "intervals.safetensors"):
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes()


def test_a_second_fit_is_refused_at_once(crystals: Path) -> None:
    command = ["fit", crystals, "-t", "volume", "--weights", "random", "-o", "model"]
    with claimed(Path("model")):
        done = run(*command)
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert "another run is at work on" in done.stderr
    assert not Path("model").exists()


def test_a_model_that_was_written_meanwhile_stays(
    crystals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the first look at the output and its claim another run may end."""
    from ssatom.cli import fit

    claim = fit.claimed

    def late(path: Path) -> Any:
        path.mkdir()
        FORMAT.write(path / CARD, {"kind": FORMAT.kind})
        return claim(path)

    monkeypatch.setattr(fit, "claimed", late)
    done = run("fit", crystals, "-t", "volume", "--weights", "random", "-o", "model")
    assert done.exit_code == 1
    assert "'model' exists" in done.stderr
    assert os.listdir("model") == [CARD]


# Disks -----------------------------------------------------------------------------------------


@LINUX
@pytest.mark.parametrize("command", ["featurize", "fit", "index"])
def test_folders_that_take_no_file_are_told_in_one_line(command: str, crystals: Path) -> None:
    options = {"featurize": [], "fit": ["-t", "volume"], "index": []}[command]
    name = "x.csv" if command == "featurize" else "x"
    done = run(command, crystals, *options, "--weights", "random", "-o", f"/proc/{name}")
    assert done.exit_code == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "/proc" in errors[0]
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@LINUX
@FORKS
@pytest.mark.parametrize("name", ["fit", "featurize"])
def test_files_that_may_not_grow_are_told_in_one_line(name: str, tmp_path: Path) -> None:
    """The system's own refusal; with room again, the same command ends well."""
    kills.write_inputs(tmp_path)
    output = tmp_path / kills.JOBS[name][1]
    for megabytes in (0.0, 0.01):
        code = kills.wait(kills.start(name, tmp_path, megabytes))
        told = (tmp_path / "log").read_text()
        assert code == 1, told
        assert not output.exists()
        if megabytes:  # else not even the error could be written
            errors = [line for line in told.splitlines() if line.startswith("error: ")]
            assert len(errors) == 1, told
            assert "(File too large)" in errors[0]
            assert "Traceback" not in told
    assert kills.wait(kills.start(name, tmp_path)) == 0
    assert output.exists()


# The cache on disk -----------------------------------------------------------------------------


def share(folder: Path, first: int, n: int) -> None:
    """Look rows up one by one, and write five where there is none."""
    disk = DiskCache(folder)
    for i in range(first, first + n):
        found = disk.get([b"%d" % i], 3)
        assert right(found)
        if not found:
            new = range(i, i + 5)
            disk.put(
                {b"%d" % j: CachedRow(np.full((2, 3), j, "f4"), (f"remark {j}",)) for j in new}
            )


def kept(folder: Path, n: int) -> dict[bytes, CachedRow]:
    return DiskCache(folder).get([b"%d" % i for i in range(n)], 3)


def right(rows: dict[bytes, CachedRow]) -> bool:
    return all(
        (row.states == int(key)).all() and row.remarks == (f"remark {int(key)}",)
        for key, row in rows.items()
    )


@FORKS
def test_four_processes_share_a_cache(tmp_path: Path) -> None:
    starts = (0, 0, 20, 40)
    processes = [kills.fork(partial(share, tmp_path, start, 60)) for start in starts]
    assert list(map(kills.wait, processes)) == [0] * 4
    found = kept(tmp_path, 100)
    assert len(found) == 100
    assert right(found)


@FORKS
def test_processes_killed_while_they_write_harm_no_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    DiskCache(tmp_path)
    for i in range(20):
        process = kills.fork(partial(share, tmp_path, 1000 * i, 10**6))
        time.sleep(0.02 + rng.uniform(0, 0.05))
        os.kill(process, signal.SIGKILL)
        assert kills.wait(process) == -signal.SIGKILL
    found = kept(tmp_path, 30_000)
    assert found
    assert right(found)


def features(memory: Path, structures: list[Structure]) -> np.ndarray:
    clear_cache()
    return graph_embeddings(structures, "01", weights="random", memory=memory)


@pytest.fixture(scope="module")
def small() -> list[Structure]:
    table = load_example_crystals()["structure"]
    return [structure for structure in table if len(structure) < 5][:12]


def _bits(file: Path, seed: int) -> None:
    content, rng = bytearray(file.read_bytes()), np.random.default_rng(seed)
    for place in rng.integers(100, len(content), 40):
        content[place] ^= 1 << int(rng.integers(8))
    file.write_bytes(content)


def _rows_of_an_older_layout(file: Path) -> None:
    file.unlink()
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE states (key BLOB PRIMARY KEY, row BLOB, remarks TEXT)")
        connection.execute("INSERT INTO states VALUES (x'00', x'00', '[]')")
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b"no database at all" * 100),
        lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
        lambda file: file.write_bytes(b""),
        _rows_of_an_older_layout,
        *(lambda file, seed=seed: _bits(file, seed) for seed in range(8)),
    ],
)
def test_a_damaged_cache_gives_right_answers(
    damage: Callable[[Path], object], small: list[Structure], tmp_path: Path
) -> None:
    expected = features(tmp_path, small)
    [file] = tmp_path.rglob("*.sqlite")
    damage(file)
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            np.testing.assert_array_equal(features(tmp_path, small), expected)
        for told in caught:
            assert "cannot be used" in str(told.message)
            assert "computed anew" in str(told.message)


def test_a_damaged_row_is_replaced(small: list[Structure], tmp_path: Path) -> None:
    expected = features(tmp_path, small)
    [file] = tmp_path.rglob("*.sqlite")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE rows_2 SET row = zeroblob(length(row))")
    connection.close()
    for _ in range(2):
        np.testing.assert_array_equal(features(tmp_path, small), expected)
    with sqlite3.connect(file) as connection:
        zeros = "SELECT count(*) FROM rows_2 WHERE row = zeroblob(length(row))"
        assert connection.execute(zeros).fetchone() == (0,)
    connection.close()


def test_a_cache_without_room_costs_a_warning(
    small: list[Structure], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = graph_embeddings(small, "01", weights="random")
    kept(tmp_path, 0)

    class Full(sqlite3.Connection):
        def executemany(self, *_: Any) -> Any:
            raise sqlite3.OperationalError("database or disk is full")

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **k, factory=Full))
    with pytest.warns(UserWarning, match=r"cannot be used \(database or disk is full\)"):
        np.testing.assert_array_equal(features(tmp_path, small), expected)


@LINUX
def test_a_cache_that_cannot_be_made_is_refused(small: list[Structure]) -> None:
    with pytest.raises(SsatomError, match=r"memory: '/proc/.*' cannot be made"):
        features(Path("/proc/no"), small)


# Kills -----------------------------------------------------------------------------------------


@pytest.mark.slow
@FORKS
@pytest.mark.parametrize("name", ["fit", "predict"])
def test_killed_commands_end_with_the_same_bytes(name: str, tmp_path: Path) -> None:
    """Three kills of each; `python tests/kills.py` does 20 of every long job."""
    assert kills.survive(name, tmp_path, n_kills=3, seed=1)["same"]
