"""The public names: what they are, what importing them costs, and what type checkers say."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge

import ssatom
from ssatom.corpora import StructureRecord
from ssatom.embeddings import FeatureColumns
from ssatom.evaluation import Locality
from ssatom.negnn import NEGNN

ROOT = Path(ssatom.__file__).parents[1]
STUB = Path(ssatom.__file__).with_name("__init__.pyi")


def run(code: str) -> list[str]:
    """Words that a fresh process prints."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.split()


def room_of() -> dict[str, str]:
    """The room of each name, as the stub has it."""
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


# Names -----------------------------------------------------------------------------------------


def test_names_are_those_of_the_stub() -> None:
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    (listed,) = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    assert ast.literal_eval(listed) == ssatom.__all__ == sorted(room_of())


def test_dir_shows_public_names_alone() -> None:
    assert run("import ssatom, ssatom.files; print(*dir(ssatom))") == ssatom.__all__


@pytest.mark.parametrize("name", ssatom.__all__)
def test_public_names_are_exported_by_their_room(name: str) -> None:
    value = getattr(ssatom, name)
    assert value.__name__ == name
    assert value.__module__.startswith(f"ssatom.{room_of()[name]}")
    room = importlib.import_module(f"ssatom.{room_of()[name]}")
    assert name in getattr(room, "__all__", dir(room))


def test_names_that_users_need() -> None:
    needed = {"save_estimator", "load_estimator", "PretrainedEncoder", "PretrainingTask"}
    assert {*needed, "clear_cache", "MaskedPretrainer"} <= set(ssatom.__all__)


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="ssatom attribute nothing"):
        _ = ssatom.nothing
    with pytest.raises(ImportError):
        from ssatom import nothing  # noqa: F401


# Imports ---------------------------------------------------------------------------------------

HEAVY = {
    "ase", "dscribe", "gemmi", "lightning", "matplotlib", "networkx", "numba", "safetensors",
    "spglib", "sympy", "torch", "torch_geometric",
}  # fmt: skip


def modules_after(statement: str) -> set[str]:
    return set(run(f"{statement}\nimport sys; print(*{{n.split('.')[0] for n in sys.modules}})"))


def test_import_of_the_package_loads_next_to_nothing() -> None:
    heavy = {*HEAVY, "pymatgen", "numpy", "pandas", "sklearn", "matminer"}
    assert not modules_after("import ssatom; dir(ssatom)") & heavy


def test_featurizers_load_what_they_need_when_used() -> None:
    names = [name for name in ssatom.__all__ if name.endswith(("Featurizer", "Transformer"))]
    assert names
    made = "; ".join(f"ssatom.{name}()" for name in names)
    loaded = modules_after(f"import ssatom; {made}; import matminer.featurizers.base")
    assert not loaded & HEAVY
    assert "sklearn" in loaded


def test_features_of_the_command_line_load_no_figures_no_training_and_no_tables() -> None:
    loaded = modules_after("import ssatom.cli._features")
    assert "torch" in loaded
    assert not loaded & {"lightning", "matplotlib", "sympy", "ase", "dscribe", "pandas"}


def processor_time(statement: str) -> float:
    resource = pytest.importorskip("resource")
    assert resource
    used = "import resource; u = resource.getrusage(resource.RUSAGE_SELF)"
    times = run(f"{statement}\n{used}; print(u.ru_utime + u.ru_stime)")
    return float(times[-1])


def test_import_of_a_featurizer_costs_little_beside_torch() -> None:
    """About 1.0 of the processor time of torch alone; the bound leaves room for noise."""
    ours, torch = [], []
    for _ in range(3):  # again only where the first times are apart
        ours.append(processor_time("from ssatom import GraphEmbeddingFeaturizer"))
        torch.append(processor_time("import torch"))
        if min(ours) < 2.1 * min(torch):
            break
    assert min(ours) < 2.1 * min(torch)


# Types -----------------------------------------------------------------------------------------

SNIPPET = """
import ssatom
from ssatom.corpora import StructureRecord
from ssatom.embeddings import FeatureColumns
from ssatom.evaluation import Locality
from ssatom.negnn import NEGNN
from ssatom import GraphEmbeddingFeaturizer, MaskedPretrainer, NEGNNRegressor, graph_embeddings

GraphEmbeddingFeaturizer(layers="012", batch_size=32)
NEGNNRegressor(max_epochs=3)
ssatom.PretrainedEncoder
"""
MISTAKES = """
GraphEmbeddingFeaturizer(layer="012")
GraphEmbeddingFeaturizer(batch_size="many")
graph_embeddings([], pool="mean")
NEGNNRegressor(max_epoch=3)
MaskedPretrainer(epoch=1)
ssatom.GraphEmbedingFeaturizer
"""


MYPY = """
[mypy]
ignore_missing_imports = True
follow_imports = silent
check_untyped_defs = True
[mypy-torch.*,numpy.*,pandas.*,pymatgen.*,sklearn.*,lightning.*,matplotlib.*,numba.*,joblib.*]
follow_imports = skip
follow_imports_for_stubs = True
"""  # Types of other packages would take most of the time.


def mypy(code: str, folder: Path) -> list[str]:
    """Errors of mypy in a script of someone who uses the package."""
    pytest.importorskip("mypy")
    (folder / "script.py").write_text(code)
    (folder / "mypy.ini").write_text(MYPY)
    command = [sys.executable, "-m", "mypy", "script.py"]
    environment = {"MYPYPATH": str(ROOT), "MYPY_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return [line for line in done.stdout.splitlines() if ": error:" in line]


def test_type_checkers_find_misspelt_arguments(tmp_path: Path) -> None:
    found = mypy(SNIPPET + MISTAKES, tmp_path)  # in the snippet itself it finds none
    first = len(SNIPPET.splitlines()) + 2
    lines = {int(line.split(":")[1]) for line in found}
    assert lines == set(range(first, first + len(MISTAKES.split("\n")) - 2)), found


def test_package_is_marked_as_typed() -> None:
    assert STUB.with_name("py.typed").is_file()


# What is shown of objects ------------------------------------------------------------------------


def shown() -> dict[str, object]:
    crystals = ssatom.load_example_crystals()["structure"]
    weights = ssatom.load_pretrained()
    graphs = ssatom.CrystalGraphConverter().convert(crystals[:3])
    X = np.random.default_rng(0).normal(size=(40, 3))
    model = Ridge(1e-6)
    result = ssatom.evaluate(X, X[:, 0], n_seeds=2, progress_bar=False, model=model)
    return {
        "<PretrainedEncoder 'directional-128x5-mp': 6 layers of width 128": weights,
        "CrystalGraphEncoder(EncoderConfig(": weights.encoder,
        "<WeightsCard 'directional-128x5-mp': format": weights.card,
        "NEGNN(NEGNNConfig(": NEGNN(),
        "<CrystalGraphs: 3 structures, 12 sites, 144 edges>": graphs,
        "<GraphBatch: 3 structures, 12 sites, 144 edges, cpu>": graphs.to_batch(),
        "CrystalGraphConverter(GraphConfig(": ssatom.CrystalGraphConverter(),
        "<EvaluationResult: 2 splits; random: MAE": result,
        "<SplitScores random 0: 32 + 8 rows, MAE": result.splits[0],
        "<Locality: layers 0, 01; ": Locality({"0": result, "01": result}),
        "<StructureRecord 'a.cif': Cu4, 4 sites": StructureRecord("a.cif", crystals[0], {"gap": 1}),
        "<FeatureColumns: 434 columns, layers [0, 1]": FeatureColumns(weights, [0, 1]),
        "GraphEmbeddingFeaturizer(weights=<Pre": ssatom.GraphEmbeddingFeaturizer(weights=weights),
    }


def test_objects_show_what_they_are_in_one_line() -> None:
    for start, value in shown().items():
        text = repr(value)
        assert text.startswith(start), text
        assert "\n" not in text
        assert len(text) < 200
