"""Many workers: the bytes of one process, by joblib, dask and ray, also when a worker is killed."""

from __future__ import annotations

import contextlib
import os
import pickle
import secrets
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
import psutil
import pytest
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner, Result

from ssatom import (
    GraphEmbeddingFeaturizer,
    SsatomError,
    WeightsError,
    load_example_crystals,
    load_pretrained,
    parallel,
)
from ssatom.cli import _features, _items, app
from ssatom.cli._parts import PartFolder
from ssatom.corpora import cut_structures, read_structures, write_structures
from ssatom.embeddings import clear_cache, engine
from ssatom.kernels._threads import n_threads
from ssatom.parallel import n_workers, on_workers
from ssatom.weights import folder as weights_room

BAD = Structure(Lattice.cubic(0.3), ["Po"], [[0, 0, 0]])  # its image is too near
N = 60
MALLOC = {"MALLOC_TRIM_THRESHOLD_": "1073741824", "MALLOC_MMAP_THRESHOLD_": "33554432"}
WAIT = 240  # seconds for a cluster, or for its workers; a busy machine needs many


@pytest.fixture(scope="module")
def crystals() -> list[Structure]:
    """Of which the eighth is bad."""
    few = [s for s in load_example_crystals()["structure"] if len(s) < 13][:N]
    return [*few[:7], BAD, *few[8:]]


@pytest.fixture
def corpus(crystals: list[Structure], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The crystals as lines, of which five make a part, and an empty working directory."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(_items, "_CHUNK_STRUCTURES", 5)
    lines = [s.to_json() for s in crystals]
    (tmp_path / "some.jsonl").write_text("\n".join(lines))
    return tmp_path / "some.jsonl"


def run(*arguments: object) -> Result:
    clear_cache()
    return CliRunner().invoke(app, [str(a) for a in arguments])


# --- calls in order -----------------------------------------------------------------------------


class KilledWorker(Exception):  # noqa: N818
    """As dask has it."""


def test_results_come_in_order_once_each_when_workers_are_lost() -> None:
    tried: list[int] = []

    def work(i: int) -> int:
        tried.append(i)
        if i == 25 and tried.count(i) < 3:
            raise KilledWorker
        return i

    with joblib.parallel_config("threading", n_jobs=2):
        assert list(on_workers(work, ((i,) for i in range(40)))) == list(range(40))
    assert tried.count(25) == 3


def test_workers_that_are_always_lost_end_the_run() -> None:
    def lost() -> None:
        raise KilledWorker

    with joblib.parallel_config("threading", n_jobs=2):
        with pytest.raises(SsatomError, match=r"lost 3 times in a row \(KilledWorker\)"):
            list(on_workers(lost, [(), ()]))
        with pytest.raises(ZeroDivisionError):
            list(on_workers(divmod, [(1, 1), (1, 0)]))


def test_calls_start_no_workers_of_their_own() -> None:
    with joblib.parallel_config("threading", n_jobs=2):
        assert n_workers() == 2
        assert list(on_workers(n_workers, [()] * 3)) == [1] * 3
        assert joblib.Parallel()([joblib.delayed(n_workers)()] * 2) == [1, 1]


# --- what is sent -------------------------------------------------------------------------------


def test_pickles_of_shipped_weights_are_their_names() -> None:
    weights = load_pretrained()
    content = pickle.dumps(weights)
    assert len(content) < 300
    assert pickle.loads(content) is weights
    with pytest.raises(WeightsError, match="install the same version of ssatom in both places"):
        pickle.loads(content.replace(weights.sha256.encode(), b"0" * 64))


def test_pickles_of_own_weights_hold_them(weights_folder: Path) -> None:
    weights = load_pretrained(weights_folder)
    copy = pickle.loads(pickle.dumps(weights))
    state = weights.encoder.state_dict()
    assert all(np.array_equal(state[k], v) for k, v in copy.encoder.state_dict().items())


def test_jobs_are_made_again_in_a_worker_once(corpus: Path) -> None:
    content = pickle.dumps(_features.prepare([corpus], weights="random"))
    assert len(content) < 1000
    assert pickle.loads(content) is pickle.loads(content)
    with pytest.raises(SsatomError, match=r"the worker on .* and this process has .*other"):
        pickle.loads(content.replace(b"random-0", b"other-00"))


@pytest.mark.parametrize("name", ["a.jsonl", "cifs", "a.extxyz", "a.json", "a.csv", "a.traj"])
def test_pieces_that_were_pickled_give_the_records(
    name: str, crystals: list[Structure], tmp_path: Path
) -> None:
    path, good = tmp_path / name, [s for s in crystals[:12] if s is not BAD]
    if name == "a.csv":
        texts = [s.to(fmt="cif") for s in good]
        pd.DataFrame({"cif": texts, "gap": range(len(good))}).to_csv(path, index=False)
    elif name == "a.json":
        path.write_text("[" + ",".join(s.to_json() for s in good) + "]")
    elif name == "a.traj":
        from ase.io import write

        write(path, [s.to_ase_atoms() for s in good])
    else:
        write_structures(path, good)
    expected = list(read_structures(path))
    pieces = pickle.loads(pickle.dumps(list(cut_structures(path))))
    assert len(pieces) == len(expected) == len(good)
    assert [r for piece in pieces for r in piece.read()] == expected


# --- in threads, and what is refused ------------------------------------------------------------


def test_transform_in_threads_is_the_serial_one(
    crystals: list[Structure], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_SHARE", 7)
    featurizer = GraphEmbeddingFeaturizer("01", "random", errors="nan")
    calls: list[int] = []

    def counted(*arguments: Any) -> Iterator[Any]:
        calls.append(1)
        return on_workers(*arguments)

    monkeypatch.setattr(engine, "on_workers", counted)
    clear_cache()
    with pytest.warns(UserWarning, match=r"1 row of NaN: \[7\]"):
        expected = featurizer.transform(crystals)
    clear_cache()
    good = [s for s in crystals if s is not BAD]
    with joblib.parallel_config("threading", n_jobs=2):
        with pytest.warns(UserWarning, match=r"1 row of NaN: \[7\]"):
            np.testing.assert_array_equal(featurizer.transform(crystals), expected)
        assert len(calls) == 1
        featurizer.set_params(layers="012345").transform(good)
    assert len(calls) == 1  # from the cache


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--n-jobs", 2, "--dask", "x"], "--n-jobs and --dask exclude each other"),
        (["--n-jobs", 0], "allowed are numbers from 1 on, or -1"),
        (["--dask", "x"], "pip install 'ssatom[dask]'"),
        (["--ray", "x"], "pip install 'ssatom[ray]'"),
    ],
)
@pytest.mark.parametrize("command", ["featurize", "index"])
def test_what_is_refused(
    command: str, options: list, words: str, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setitem(sys.modules, "ray", None)
    result = run(command, corpus, "--weights", "random", "-o", "x.csv", *options)
    assert result.exit_code in (1, 2)
    assert words in result.stderr


# --- local clusters of two worker processes -----------------------------------------------------


class Cluster(NamedTuple):
    """Options of the command line, a context of joblib, and ids of the worker processes."""

    options: list[str]
    context: Callable[[], Any]
    workers: Callable[[], list[psutil.Process]]


@pytest.fixture(scope="module", params=["loky", "dask", "ray"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with contextlib.ExitStack() as stack:
        yield globals()[f"_{request.param}"](stack)


def _loky(_: contextlib.ExitStack) -> Cluster:
    def workers() -> list[psutil.Process]:
        children = psutil.Process().children()
        return [child for child in children if any("LokyProcess" in w for w in child.cmdline())]

    return Cluster(["--n-jobs", "2"], lambda: joblib.parallel_config("loky", n_jobs=2), workers)


def _dask(stack: contextlib.ExitStack) -> Cluster:
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    for name, n_bytes in MALLOC.items():
        patch.setenv(name, n_bytes)
    local = stack.enter_context(distributed.LocalCluster(**options))
    with distributed.Client(local) as client:
        client.wait_for_workers(2, timeout=WAIT)

    @contextlib.contextmanager
    def context() -> Iterator[None]:
        with distributed.Client(local), joblib.parallel_config("dask"):
            yield

    def workers() -> list[psutil.Process]:
        return [psutil.Process(nanny.process.pid) for nanny in local.workers.values()]

    return Cluster(["--dask", local.scheduler_address], context, workers)


_HEAD = """
import sys, ray
options = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": 80_000_000}
print(ray.init("local", **options).address_info["gcs_address"], flush=True)
sys.stdin.read()
"""


def _ray(stack: contextlib.ExitStack) -> Cluster:
    # Ray reads these once, when it is imported.
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    patch.setenv("RAY_AUTH_MODE", "token")
    patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    # Else its workers give way to all other work, and those that start too slowly are ended and
    # started again: on a busy machine, without end.
    patch.setenv("RAY_worker_niceness", "0")
    patch.setenv("RAY_worker_register_timeout_seconds", str(WAIT))
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    head = subprocess.Popen(
        [sys.executable, "-c", _HEAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    stack.callback(_end, head)
    with selectors.DefaultSelector() as selector:
        selector.register(head.stdout, selectors.EVENT_READ)
        assert selector.select(WAIT), "ray does not start"
    address = head.stdout.readline().strip()

    @contextlib.contextmanager
    def context() -> Iterator[None]:
        ray.init(address=address, log_to_driver=False)
        register_ray()
        with joblib.parallel_config("ray", n_jobs=2):
            yield
        ray.shutdown()

    def workers() -> list[psutil.Process]:
        family = psutil.Process(head.pid).children(recursive=True)
        return [process for process in family if process.name().startswith("ray::Pool")]

    return Cluster(["--ray", address], context, workers)


def _end(head: subprocess.Popen) -> None:
    """Let the cluster end, or kill it."""
    family = psutil.Process(head.pid).children(recursive=True)
    head.stdin.close()
    head.stdout.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        head.wait(60)
    head.kill()
    head.wait()
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Function that lets something happen once, when four parts of a run are written."""
    add = PartFolder.add

    def arrange(event: Callable[[], object]) -> None:
        events = [event]

        def added(self: PartFolder, *part: Any) -> None:
            add(self, *part)
            if len(self.files()) == 4 and events:
                events.pop()()

        monkeypatch.setattr(PartFolder, "add", added)

    return arrange


def stop() -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "command", [["featurize", "--sites", "O"], ["index"]], ids=["featurize", "index"]
)
def test_commands_write_the_same_bytes(
    command: list[str],
    corpus: Path,
    cluster: Cluster,
    cut: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker is killed half-way; then the head is cut off, and goes on."""
    monkeypatch.setattr(parallel, "_AHEAD", 2)  # ray gives the results of four calls together
    name = "x" if command[0] == "index" else "x.parquet"
    what = [*command, corpus, "--weights", "random", "--no-progress"]
    serial = run(*what, "-o", "serial" + name)
    assert serial.exit_code == 3, serial.output
    killed: list[int] = []

    def kill() -> None:
        worker = cluster.workers()[0]
        assert worker.cmdline() != psutil.Process().cmdline()  # no fork of this process
        worker.kill()
        killed.append(worker.pid)

    cut(kill)
    done = run(*what, "-o", "killed" + name, *cluster.options)
    assert killed
    assert done.exit_code == 3, done.output
    cut(stop)
    assert run(*what, "-o", "cut" + name, *cluster.options).exit_code == 130
    assert "after 20 structures" in run(*what, "-o", "cut" + name, *cluster.options).stdout
    assert len(os.listdir()) == 6
    for kind in ("killed", "cut"):
        for end in ("", ".problems.csv"):
            mine, right = Path(kind + name + end), Path("serial" + name + end)
            files = [mine] if mine.is_file() else [mine / "embeddings.safetensors"]
            files += [] if mine.is_file() else [mine / "crystals.json"]
            for file in files:
                expected = right if right.is_file() else right / file.name
                assert file.read_bytes() == expected.read_bytes(), file


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_transform_on_workers_is_the_serial_one(
    crystals: list[Structure], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    featurizer = GraphEmbeddingFeaturizer("01", pooling=("mean", "std"), errors="nan")
    expected = featurizer.transform(crystals)
    assert np.isnan(expected).any(axis=1).nonzero()[0].tolist() == [7]
    clear_cache()
    monkeypatch.setattr(engine, "_SHARE", 7)
    with cluster.context():
        np.testing.assert_array_equal(featurizer.transform(crystals), expected)
        clear_cache()
        halves = [crystals[:30], crystals[30:]]
        found = joblib.Parallel()(joblib.delayed(featurizer.transform)(half) for half in halves)
    np.testing.assert_array_equal(np.concatenate(found), expected)


class Timed(NamedTuple):
    """Processor time of a part, with what it was computed by."""

    seconds: float
    process: int
    n_threads: int
    n_loads: int


def timed(part: list, job: Any) -> Timed:
    """Of the thread that computes; dask's and ray's others work as long as a run takes."""
    started = time.thread_time()
    _items.compute(part, job)
    taken = time.thread_time() - started
    return Timed(taken, os.getpid(), n_threads(), weights_room._load.cache_info().misses)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_workers_take_no_more_processor_time_and_load_the_weights_once(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least of each part's times, on two workers at once, beside that of one process alone."""
    picklers = ["cloudpickle", "joblib.externals.cloudpickle", "ray.cloudpickle"]
    for pickler in filter(None, map(sys.modules.get, picklers)):
        pickler.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(_items, "_CHUNK_STRUCTURES", 120)
    lines = [s.to_json() for s in load_example_crystals()["structure"]]
    (tmp_path / "all.jsonl").write_text("\n".join(lines))
    items = _items.cut_items([tmp_path / "all.jsonl"])
    parts = list(_items.pieces(items, lambda one: one.piece.n_bytes, _items.PART_BYTES))
    calls = [(part, _features.prepare([tmp_path / "all.jsonl"])) for part in parts * 5]

    def least(found: list[Timed]) -> float:
        """Without what workers take once, such as to compile the kernels."""
        return sum(min(one.seconds for one in found[i :: len(parts)]) for i in range(len(parts)))

    serial = [timed(*call) for call in calls]
    with cluster.context():
        found = list(on_workers(timed, calls))
    # Where dask has lost a worker, and has one, joblib computes the rest in this process.
    of_workers = [one for one in found if one.process != os.getpid()]
    assert of_workers
    assert {(one.n_threads, one.n_loads) for one in of_workers} == {(1, 1)}
    assert least(found) <= 1.15 * least(serial)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_partitions_of_dask(crystals: list[Structure]) -> None:
    frames = pytest.importorskip("dask.dataframe")
    distributed = pytest.importorskip("distributed")
    texts = pd.DataFrame({"structure": [s.to_json() for s in crystals]})
    featurizer = GraphEmbeddingFeaturizer("01", errors="nan").set_output(transform="pandas")
    expected = featurizer.transform(texts["structure"])
    meta = featurizer.transform(texts["structure"][:1])[:0]
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as local, distributed.Client(local) as client:
        parts = frames.from_pandas(texts, npartitions=4)
        lazy = parts["structure"].map_partitions(featurizer.transform, meta=meta)
        future = client.compute(lazy)
        os.kill(next(iter(local.workers.values())).process.pid, signal.SIGKILL)
        found = future.result(WAIT)
    assert found.isna().any(axis=1).to_numpy().nonzero()[0].tolist() == [7]
    np.testing.assert_array_equal(found.to_numpy(), expected.to_numpy())


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_batches_of_ray(crystals: list[Structure], monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    featurizer = GraphEmbeddingFeaturizer("01", errors="nan")
    expected = featurizer.transform(crystals)
    rows = [{"i": i, "structure": s.to_json()} for i, s in enumerate(crystals)]

    def featurize(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"i": batch["i"], "features": featurizer.transform(batch["structure"])}

    monkeypatch.setenv("RAY_worker_niceness", "0")
    ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=80_000_000)
    try:
        data = ray.data.from_items(rows).repartition(4)
        found = data.map_batches(featurize, batch_size=15).to_pandas().sort_values("i")
    finally:
        ray.shutdown()
    np.testing.assert_array_equal(np.stack(found["features"]), expected)
