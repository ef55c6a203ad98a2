"""What notebooks, terminals and editors show: figures, progress, warnings, pipelines."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import current_process
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from pymatgen.core import Lattice, Structure
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

from ssatom import (
    ConformalRegressor,
    GraphEmbeddingFeaturizer,
    GraphWarning,
    NEGNNRegressor,
    StructureWarning,
    load_example_crystals,
    measure_locality,
    plots,
)
from ssatom.cli._models import Models
from ssatom.progress import make_bar

ROOT = Path(__file__).parents[1]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def watch(monkeypatch) -> Terminal:
    """Let stderr be a terminal; what is written to it. In fixtures pytest would undo this."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


@pytest.fixture(scope="module")
def crystals():
    table = load_example_crystals()
    return list(table.loc[table["family"] == "rock salt", "structure"][:24])


@pytest.fixture(scope="module")
def volumes(crystals):
    return np.array([crystal.volume / len(crystal) for crystal in crystals])


def network(**settings):
    small = {"layers": "0", "n_conv": 1, "hidden_dim": 8, "max_epochs": 2, "random_state": 0}
    return NEGNNRegressor(**small, **settings)


def isolated(symbol: str) -> Structure:
    return Structure(Lattice.cubic(20.0), [symbol], [[0, 0, 0]])


def test_every_figure_is_a_picture_for_a_notebook(crystals, volumes):
    model = network().fit(crystals, volumes)
    elements = [site.specie.symbol for site in crystals[0]]
    figures = [
        model.plot_history(),
        plots.plot_map([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.1]),
        plots.plot_confusion([[2, 1], [0, 3]], ["metal", "insulator"]),
        plots.plot_calibration({"one": (volumes, volumes + 0.1, volumes * 0.1)}, unit="Å³"),
        plots.plot_parity({"volume": (volumes, volumes + 0.1)}, unit="Å³"),
        plots.plot_layer_errors({"random split": {"0": 0.3, "01": 0.2}}, ylabel="MAE (eV)"),
        plots.plot_sites(crystals[0].cart_coords, elements, np.ones(len(elements))),
    ]
    for figure in figures:
        picture = figure._repr_png_()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 3000


def test_bars_are_shown_on_terminals_alone(monkeypatch):
    terminal = watch(monkeypatch)
    assert list(make_bar([1, 2], desc="rows")) == [1, 2]
    assert "rows: 100%" in terminal.getvalue()
    assert make_bar([1], show=False).disable
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    assert list(make_bar([1, 2], desc="rows")) == [1, 2]
    assert log.getvalue() == ""


def test_bars_are_shown_in_notebooks(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    kernel = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: kernel))
    bar = make_bar([1])
    assert not bar.disable
    bar.close()


def test_bars_of_worker_processes_are_not_shown(monkeypatch):
    watch(monkeypatch)
    monkeypatch.setattr(current_process(), "name", "LokyProcess-1")
    assert make_bar([1]).disable


def test_training_shows_epoch_and_member_of_how_many(monkeypatch, crystals, volumes, capfd):
    terminal = watch(monkeypatch)
    network(n_members=2).fit(crystals, volumes)
    shown = terminal.getvalue()
    assert "member 1/2, epoch 1/2:" in shown
    assert "member 2/2, epoch 2/2:" in shown
    assert "validation_loss=" in shown
    assert capfd.readouterr().out == ""


def test_fitting_shows_what_is_chosen_and_fitted(monkeypatch, crystals, volumes):
    models = Models("auto", False, "0", None, False, "cpu", 0, {"progress_bar": True})
    terminal = watch(monkeypatch)
    models.train(crystals, volumes, range(len(crystals)))
    shown = terminal.getvalue()
    assert shown.index("choose: kernel-ridge, fold 1 of 5") < shown.index("fit: kernel-ridge")


@pytest.mark.slow
def test_training_in_a_log_is_silent():
    code = (
        "from ssatom import NEGNNRegressor, load_example_crystals\n"
        "crystals = list(load_example_crystals()['structure'][:8])\n"
        "NEGNNRegressor('0', max_epochs=1).fit(crystals, range(8))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert (told.stdout, told.stderr) == ("", "")


def only(caught, kind) -> warnings.WarningMessage:
    [found] = [warning for warning in caught if issubclass(warning.category, kind)]
    return found


def test_one_warning_a_call_at_this_line_with_formulas(crystals):
    rows = [isolated("Ar"), crystals[0], isolated("Xe")]
    pipeline = make_pipeline(GraphEmbeddingFeaturizer(), StandardScaler(), Ridge())
    with pytest.warns(GraphWarning) as caught:
        pipeline.fit(rows, [1.0, 2.0, 3.0])
    told = only(caught, GraphWarning)
    assert str(told.message).startswith("structures[0] (Ar), structures[2] (Xe): some sites have")
    assert told.message.formulas == ("Ar", "Xe")
    assert told.filename == __file__


def test_two_remarks_on_the_same_rows_are_one_warning(crystals, volumes):
    with pytest.warns(GraphWarning) as caught:
        network().fit([*crystals, isolated("Ar")], [*volumes, 1.0])
    told = str(only(caught, GraphWarning).message)
    assert "within 8 Å" in told
    assert "within 4.5 Å" in told


def test_doubts_of_several_files_are_one_warning(tmp_path):
    # Without a line of elements, as of old, they are only in the comment.
    text = "Na Cl\n1\n4 0 0\n0 4 0\n0 0 4\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"
    paths = [tmp_path / f"{name}.vasp" for name in ("a", "b")]
    for path in paths:
        path.write_text(text)
    with pytest.warns(StructureWarning) as caught:
        GraphEmbeddingFeaturizer().transform(paths)
    told = only(caught, StructureWarning)
    assert told.message.rows == (0, 1)
    assert "(NaCl): elements taken from the comment line" in str(told.message)
    assert told.filename == __file__


def test_threads_warn_at_the_line_that_waits_for_them():
    featurizer = GraphEmbeddingFeaturizer()
    with pytest.warns(GraphWarning) as caught, ThreadPoolExecutor(1) as pool:
        pool.submit(featurizer.transform, [isolated("Ne")]).result()
    assert only(caught, GraphWarning).filename == __file__


def shown_by(search, *arguments) -> list[str]:
    """What the default filter shows of warnings about crystals."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        search(*arguments)
    assert {told.filename for told in caught} <= {__file__}
    return [str(told.message) for told in caught]


def test_folds_of_a_search_tell_of_a_crystal_once_a_search(crystals):
    X, y = [isolated("Ar"), isolated("Kr"), *crystals[:4]], np.arange(6.0)
    pipeline = make_pipeline(GraphEmbeddingFeaturizer(), StandardScaler(), Ridge())
    grid = {"graphembeddingfeaturizer__layers": ["0", "01"]}
    search = GridSearchCV(pipeline, grid, cv=3)
    other = [*X[:5], isolated("Xe")]
    for _ in range(2):
        [told] = shown_by(search.fit, X, y)
        assert told.startswith("structures[0] (Ar), structures[1] (Kr): some sites have")
        told = shown_by(lambda: cross_val_score(pipeline, other, y, cv=3))
        assert [line.count(name) for line in told for name in ("Ar", "Kr", "Xe")] == [
            *(0, 0, 1), *(1, 1, 0)
        ]  # fmt: skip
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cross_val_score(pipeline, X, y, cv=3)
    assert len(caught) == 3


def test_folds_of_a_search_tell_of_bad_rows_once_a_search(crystals):
    X, y = [None, *crystals[:5]], np.arange(6.0)
    pipeline = make_pipeline(GraphEmbeddingFeaturizer("0", errors="nan"), SimpleImputer(), Ridge())
    [told] = shown_by(lambda: cross_val_score(pipeline, X, y, cv=3))
    assert "1 row of NaN: [0]" in told


def test_all_layers_of_a_locality_warn_once(crystals):
    X, y = [isolated("Ar"), *crystals[:9]], np.arange(10.0)
    settings = {"model": Ridge(), "n_seeds": 1, "progress_bar": False}
    [told] = shown_by(lambda: measure_locality(X, y, **settings))
    assert told.startswith("structures[0] (Ar): ")


def test_loops_over_the_same_structures_warn_in_each_call():
    featurizer = GraphEmbeddingFeaturizer()
    calls = [lambda: featurizer.transform([isolated("Ne")]) for _ in range(2)]
    assert [len(shown_by(call)) for call in calls] == [1, 1]


def warned_of(rows) -> list[tuple[str, str]]:
    """File and text of each warning of a worker process, as it would print them."""
    from ssatom import warn

    # As where a worker runs a method of ours and no function of the user's.
    warn._BETWEEN.update({"test_notebook", "tests"})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        GraphEmbeddingFeaturizer().transform(rows)
    return [(told.filename, str(told.message)) for told in caught]


@pytest.mark.slow
def test_worker_processes_name_themselves_and_the_crystal():
    [[told]] = Parallel(n_jobs=2)([delayed(warned_of)([isolated("Kr")])])
    assert told[0] == "<worker process>"
    assert told[1].startswith("structures[0] (Kr): ")


@pytest.mark.slow
def test_worker_processes_tell_of_a_crystal_once(crystals, capfd):
    pipeline = make_pipeline(GraphEmbeddingFeaturizer("0"), StandardScaler(), Ridge())
    X, y = [isolated("Rn"), *crystals[:9]], np.arange(10.0)
    get_reusable_executor().shutdown()  # workers of earlier tests write where these had stderr
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        for _ in range(2):
            cross_val_score(pipeline, X, y, cv=5, n_jobs=2)
    assert 1 <= capfd.readouterr().err.count("(Rn): some sites have") <= 2  # of two processes


def test_pipelines_and_models_show_in_html():
    pipeline = make_pipeline(GraphEmbeddingFeaturizer(layers="01"), StandardScaler(), Ridge())
    shown = estimator_html_repr(ConformalRegressor(pipeline))
    for name in ("ConformalRegressor", "GraphEmbeddingFeaturizer", "StandardScaler", "Ridge"):
        assert name in shown
    assert "NEGNNRegressor" in NEGNNRegressor()._repr_html_()
    assert "GraphEmbeddingFeaturizer" in GraphEmbeddingFeaturizer()._repr_html_()


@pytest.mark.slow
def test_in_a_real_notebook(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cells = [
        "from ssatom import NEGNNRegressor, load_example_crystals\n"
        "crystals = list(load_example_crystals()['structure'][:12])\n"
        "model = NEGNNRegressor('0', max_epochs=2).fit(crystals, range(12))",
        "model.plot_history()",
        "model",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    client.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    training, figure, shown = (cell["outputs"] for cell in notebook.cells)
    assert not [out for out in training if out.get("name") == "stdout"]
    assert "image/png" in figure[0]["data"]
    assert "NEGNNRegressor" in shown[0]["data"]["text/html"]
