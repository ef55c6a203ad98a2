"""Features that a scaler can divide by: the spread of every column, and models after it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ssatom import (
    CrystalGraphConverter,
    ElectronicFeaturizer,
    GraphEmbeddingFeaturizer,
    GraphWarning,
    SelfSupervisedSiteFeaturizer,
    StructureError,
    list_weights,
    load_example_crystals,
    load_pretrained,
)
from ssatom.embeddings import near_constant_columns
from ssatom.embeddings.pooling import POOLINGS
from ssatom.weights import DEFAULT_WEIGHTS, random_weights

POOLED = tuple(name for name in POOLINGS if name != "sum")


@pytest.fixture(scope="module")
def examples() -> list[Structure]:
    return list(load_example_crystals()["structure"])


def draws(n_rows: int, n_draws: int, seed: int = 0) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    return (rng.choice(n_rows, 80, replace=False) for _ in range(n_draws))


@pytest.mark.parametrize("name", list_weights())
def test_no_crystal_is_far_off_when_80_others_set_the_scale(
    name: str, examples: list[Structure]
) -> None:
    """All poolings and layers together: each column is scaled on its own."""
    layers = range(load_pretrained(name).n_layers)
    featurizer = GraphEmbeddingFeaturizer(layers, name, pooling=POOLED)
    X = featurizer.fit_transform(examples)
    assert X.shape[1] == len(set(featurizer.get_feature_names_out()))
    for rows in draws(len(X), 30):
        assert np.ptp(X[rows], axis=0).min() > 0
        scaled = StandardScaler().fit(X[rows]).transform(X)
        assert np.abs(scaled).max() < 200  # 1,000 is the bound over any crystals


@pytest.mark.parametrize("name", list_weights())
def test_no_site_is_far_off(name: str, examples: list[Structure]) -> None:
    pairs = [(structure, i) for structure in examples for i in {0, len(structure) - 1}]
    X = SelfSupervisedSiteFeaturizer("012", name).fit_transform(pairs)
    for rows in draws(len(X), 30):
        assert np.abs(StandardScaler().fit(X[rows]).transform(X)).max() < 200


def test_no_crystal_is_far_off_by_its_electrons(examples: list[Structure]) -> None:
    X = ElectronicFeaturizer().fit_transform(examples)
    for rows in draws(len(X), 30):
        assert np.ptp(X[rows], axis=0).min() > 0
        assert np.abs(StandardScaler().fit(X[rows]).transform(X)).max() < 100
    X = ElectronicFeaturizer(POOLED).fit_transform(examples)
    for rows in draws(len(X), 30):
        assert np.abs(StandardScaler().fit(X[rows]).transform(X)).max() < 200


@pytest.mark.parametrize("layers", ["0", "1", "012", "123", "electrons"])
def test_no_column_comes_twice(layers: str, examples: list[Structure]) -> None:
    pooling = ("mean", "std")
    of_electrons = ElectronicFeaturizer(pooling)
    featurizer = GraphEmbeddingFeaturizer(layers, pooling=pooling)
    X = (of_electrons if layers == "electrons" else featurizer).fit_transform(examples)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    correlation = np.abs(X.T @ X / len(X))
    np.fill_diagonal(correlation, 0)
    assert correlation.max() < 1 - 1e-6


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "model",
    [
        Ridge(),
        KernelRidge(kernel="laplacian"),
        pytest.param(MLPRegressor(random_state=0), marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("pooling", ["mean", "min", ("mean", "std")])
def test_models_after_a_scaler_predict_no_nonsense(
    model: object, pooling: str | tuple[str, ...]
) -> None:
    table = load_example_crystals().dropna(subset="bulk_modulus_GPa")
    X = GraphEmbeddingFeaturizer(pooling=pooling).fit_transform(table["structure"])
    y = table["bulk_modulus_GPa"].to_numpy()
    pipeline = make_pipeline(StandardScaler(), model)
    for seed, rows in enumerate(draws(len(y), 12)):
        folds = KFold(5, shuffle=True, random_state=seed)
        assert cross_val_score(pipeline, X[rows], y[rows], cv=folds).min() > -1


def test_units_come_once_where_a_layer_sees_neighbors() -> None:
    def names(layers: str) -> list[str]:
        return GraphEmbeddingFeaturizer(layers).feature_labels()

    assert len(names("0")) == 128
    assert not any("radial" in name or "directional" in name for name in names("0"))
    assert sum("radial" in name for name in names("0123")) == 18
    assert sum("directional" in name for name in names("0123")) == 160
    assert names("10")[:1] + names("10")[128:129] + names("10")[-1:] == [
        "ssatom_L1_000",
        "ssatom_L0_000",
        "ssatom_directional_159",
    ]


def test_columns_of_two_sets_are_told_apart() -> None:
    names = [GraphEmbeddingFeaturizer("01", w).feature_labels() for w in (None, *list_weights())]
    assert names[0] == names[1 + list_weights().index(DEFAULT_WEIGHTS)]
    assert len(set().union(*names)) == sum(map(len, names[1:]))


def test_names_are_those_of_their_numbers(examples: list[Structure]) -> None:
    """Each feature against the states of the layer and the unit that its name tells of."""
    weights = load_pretrained()
    few = examples[:20]
    featurizer = GraphEmbeddingFeaturizer("210", pooling=("mean", "min"))
    frame = featurizer.set_output(transform="pandas").fit_transform(few)
    sites = SelfSupervisedSiteFeaturizer("012").set_output(transform="pandas")
    for row, structure in enumerate(few):
        own = sites.fit_transform([(structure, i) for i in range(len(structure))])
        for name in ("L0_mean_007", "L2_mean_100", "radial_mean_004", "L1_min_033"):
            block, pooling, unit = name.split("_")
            column = own[f"ssatom_{block}_{unit}"]
            assert frame[f"ssatom_{name}"].iloc[row] == pytest.approx(
                getattr(column, pooling)(), rel=1e-5, abs=1e-6
            )
    left_out = set(weights.near_constant("min"))
    assert len(frame.columns) == 2 * 562 - len(left_out & set(weights.columns([2, 1, 0])))
    assert left_out


def test_constant_and_rarely_active_columns_are_found(examples: list[Structure]) -> None:
    """A unit that no crystal moves, and one that few do."""
    weights = random_weights(3)
    state = {key: tensor.clone() for key, tensor in weights.encoder.state_dict().items()}
    encoder = type(weights.encoder)(weights.encoder.config).eval()
    encoder.load_state_dict(state)
    encoder.norms[0].weight.data[5] = 0
    encoder.norms[1].bias.data[9] -= 42
    graphs = CrystalGraphConverter(weights.graph_config).convert(examples)
    damaged = type(weights)("", encoder, weights.graph_config, weights.element_features, "")
    found = near_constant_columns(damaged, graphs)
    assert {64 + 5} <= set(found["mean"])
    assert set(found) >= {"sites", "mean", "max", "min", "std", "anion", "cation"}


@pytest.mark.parametrize(
    ("symbols", "factor", "words"),
    [
        (["Po"], 0.1, "site 0 (Po) and its own periodic image are 0.335 Å apart"),
        (["Po"], 0.2, "0.67 Å apart, and atoms that near overlap; correct the lattice"),
        (["Cs", "Cl"], 0.1, "0.412 Å apart, and atoms that near overlap; correct the lattice"),
    ],
)
def test_cells_that_cannot_be_are_refused(symbols: list[str], factor: float, words: str) -> None:
    a = {1: 3.35, 2: 4.123}[len(symbols)]
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]][: len(symbols)]
    crystal = Structure(Lattice.cubic(a * factor), symbols, sites)
    with pytest.raises(StructureError) as caught:
        GraphEmbeddingFeaturizer().transform([crystal])
    assert words in str(caught.value)


def test_bonds_shorter_than_bonds_are_told() -> None:
    pressed = Structure(Lattice.cubic(3.35 * 0.4), ["Po"], [[0, 0, 0]])
    for _ in range(2):  # from the cache too
        with pytest.warns(GraphWarning, match="nearer than 0.6 times the sum") as caught:
            GraphEmbeddingFeaturizer().transform([pressed, pressed.copy()])
        assert [warning.message.rows for warning in caught] == [(0, 1)]


@pytest.mark.filterwarnings("error::ssatom.GraphWarning")
@pytest.mark.parametrize(
    ("symbols", "length"), [("HH", 0.741), ("NN", 1.098), ("HF", 0.917), ("CO", 1.128)]
)
def test_short_bonds_that_exist_pass(symbols: str, length: float) -> None:
    cell = Structure(
        Lattice.cubic(4.0), list(symbols), [[0, 0, 0], [0, 0, length]], coords_are_cartesian=True
    )
    assert np.isfinite(GraphEmbeddingFeaturizer().fit_transform([cell])).all()
