"""The benchmark measures what it says."""

from __future__ import annotations

import json
import time

import pytest

from ssatom.evaluation import benchmark
from ssatom.evaluation.benchmark import run_benchmark
from ssatom.featurizers import GraphEmbeddingFeaturizer


@pytest.fixture(scope="module")
def results():
    return run_benchmark(n_structures=12)


def test_ratios_follow_from_the_times(results):
    assert results["embedding_over_neighbor_search"] == pytest.approx(
        results["embedding_ms_per_structure"] / results["neighbor_search_ms_per_structure"]
    )
    assert results["ofm_over_embedding_one_core"] == pytest.approx(
        results["ofm_ms_per_structure"] / results["embedding_one_core_ms_per_structure"]
    )
    assert results["grid_search_over_transform"] == pytest.approx(
        results["grid_search_featurizing_s"] / results["one_transform_s"]
    )


def test_results_name_what_they_were_taken_on_and_go_into_json(results):
    kept = json.loads(json.dumps(results))
    assert kept["data"] == "example crystals"
    assert kept["n_structures"] == 12
    assert kept["pretraining_precision"] in ("float32", "bfloat16")


def test_examples_are_strained_rather_than_repeated():
    structures = benchmark._first(None, 500)
    assert len(structures) == 500
    assert structures[402].volume > structures[0].volume


def test_timed_featurizing_counts_transforms_alone_and_restores():
    original = GraphEmbeddingFeaturizer.transform
    featurizer = GraphEmbeddingFeaturizer(layers="0", weights="random")
    structures = benchmark._first(None, 2)
    with benchmark._TimedFeaturizing() as timed:
        time.sleep(0.05)
        assert timed.seconds == 0
        featurizer.transform(structures)
    assert timed.seconds > 0
    assert GraphEmbeddingFeaturizer.transform is original
