"""The training engine on a network of a dozen weights."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import pytest
import torch

from ssatom.devices import edge_precision, resolve_device
from ssatom.exceptions import ParameterError
from ssatom.repeatable import Dropout
from ssatom.training import (
    VALIDATION_LOSS,
    BatchLoader,
    TrainingConfig,
    train,
)
from ssatom.training.engine import _placement
from ssatom.training.process import forget_old_products

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
Y = X @ torch.tensor([1.0, -2.0, 0.5, 0.0])


class Line(pl.LightningModule):
    """Linear regression with dropout and a schedule: all kinds of state a resumed run needs."""

    def __init__(self, learning_rate: float = 0.05, pause: float = 0.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(4, generator=generator))
        self.dropout = Dropout(0.2)
        self.learning_rate = learning_rate
        self.pause = pause
        self.seen: list[list[int]] = []

    def _loss(self, rows: torch.Tensor) -> torch.Tensor:
        return ((self.dropout(X[rows]) @ self.weight - Y[rows]) ** 2).mean()

    def training_step(self, rows: torch.Tensor, batch_idx: int) -> torch.Tensor:
        self.seen.append(rows.tolist())
        time.sleep(self.pause)
        return self._loss(rows)

    def validation_step(self, rows: torch.Tensor, batch_idx: int) -> None:
        self.log(VALIDATION_LOSS, self._loss(rows), batch_size=len(rows))

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "monitor": VALIDATION_LOSS},
        }


def rows(indices: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(indices))


def run(module: Line | None = None, **settings: object) -> tuple[Line, pd.DataFrame]:
    module = module or Line()
    settings = {"max_epochs": 4, "device": "cpu", "progress_bar": False, **settings}
    history = train(
        module,
        BatchLoader(rows, np.arange(30), 8, shuffle=True, seed=5),
        BatchLoader(rows, np.arange(30, 40), 8),
        TrainingConfig(**settings),
    )
    return module, history


# Loaders ---------------------------------------------------------------------------------------


def test_loader_takes_every_row_once() -> None:
    loader = BatchLoader(rows, np.arange(100, 130), 8, shuffle=True)
    batches = [batch.tolist() for batch in loader]
    assert [len(batch) for batch in batches] == [8, 8, 8, 6]
    assert sorted(chain(*batches)) == list(range(100, 130))
    assert len(loader) == 4


def test_loader_keeps_the_order_unless_told() -> None:
    assert [b.tolist() for b in BatchLoader(rows, np.array([5, 3, 9]), 2)] == [[5, 3], [9]]


def test_order_follows_from_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        loader = BatchLoader(rows, np.arange(30), 30, shuffle=True, seed=seed)
        loader.epoch = epoch
        return next(iter(loader)).tolist()

    assert order(0, 3) == order(0, 3)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


# Training --------------------------------------------------------------------------------------


def test_it_learns_and_reports_every_epoch() -> None:
    _, history = run(max_epochs=30, patience=None)
    assert history["epoch"].tolist() == list(range(1, 31))
    assert history[VALIDATION_LOSS].iloc[-1] < 0.3 * history[VALIDATION_LOSS].iloc[0]


def test_epochs_have_orders_of_their_own() -> None:
    module, _ = run(max_epochs=2)
    first, second = module.seen[:4], module.seen[4:]
    assert sorted(chain(*first)) == sorted(chain(*second))
    assert first != second


def test_runs_repeat_bit_for_bit() -> None:
    torch.manual_seed(1)
    first, history = run()
    torch.manual_seed(2)
    second, again = run()
    assert torch.equal(first.weight, second.weight)
    pd.testing.assert_frame_equal(history, again, check_exact=True)
    other, _ = run(random_state=1)
    assert not torch.equal(first.weight, other.weight)


def test_best_epoch_is_kept() -> None:
    """Steps so large that the loss rises again; the weights are those before it did."""
    module, history = run(Line(learning_rate=1.5), max_epochs=4, patience=None)
    assert history[VALIDATION_LOSS].idxmin() == 2
    module.eval()
    loss = module._loss(torch.arange(30, 40)).item()
    assert loss == pytest.approx(history[VALIDATION_LOSS].min(), rel=1e-5)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_resumed_run_is_the_uninterrupted_one(tmp_path: Path, cut: int) -> None:
    whole, history = run()
    run(max_epochs=cut, checkpoint_dir=tmp_path)
    resumed, resumed_history = run(checkpoint_dir=tmp_path)
    assert torch.equal(resumed.weight, whole.weight)
    assert resumed.seen == whole.seen[4 * cut :]
    pd.testing.assert_frame_equal(resumed_history, history, check_exact=True)


def test_resumed_run_keeps_schedule_and_best_epoch(tmp_path: Path) -> None:
    settings = {"max_epochs": 12, "patience": None}
    whole, history = run(Line(1.5), **settings)
    for epochs in (5, 9, 12):
        settings["max_epochs"] = epochs
        resumed, resumed_history = run(Line(1.5), checkpoint_dir=tmp_path, **settings)
    assert torch.equal(resumed.weight, whole.weight)
    pd.testing.assert_frame_equal(resumed_history, history, check_exact=True)


def test_run_cut_off_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    """At most the epoch under way is lost, also where the last epochs were not the best."""

    class CutOff(Line):
        def training_step(self, rows: torch.Tensor, batch_idx: int) -> torch.Tensor:
            if (self.current_epoch, batch_idx) == (4, 2):
                raise KeyboardInterrupt
            return super().training_step(rows, batch_idx)

    whole, history = run(Line(1.5), max_epochs=7, patience=None)
    assert history[VALIDATION_LOSS][:4].idxmin() == 2
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(CutOff(1.5), max_epochs=7, patience=None, checkpoint_dir=tmp_path)
    resumed, resumed_history = run(Line(1.5), max_epochs=7, patience=None, checkpoint_dir=tmp_path)
    assert len(resumed.seen) == 3 * 4
    assert torch.equal(resumed.weight, whole.weight)
    pd.testing.assert_frame_equal(resumed_history, history, check_exact=True)


def test_checkpoints_may_be_moved(tmp_path: Path) -> None:
    whole, history = run(Line(1.5), patience=None)
    run(Line(1.5), max_epochs=3, patience=None, checkpoint_dir=tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    resumed, again = run(Line(1.5), patience=None, checkpoint_dir=tmp_path / "there")
    assert torch.equal(resumed.weight, whole.weight)
    pd.testing.assert_frame_equal(again, history, check_exact=True)


def test_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first, history = run(checkpoint_dir=tmp_path)
    second, again = run(checkpoint_dir=tmp_path)
    assert not second.seen
    assert torch.equal(first.weight, second.weight)
    pd.testing.assert_frame_equal(history, again, check_exact=True)


# When it stops ---------------------------------------------------------------------------------


def test_early_stopping() -> None:
    """Without steps the loss never falls: the first epoch and `patience` more."""
    _, history = run(Line(learning_rate=0.0), max_epochs=50, patience=3)
    assert len(history) == 4


def test_no_early_stopping() -> None:
    _, history = run(Line(learning_rate=0.0), max_epochs=8, patience=None)
    assert len(history) == 8


def test_min_delta() -> None:
    _, history = run(max_epochs=50, patience=2, min_delta=1e6)
    assert len(history) == 3


def test_early_stopping_counts_on_over_a_cut(tmp_path: Path) -> None:
    run(Line(0.0), max_epochs=2, patience=3, checkpoint_dir=tmp_path)
    _, history = run(Line(0.0), max_epochs=50, patience=3, checkpoint_dir=tmp_path)
    assert len(history) == 4


def test_run_that_stopped_early_stays_stopped(tmp_path: Path) -> None:
    run(Line(0.0), max_epochs=50, patience=3, checkpoint_dir=tmp_path)
    module, history = run(Line(0.0), max_epochs=50, patience=3, checkpoint_dir=tmp_path)
    assert not module.seen
    assert len(history) == 4


def test_more_patience_goes_on(tmp_path: Path) -> None:
    run(Line(0.0), max_epochs=50, patience=1, checkpoint_dir=tmp_path)
    _, history = run(Line(0.0), max_epochs=50, patience=5, checkpoint_dir=tmp_path)
    assert len(history) == 6


def test_time_budget() -> None:
    """Each epoch takes 0.4 s: the one in which the budget ends is the last."""
    started = time.perf_counter()
    _, history = run(Line(pause=0.1), max_epochs=100, time_budget=1)
    assert 1 <= len(history) <= 3
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize("budget", [0.01, 0.5])
def test_time_budget_below_a_second(budget: float) -> None:
    _, history = run(Line(pause=0.1), max_epochs=100, time_budget=budget)
    assert 1 <= len(history) <= 2


def test_time_budget_is_new_with_each_call(tmp_path: Path) -> None:
    _, first = run(Line(pause=0.1), max_epochs=100, time_budget=1, checkpoint_dir=tmp_path)
    _, second = run(Line(pause=0.1), max_epochs=100, time_budget=1, checkpoint_dir=tmp_path)
    assert len(second) > len(first)
    _, third = run(max_epochs=len(second) + 2, checkpoint_dir=tmp_path)
    _, history = run(max_epochs=len(second) + 2)
    pd.testing.assert_frame_equal(third, history, check_exact=True)


# Manners ---------------------------------------------------------------------------------------


def test_no_file_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run()
    assert not list(tmp_path.iterdir())


def test_only_checkpoints_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run(checkpoint_dir=tmp_path / "there")
    assert not list((tmp_path / "here").iterdir())
    assert sorted(p.name for p in (tmp_path / "there").iterdir()) == ["best.ckpt", "last.ckpt"]


def test_nothing_is_printed(capfd: pytest.CaptureFixture, recwarn: pytest.WarningsRecorder) -> None:
    run()
    assert capfd.readouterr() == ("", "")
    assert not list(recwarn)


def test_progress_bar(capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssatom.progress._is_watched", lambda: True)
    run(progress_bar=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "epoch 4/4" in err


def test_global_random_states_are_left_alone() -> None:
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    run()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert random.getstate() == before[2]


def test_gradient_clip() -> None:
    class Steep(Line):
        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=1.0)

    module = Steep()
    start = module.weight.detach().clone()
    run(module, max_epochs=1, gradient_clip=1e-3)
    moved = (module.weight.detach() - start).norm()
    assert 0 < moved <= 4 * 1e-3 * 1.01  # four steps


@pytest.mark.parametrize(
    "settings", [{"max_epochs": 0}, {"patience": 0}, {"min_delta": -1.0}, {"n_devices": 0}]
)
def test_settings_out_of_range_are_refused(settings: dict) -> None:
    with pytest.raises(ParameterError, match=f"{next(iter(settings))}=.* must be"):
        TrainingConfig(**settings)


def test_one_gpu_of_several_is_one_device() -> None:
    with pytest.raises(ParameterError, match="'cuda:1' is one device, but n_devices=2"):
        TrainingConfig(device="cuda:1", n_devices=2)


# Where it runs ---------------------------------------------------------------------------------


def test_precision() -> None:
    assert edge_precision("float32") == torch.float32
    assert edge_precision("bfloat16") == torch.bfloat16
    assert edge_precision("auto") in (torch.float32, torch.bfloat16)
    with pytest.raises(
        ParameterError, match="'half' is unknown; allowed: 'auto', 'float32', 'bfloat16'"
    ):
        edge_precision("half")


def test_a_job_of_several_tasks_trains_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning would want one process for each task of SLURM's."""
    slurm = {"NTASKS": 4, "JOB_NAME": "fit", "JOB_ID": 1, "PROCID": 0, "LOCALID": 0, "NODEID": 0}
    for name, value in slurm.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    _, history = run(max_epochs=2)
    assert len(history) == 2


@pytest.mark.parametrize(
    ("device", "accelerator", "devices"),
    [("cpu", "cpu", 1), ("cuda", "cuda", 1), ("cuda:1", "cuda", [1])],
)
def test_lightning_is_told_which_device(device: str, accelerator: str, devices: object) -> None:
    placement = _placement(TrainingConfig(device=device))
    assert (placement["accelerator"], placement["devices"]) == (accelerator, devices)


def test_a_gpu_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == "cuda:1"
    with pytest.raises(ParameterError, match="'cuda:2' is unknown; .*'cuda:0', 'cuda:1'$"):
        resolve_device("cuda:2")


def test_another_kind_of_device_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssatom.devices._ACCELERATORS", {"mps": lambda: False})
    monkeypatch.setattr(torch.mps, "is_available", lambda: True, raising=False)
    monkeypatch.setattr(torch.mps, "device_count", lambda: 1)
    assert resolve_device("auto") == resolve_device("mps") == "mps"
    assert edge_precision("auto", "mps") == torch.float32
    for wrong in ("mps:1", "cuda", "mps:", "mps:x", "mps:-1", None, 3):
        with pytest.raises(ParameterError, match="unknown; allowed: 'auto', 'cpu', 'mps', 'mps:0'"):
            resolve_device(wrong)


def test_device() -> None:
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(
        ParameterError, match="device='tpu' is unknown; allowed: 'auto', 'cpu', 'cuda'"
    ):
        resolve_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ParameterError, match="no GPU that PyTorch can use; give cpu or auto"):
        resolve_device("cuda")


def test_ctrl_c_stays_ctrl_c(tmp_path: Path) -> None:
    """Lightning would end the program; who trains in a notebook wants to go on."""

    class Stopped(Line):
        def on_train_epoch_start(self) -> None:
            if self.current_epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Stopped(), checkpoint_dir=tmp_path)
    _, history = run(checkpoint_dir=tmp_path)
    assert history["epoch"].tolist() == [1, 2, 3, 4]


def test_fewer_epochs_than_done_are_refused(tmp_path: Path) -> None:
    run(checkpoint_dir=tmp_path, max_epochs=3)
    with pytest.raises(ParameterError, match="max_epochs=2, but the run in .* has done 3"):
        run(checkpoint_dir=tmp_path, max_epochs=2)


def test_processes_share_the_batches_of_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [b.tolist() for b in BatchLoader(rows, np.arange(50), 24, shuffle=True, seed=5)]
    shares = []
    for rank in range(3):
        for module in ("ssatom.training.engine", "ssatom.processes"):
            monkeypatch.setattr(f"{module}.processes", lambda rank=rank: (rank, 3))
        loader = BatchLoader(rows, np.arange(50), 8, shuffle=True, seed=5)
        shares.append([batch.tolist() for batch in loader])
        assert len(loader) == len(shares[-1]) == 3
    steps = [list(chain.from_iterable(step)) for step in zip(*shares, strict=True)]
    assert steps[:2] == whole[:2]
    assert [share[2] for share in shares] == [[row] for row in [*whole[2], whole[2][0]]]


_PRODUCTS = """
import torch
from ssatom.training.process import forget_old_products

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20

if {forget}:
    forget_old_products()
torch.set_num_threads(1)
for n_edges in range(3000, 3500):
    edges = torch.ones(n_edges, 256, dtype=torch.bfloat16)
    edges.t() @ edges[:, :128]
    if n_edges == 3100:  # libraries are loaded
        before = resident()
print(resident() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
@pytest.mark.skipif(edge_precision() == torch.float32, reason="oneDNN is not used here")
def test_products_of_many_shapes_are_not_remembered() -> None:
    environment = {k: v for k, v in os.environ.items() if "CACHE_CAPACITY" not in k}
    grown = {}
    for forget in (False, True):
        command = [sys.executable, "-c", _PRODUCTS.format(forget=forget)]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        grown[forget] = float(run.stdout)
    assert grown[True] < 0.3 * grown[False]


@pytest.mark.parametrize("name", ["ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"])
def test_a_setting_of_the_user_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {name: "7"})
    forget_old_products()
    assert os.environ[name] == "7"
    monkeypatch.setattr(os, "environ", {})
    forget_old_products()
    assert os.environ[name] == "32"
