"""Pretraining on several processes, and on more graphs than memory holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import ssatom
from ssatom import MaskedPretrainer, ParameterError
from ssatom.processes import JointDraws, own_rows, share_of_mean, total
from ssatom.training import TrainingConfig
from ssatom.training.engine import _placement

_TRAIN = """
import sys
from pymatgen.core import Lattice, Structure
from ssatom import MaskedPretrainer
from ssatom.cli.pretrain import _is_child

folder, n_devices, batch_size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
cells = [
    Structure(
        Lattice.cubic(3.5 + i / 20), [a, b, b][: 2 + i % 2],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0]][: 2 + i % 2],
    )
    for i, (a, b) in enumerate([("Na", "Cl"), ("Mg", "O"), ("K", "Br"), ("Ti", "N")] * 7)
]
pretrainer = MaskedPretrainer(
    ["element", "denoise", "distance"], hidden_dim=8, n_conv=2, max_epochs=3, mask_fraction=0.4,
    batch_size=batch_size, n_devices=n_devices, checkpoint_dir=folder, validation_fraction=0.2,
    precision="float32", device="cpu", progress_bar=False,
)
pretrainer.fit(cells)
if not _is_child():
    pretrainer.history_.to_csv(folder + "/history.csv", index=False)
    pretrainer.save(folder + "/weights")
"""


@pytest.mark.slow
def test_two_processes_train_as_one_with_the_same_batches(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(_TRAIN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    histories, states = [], []
    for n_devices, batch_size in ((1, 8), (2, 4)):
        folder = tmp_path / str(n_devices)
        command = [sys.executable, script, folder, n_devices, batch_size]
        # Lightning would take these for tasks of its own.
        environment |= {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0"}
        done = subprocess.run(
            list(map(str, command)), env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        histories.append(pd.read_csv(folder / "history.csv"))
        encoder = ssatom.load_pretrained(folder / "weights").encoder
        states.append(encoder.state_dict())
    assert len(histories[0]) == 3
    pd.testing.assert_frame_equal(*histories, rtol=1e-4)
    for name, tensor in states[0].items():
        np.testing.assert_allclose(tensor, states[1][name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_processes_need_files() -> None:
    with pytest.raises(ParameterError, match="n_devices=2 needs a checkpoint_dir"):
        MaskedPretrainer(n_devices=2, progress_bar=False).fit([])


def test_notebooks_start_no_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    config = TrainingConfig(n_devices=2, checkpoint_dir=tmp_path, device="cpu")
    with pytest.raises(ParameterError, match="a notebook is none; use a script"):
        _placement(config)


def test_one_process_is_all() -> None:
    device = torch.device("cpu")
    rows = np.arange(5)
    assert own_rows(rows).tolist() == rows.tolist()
    assert share_of_mean(3, device) == 1
    assert total(torch.tensor(2.0)) == 2
    drawn = []
    for draws in (JointDraws(device), torch.no_grad()):
        with draws:
            drawn.append(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(*drawn)


_EPOCH = """
import resource, sys
from itertools import islice
from pathlib import Path
import numpy as np
from ssatom import load_example_crystals
from ssatom.graph import CrystalGraphConverter, CrystalGraphs, GraphConfig
from ssatom.training import BatchLoader

folder = Path(sys.argv[1])
structures = [s for s in load_example_crystals()["structure"] if len(s) > 20][:20]
config = GraphConfig(neighbors="smooth", cutoff=5.0, directions=True)
part = CrystalGraphConverter(config).convert(structures * 10)
for i in range(int(sys.argv[2])):
    part.save(folder, append=i > 0)
held = int(next(l for l in open("/proc/self/status") if l.startswith("VmData")).split()[1]) * 1024
room = 100 * 2**20
resource.setrlimit(resource.RLIMIT_DATA, (held + room, held + room))
graphs = CrystalGraphs.load(folder)
size = sum(file.stat().st_size for file in folder.iterdir())
rows = np.arange(len(graphs))
loader = BatchLoader(lambda rows: graphs.select(rows).to_batch(), rows, 64, shuffle=True)
n = sum(batch.n_structures for batch in islice(loader, 100))
print(size / room, n)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
def test_graphs_on_disk_may_be_larger_than_memory(tmp_path: Path) -> None:
    """Batches of a store several times as large as the memory that the process may take."""
    command = [sys.executable, "-c", _EPOCH, str(tmp_path), "40"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ratio, n = done.stdout.split()
    assert float(ratio) > 2
    assert int(n) == 6400
