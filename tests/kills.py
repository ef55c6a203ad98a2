"""Kill long jobs at random moments, give the same command again, and compare the bytes.

    python tests/kills.py                             # all jobs, 20 kills each
    python tests/kills.py --kills 5 --seed 1 predict  # some

Each run is a fork of this process, which has imported everything and computes nothing itself, so
that the kills fall on the work. A killed job that can go on is given the same command until it
ends; models must be whole or absent after every kill.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "paper"))
from data_files import write_all

import ssatom.estimators
import ssatom.pretraining
from ssatom import load_example_crystals, write_structures
from ssatom.cli import (
    _features,
    _fitting,
    _prediction,
    _report,
    app,
)
from ssatom.storage import load_estimator

_PRELOADED = (ssatom.estimators, ssatom.pretraining, _features, _fitting, _prediction, _report)
N_CRYSTALS = 40
_FIT = ["fit", "data.csv", "-t", "volume", "--weights", "random", "--no-progress", "-o", "model"]
_OF_CRYSTALS = ["data", "--no-progress", "-o"]
JOBS: dict[str, tuple[list[str], str]] = {
    "fit": ([*_FIT, "--max-epochs", "40"], "model"),
    "calibration": ([*_FIT, "--members", "2", "--max-epochs", "1"], "model"),
    "predict": (["predict", "fitted", *_OF_CRYSTALS, "predictions.csv"], "predictions.csv"),
    "featurize": (["featurize", *_OF_CRYSTALS, "features.csv"], "features.csv"),
    **{
        name: ([name, "--quick", "--n-jobs", "1", "--data", "sets", "-o", "results"], "results")
        for name in ("table3", "fig11", "table6")  # of the studies
    },
}
_TIME = re.compile(r"second|\d s\b")
_OF_TIME = {
    "seconds", "seconds_", "seconds_of_splits", "card_sha256", "history.csv", "model.skops"
}  # fmt: skip


def write_inputs(folder: Path) -> None:
    """CIF files, a table of them with a target, and data sets of the studies."""
    table = load_example_crystals()
    table = table[table["structure"].map(len) <= 8].head(N_CRYSTALS)
    names = [str(i) for i in range(len(table))]
    write_structures(folder / "data", table["structure"], ids=names)
    volume = [structure.volume / len(structure) for structure in table["structure"]]
    rows = pd.DataFrame({"path": [f"data/{name}.cif" for name in names], "volume": volume})
    rows.to_csv(folder / "data.csv", index=False)


def fork(work: Callable[[], object]) -> int:
    """Run a function in a process of its own; the id of the process."""
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    code = 1
    try:
        work()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException as error:
        sys.stderr.write(f"Traceback: {error!r}\n")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def start(name: str, folder: Path, megabytes: float | None = None) -> int:
    """Start a job in a folder, whose files may not grow beyond a size; its process id."""

    def work() -> None:
        os.chdir(folder)
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        # In place of those that pytest put there.
        sys.stdout, sys.stderr = (open(i, "w", closefd=False) for i in (1, 2))  # noqa: SIM115
        if megabytes is not None:
            size = int(megabytes * 2**20)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        _chunks_of(8)
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            _program(name)(JOBS[name][0])

    return fork(work)


def _chunks_of(n: int) -> None:
    """Make parts of few crystals, so that there is something to go on with."""
    from ssatom.cli import _items

    _items._CHUNK_STRUCTURES = n


def _program(name: str) -> Any:
    if JOBS[name][1] == "results":
        from reproduce import app as program

        return program
    return app


def wait(pid: int) -> int:
    """Exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def content(path: Path) -> dict[str, Any]:
    """What a job wrote, file by file, without the times that it took."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {str(file.relative_to(path.parent)): _content(file) for file in files}


def _content(file: Path) -> Any:
    if file.suffix == ".json":
        return _timeless(json.loads(file.read_text(encoding="utf-8")))
    if file.suffix == ".md":
        return list(_lines_without_times(file.read_text(encoding="utf-8")))
    if file.name == "history.csv":
        return pd.read_csv(file).drop(columns="seconds", errors="ignore").to_csv()
    if file.suffix == ".skops":
        with ZipFile(file) as model:
            schema = json.loads(model.read("schema.json"))
            of_time = {entry.get("file") for entry in _entries(schema, "seconds")}
            return {n: model.read(n) for n in model.namelist() if n not in of_time}
    return file.read_bytes()


def _lines_without_times(text: str) -> Iterator[list[str]]:
    """Cells of each line, without lines and columns of tables that tell seconds."""
    heads: list[str] = []
    for line in text.splitlines():
        cells = line.split("|")
        if len(cells) == 1:
            heads = []
        elif not heads:
            heads = cells
        if len(heads) == len(cells):
            yield [c for c, head in zip(cells, heads, strict=True) if "second" not in head]
        elif not _TIME.search(line):
            yield cells


def _entries(value: Any, name: str) -> Iterator[Any]:
    """What stands under a name anywhere in nested dicts and lists."""
    if isinstance(value, dict):
        if name in value:
            yield value[name]
        value = list(value.values())
    for one in value if isinstance(value, list) else []:
        yield from _entries(one, name)


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in _OF_TIME}
    return [_timeless(v) for v in value] if isinstance(value, list) else value


def survive(name: str, folder: Path, n_kills: int, seed: int) -> dict[str, Any]:
    """Kill a job so often, and tell whether what it wrote at last is what it writes undisturbed."""
    torch.set_num_threads(1)
    write_inputs(folder)
    if JOBS[name][1] == "results":
        (folder / "sets").mkdir()
        write_all(folder / "sets", N_CRYSTALS)
    if name == "predict":
        assert wait(start("fit", folder)) == 0, (folder / "log").read_text()
        (folder / "model").rename(folder / "fitted")
    output = folder / JOBS[name][1]
    wait(start(name, folder))  # compiles loops
    remove(output)
    began = time.monotonic()
    assert wait(start(name, folder)) == 0, (folder / "log").read_text()
    duration, expected = time.monotonic() - began, content(output)
    remove(output)
    before = set(folder.iterdir())
    rng = np.random.default_rng(seed)
    kills = ends = went_on = 0
    same = True
    while kills < n_kills:
        pid = start(name, folder)
        time.sleep(rng.uniform(0, duration))
        os.kill(pid, signal.SIGKILL)
        if wait(pid) == -signal.SIGKILL:
            kills += 1
            went_on += any(folder.glob("*.part/*.arrow")) or any(output.glob("splits*/**/*.json"))
            if (output / "model.json").exists():  # it was whole when the process was killed
                load_estimator(output)
                same &= content(output) == expected
                remove(output)
            continue
        ends += 1
        same &= content(output) == expected
        remove(output)
    if not output.is_file():
        assert wait(start(name, folder)) == 0, (folder / "log").read_text()
    same &= content(output) == expected
    left = sorted(path.name for path in set(folder.iterdir()) - before - {output})
    found = {"kills": kills, "ended before": ends, "had parts to go on with": went_on}
    return {**found, "seconds of a run": round(duration, 2), "same": bool(same), "left": left}


def remove(path: Path) -> None:
    """Remove what a job wrote."""
    for one in (path, path.with_name(path.name + ".part")):
        if one.is_dir():
            shutil.rmtree(one)
        else:
            one.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=", ".join(JOBS))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    for name in given.jobs or JOBS:
        with tempfile.TemporaryDirectory() as folder:
            found = survive(name, Path(folder), given.kills, given.seed)
        print(json.dumps({"job": name, **found}), flush=True)


if __name__ == "__main__":
    main()
