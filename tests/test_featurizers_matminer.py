"""matminer's contract, each check once for every public featurizer."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from featurizer_cases import CASES, Case, alloy, crystals, overlapping
from matminer.featurizers import base
from matminer.featurizers.base import BaseFeaturizer, MultipleFeaturizer
from matminer.featurizers.structure import DensityFeatures, SiteStatsFingerprint
from numpy.testing import assert_allclose, assert_array_equal
from pymatgen.core import Lattice, Structure

from ssatom import GraphEmbeddingFeaturizer
from ssatom.exceptions import ParameterError, StructureError
from ssatom.weights import list_weights


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def no_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where matminer would start its pool of processes."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("matminer's pool was started")

    monkeypatch.setattr(base, "Pool", refuse)


def entry(case: Case, row: Any) -> tuple[Any, ...]:
    """Arguments of `featurize`."""
    return row if case.sites else (row,)


def test_is_a_featurizer_of_matminer(case: Case) -> None:
    assert isinstance(case.make(), BaseFeaturizer)
    assert case.cls.__mro__.count(BaseFeaturizer) == 1


def test_featurize_gives_the_row_as_a_list(case: Case) -> None:
    for row, features in zip(case.rows(), case.make().transform(case.rows()), strict=True):
        values = case.make().featurize(*entry(case, row))
        assert type(values) is list
        assert {type(value) for value in values} == {float}
        assert_allclose(values, features, 1e-5, 1e-6)


def test_featurize_raises_for_a_bad_entry(case: Case) -> None:
    with pytest.raises(StructureError, match="partial occupancy"):
        case.make().featurize(*entry(case, case.row(alloy())))


def test_featurize_follows_errors_nan(case: Case) -> None:
    with pytest.warns(UserWarning, match="1 row of NaN"):
        values = case.make(errors="nan").featurize(*entry(case, case.row(alloy())))
    assert np.isnan(values).all()


def test_featurize_says_what_is_missing() -> None:
    with pytest.raises(StructureError, match="pair"):
        CASES["site"].make().featurize(crystals()[0])
    with pytest.raises(StructureError, match="pair"):
        CASES["graph"].make().featurize(crystals()[0], 0)


def test_featurize_many_gives_lists(case: Case, no_pool: None) -> None:
    features = case.make().featurize_many(case.rows(), pbar=False)
    assert type(features) is list
    assert {type(row) for row in features} == {list}
    assert_array_equal(np.float32(features), case.make().transform(case.rows()))


def test_featurize_many_takes_what_matminer_takes(case: Case, no_pool: None) -> None:
    frame = case.frame()
    containers = [
        tuple(case.rows()),
        frame,
        frame.to_numpy(),
        [entry(case, row) for row in case.rows()],
        (row for row in case.rows()),
    ]
    if not case.sites:
        containers.append(frame["structure"])
    features = case.make().transform(case.rows())
    for container in containers:
        assert_array_equal(case.make().featurize_many(container, pbar=False), features)


def test_featurize_many_of_nothing_is_empty(case: Case) -> None:
    assert case.make().featurize_many([], pbar=False) == []


def test_featurize_many_ignores_errors(case: Case, no_pool: None) -> None:
    rows = [case.row(alloy()), *case.rows()]
    features = case.make().featurize_many(rows, ignore_errors=True, pbar=False)
    assert np.isnan(features[0]).all()
    assert np.isfinite(features[1:]).all()
    with pytest.raises(StructureError, match=r"\[0\]"):
        case.make().featurize_many(rows, pbar=False)


def test_featurize_many_returns_errors(case: Case) -> None:
    rows = [case.row(alloy()), *case.rows()]
    features = case.make().featurize_many(rows, ignore_errors=True, return_errors=True, pbar=False)
    assert features[0][-1].startswith("StructureError: ")
    assert all(math.isnan(row[-1]) for row in features[1:])
    assert {len(row) for row in features} == {len(case.make().feature_labels()) + 1}


def test_return_errors_needs_ignore_errors(case: Case) -> None:
    with pytest.raises(ParameterError, match="ignore_errors=True"):
        case.make().featurize_many(case.rows(), return_errors=True)


def test_progress_bar(
    case: Case, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssatom.progress._is_watched", lambda: True)
    case.make().featurize_many(case.rows(), pbar=False)
    assert capsys.readouterr().err == ""
    case.make().featurize_many(case.rows(), pbar={"desc": "crystals"})
    shown = capsys.readouterr().err
    assert "crystals" in shown
    assert "4/4" in shown


def test_featurize_dataframe(case: Case, no_pool: None) -> None:
    frame = case.frame()
    columns: list[Any] = [case.columns()] if case.sites else ["structure", ["structure"]]
    for col_id in columns:
        featurized = case.make().featurize_dataframe(frame, col_id, pbar=False)
        assert list(featurized.columns) == [*case.columns(), *case.make().feature_labels()]
        assert list(featurized.index) == list(frame.index)
        features = featurized[case.make().feature_labels()].to_numpy()
        assert_array_equal(features, case.make().transform(case.rows()))
    assert list(frame.columns) == case.columns()


@pytest.mark.filterwarnings("ignore::pandas.errors.PerformanceWarning")  # of matminer's assignment
def test_featurize_dataframe_in_place(case: Case, no_pool: None) -> None:
    frame = case.frame()
    assert case.make().featurize_dataframe(frame, case.columns(), inplace=True, pbar=False) is None
    assert list(frame.columns) == [*case.columns(), *case.make().feature_labels()]


def test_featurize_dataframe_with_two_levels_of_columns(case: Case, no_pool: None) -> None:
    frame = case.make().featurize_dataframe(
        case.frame(), case.columns(), multiindex=True, pbar=False
    )
    features = frame[case.cls.__name__]
    assert list(features.columns) == case.make().feature_labels()
    assert_array_equal(features.to_numpy(), case.make().transform(case.rows()))


def test_featurize_dataframe_with_errors(case: Case, no_pool: None) -> None:
    frame = case.frame()
    frame.at["row 1", "structure"] = alloy()
    frame["site_index"] = 0
    with pytest.raises(StructureError, match=r"\[1\] \(Fe0.5Co0.5\)"):
        case.make().featurize_dataframe(frame, case.columns(), pbar=False)
    for _ in range(2):  # labels that matminer appended to must not come back
        featurized = case.make().featurize_dataframe(
            frame, case.columns(), ignore_errors=True, return_errors=True, pbar=False
        )
        reasons = featurized.pop(f"{case.cls.__name__} Exceptions")
        assert list(reasons.isna()) == [True, False, True, True]
        assert "partial occupancy" in reasons["row 1"]
        assert featurized[case.make().feature_labels()].isna().to_numpy().sum() == len(
            case.make().feature_labels()
        )


def test_featurize_dataframe_keeps_columns_that_are_there(case: Case) -> None:
    featurized = case.make().featurize_dataframe(case.frame(), case.columns(), pbar=False)
    with pytest.raises(ValueError, match="exists in input dataframe"):
        case.make().featurize_dataframe(featurized, case.columns(), pbar=False)


def test_fit_featurize_dataframe(case: Case) -> None:
    frame = case.make().fit_featurize_dataframe(case.frame(), case.columns(), pbar=False)
    assert frame.shape == (4, len(case.columns()) + len(case.make().feature_labels()))


def test_precheck(case: Case) -> None:
    frame = case.frame()
    frame.at["row 1", "structure"] = alloy()
    frame["site_index"] = 0
    assert case.make().precheck(*entry(case, case.rows()[0]))
    assert case.make().precheck_dataframe(frame, case.columns()) == 0.75


@pytest.mark.skipif(not list_weights(), reason="needs shipped weights")
def test_what_shipped_weights_learned_from_is_cited() -> None:
    cited = "".join(GraphEmbeddingFeaturizer().citations())
    assert "10.1063/1.4812323" in cited
    assert "10.1038/npjcompumats.2016.28" in cited
    assert "2016" not in "".join(GraphEmbeddingFeaturizer(weights="cgcnn-64x5-mp").citations())
    assert len(GraphEmbeddingFeaturizer(weights="random").citations()) == 2


def test_citations_are_bibtex_and_fresh(case: Case) -> None:
    citations = case.make().citations()
    assert citations
    for citation in citations:
        assert citation.startswith(("@article{", "@book{"))
        assert citation.count("{") == citation.count("}")
    citations.clear()
    assert case.make().citations()


def test_implementors_are_names(case: Case) -> None:
    assert case.make().implementors()
    assert all(isinstance(name, str) for name in case.make().implementors())


def test_setting_jobs_does_no_harm(case: Case, no_pool: None) -> None:
    featurizer = case.make()
    featurizer.set_n_jobs(4)
    featurizer.set_chunksize(2)
    assert featurizer.n_jobs == 1
    assert featurizer.get_params() == case.make().get_params()
    assert len(featurizer.featurize_many(case.rows(), pbar=False)) == 4


@pytest.mark.parametrize("iterate_over_entries", [True, False])
def test_multiple_featurizer(case: Case, iterate_over_entries: bool, no_pool: None) -> None:
    one, other = case.make(), case.make(**case.changed)
    both = MultipleFeaturizer([one], iterate_over_entries=iterate_over_entries)
    both.set_n_jobs(1)
    features = both.featurize_dataframe(case.frame(), case.columns(), pbar=False)
    assert list(features.columns) == [*case.columns(), *one.feature_labels()]
    both = MultipleFeaturizer([one, other], iterate_over_entries=iterate_over_entries)
    both.set_n_jobs(1)
    rows = both.featurize_many(case.rows(), pbar=False)
    parts = [featurizer.transform(case.rows()) for featurizer in (one, other)]
    assert_allclose(rows, np.hstack(parts), 1e-5, 1e-6)


@pytest.mark.parametrize("iterate_over_entries", [True, False])
def test_multiple_featurizer_beside_one_of_matminer(iterate_over_entries: bool) -> None:
    both = MultipleFeaturizer([CASES["graph"].make(), DensityFeatures()], iterate_over_entries)
    both.set_n_jobs(1)
    frame = CASES["graph"].frame()
    frame.at["row 1", "structure"] = overlapping()
    frame = both.featurize_dataframe(
        frame, "structure", ignore_errors=True, return_errors=True, pbar=False
    )
    assert list(frame["ssatom_random-0_L0_000"].isna()) == [False, True, False, False]
    assert not frame["density"].isna().any()
    assert "overlap" in frame.loc["row 1", "GraphEmbeddingFeaturizer Exceptions"]


@pytest.mark.parametrize("name", ["site", "ofm-site"])
def test_statistics_over_sites(name: str) -> None:
    site = CASES[name].make()
    statistics = SiteStatsFingerprint(site, stats=("mean", "std_dev"))
    statistics.set_n_jobs(1)
    assert statistics.feature_labels()[0] == f"mean {site.feature_labels()[0]}"
    features = np.array(statistics.featurize_many(crystals(), pbar=False))
    for structure, row in zip(crystals(), features, strict=True):
        sites = site.transform([(structure, i) for i in range(len(structure))])
        assert_allclose(row[::2], sites.mean(axis=0), 1e-4, 1e-5)
        assert_allclose(row[1::2], sites.std(axis=0), 1e-4, 1e-5)


def test_mean_over_sites_is_the_mean_pooling() -> None:
    statistics = SiteStatsFingerprint(CASES["site"].make(layers="012"), stats="mean")
    statistics.set_n_jobs(1)
    graph = GraphEmbeddingFeaturizer(layers="012", weights="random").transform(crystals())
    assert_allclose(statistics.featurize_many(crystals(), pbar=False), graph, 1e-4, 1e-5)


@pytest.mark.slow
def test_pool_of_matminer_does_not_hang() -> None:
    # By default matminer forks for a MultipleFeaturizer, after torch has started threads here.
    program = """
        import numpy as np
        from featurizer_cases import CASES
        from matminer.featurizers.base import MultipleFeaturizer
        from ssatom.embeddings import clear_cache
        case = CASES["graph"]
        rows = [row * [4, 4, 4] for row in case.rows(8)]
        expected = case.make().transform(rows)
        clear_cache()  # so that the forks have to compute
        both = MultipleFeaturizer([case.make(), case.make()])
        both.set_n_jobs(2)
        features = both.featurize_many(rows, pbar=False)
        assert np.allclose(np.array(features)[:, :192], expected, 1e-4, 1e-4)
    """
    path = os.pathsep.join([str(Path(__file__).parent), os.environ["PYTHONPATH"]])
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": path},
        timeout=100,
        check=True,
    )


def test_single_entries_are_named_by_their_formula_alone() -> None:
    argon = Structure(Lattice.cubic(3.0), ["Ar"], [[0, 0, 0]])
    with pytest.raises(StructureError, match=r"^structure \(Ar\): site index 4 ") as caught:
        CASES["site"].make().featurize(argon, 4)
    assert caught.value.row is None
    with pytest.raises(StructureError, match=r"^sites\[0\] \(Ar\): site index 4 "):
        CASES["site"].make().transform([(argon, 4)])
