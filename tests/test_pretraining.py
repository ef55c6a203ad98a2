"""Pretraining on 144 tiny crystals with a tiny encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Lattice, Structure

from ssatom import (
    GraphEmbeddingFeaturizer,
    MaskedPretrainer,
    load_pretrained,
    site_embeddings,
)
from ssatom.exceptions import GraphWarning, ParameterError, SsatomError, StructureError
from ssatom.graph import GraphConfig
from ssatom.pretraining.corpus import split
from ssatom.pretraining.initial import new_encoder
from ssatom.tasks import GroupTask, PeriodTask

TINY = {
    "hidden_dim": 8,
    "n_conv": 2,
    "max_epochs": 3,
    "batch_size": 32,
    "learning_rate": 0.01,
    "precision": "float32",
    "device": "cpu",
    "progress_bar": False,
}
DISORDERED = Structure(Lattice.cubic(2.9), [{"Fe": 0.5, "Co": 0.5}], [[0, 0, 0]])
OVERLAPPING = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.01, 0, 0]])


def pretrain(structures: object, y: None = None, **settings: object) -> MaskedPretrainer:
    return MaskedPretrainer(**{**TINY, **settings}).fit(structures, y)


def assert_same_run(first: MaskedPretrainer, second: MaskedPretrainer) -> None:
    pd.testing.assert_frame_equal(first.history_, second.history_, check_exact=True)
    mine, other = first.encoder_.state_dict(), second.encoder_.state_dict()
    assert all(torch.equal(mine[name], other[name]) for name in mine)


@pytest.fixture(scope="module")
def trained(corpus: list[Structure]) -> MaskedPretrainer:
    return pretrain(corpus, max_epochs=12, patience=None, validation_fraction=0.2)


@pytest.fixture(scope="module")
def begun(corpus: list[Structure], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run of one epoch."""
    folder = tmp_path_factory.mktemp("begun")
    pretrain(corpus, time_budget=1e-3, checkpoint_dir=folder)
    return folder


# It learns -------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["period", "group", "distance"])
@pytest.mark.parametrize("stage", ["train", "validation"])
def test_every_loss_falls(trained: MaskedPretrainer, stage: str, task: str) -> None:
    loss = trained.history_[f"{stage}_{task}_loss"]
    assert loss.iloc[-3:].mean() < 0.9 * loss.iloc[0]


def test_history(trained: MaskedPretrainer) -> None:
    history = trained.history_
    tasks = ("period", "group", "distance")
    expected = {"epoch", "learning_rate", "train_loss", "validation_loss"} | {
        f"{stage}_{task}_{what}"
        for stage in ("train", "validation")
        for task in tasks
        for what in ("loss", "accuracy")
    }
    assert expected <= set(history) <= expected | {"loss"}
    assert history["epoch"].tolist() == list(range(1, 13))
    for stage in ("train", "validation"):
        total = sum(history[f"{stage}_{task}_loss"] for task in tasks)
        np.testing.assert_allclose(history[f"{stage}_loss"], total, rtol=1e-5)
        accuracies = history[[f"{stage}_{task}_accuracy" for task in tasks]]
        assert accuracies.min(axis=None) >= 0
        assert accuracies.max(axis=None) <= 1


def test_first_losses_are_those_of_a_guess(corpus: list[Structure]) -> None:
    """Before it learned anything: about the logarithm of the number of classes."""
    history = pretrain(corpus, max_epochs=1, learning_rate=1e-6).history_
    for task, n_classes in (("period", 9), ("group", 18), ("distance", 41)):
        assert history[f"train_{task}_loss"][0] == pytest.approx(np.log(n_classes), abs=0.8)


def test_tasks_may_be_chosen(corpus: list[Structure]) -> None:
    history = pretrain(corpus, tasks=[GroupTask()], max_epochs=1).history_
    assert {c for c in history if c.endswith("accuracy")} == {
        "train_group_accuracy",
        "validation_group_accuracy",
    }


def test_losses_are_weighed(corpus: list[Structure]) -> None:
    plain = pretrain(corpus, tasks="period,group", max_epochs=1).history_
    weighed = pretrain(corpus, tasks=["period", "group(weight=0.5)"], max_epochs=1).history_
    for stage in ("train", "validation"):
        for history, weight in ((plain, 1.0), (weighed, 0.5)):
            total = history[f"{stage}_period_loss"] + weight * history[f"{stage}_group_loss"]
            np.testing.assert_allclose(history[f"{stage}_loss"], total, rtol=1e-5)


SMOOTH = {"neighbors": "smooth", "cutoff": 4.5}


@pytest.mark.parametrize("graphs", [{}, SMOOTH], ids=["nearest", "smooth"])
def test_every_loss_falls_under_other_tasks(corpus: list[Structure], graphs: dict) -> None:
    tasks = "element,denoise,radial,angles,density,crystal_system"
    settings = {"tasks": tasks, **graphs, "batch_size": 8}
    history = pretrain(corpus[:72], max_epochs=8, learning_rate=0.02, **settings).history_
    for task in tasks.split(","):
        bound = 0.95 if task == "denoise" else 0.85
        loss = history[f"train_{task}_loss"]
        assert loss.iloc[-3:].mean() < bound * loss[0], task


def test_targets_are_kept_with_the_graphs(corpus: list[Structure], tmp_path: Path) -> None:
    """From memory or from files, of a run of its own or one that goes on: the same numbers."""
    settings = {"tasks": "radial,density,denoise", "max_epochs": 2, "decay_fraction": 0.0}
    whole = pretrain(corpus, **settings)
    for epochs in (1, 2):
        cut = pretrain(corpus, **{**settings, "max_epochs": epochs}, checkpoint_dir=tmp_path)
    assert_same_run(whole, cut)
    names = {path.name for path in (tmp_path / "graphs").iterdir()}
    assert {"targets_radial.bin", "targets_density.bin", "directions.bin"} <= names


def test_bfloat16(corpus: list[Structure]) -> None:
    rough = pretrain(corpus, precision="bfloat16").history_
    exact = pretrain(corpus).history_
    assert not rough.equals(exact)
    np.testing.assert_allclose(rough["train_loss"], exact["train_loss"], rtol=0.05)


# It repeats ------------------------------------------------------------------------------------


def test_same_seed_same_numbers(corpus: list[Structure]) -> None:
    torch.manual_seed(1)
    first = pretrain(corpus, random_state=3)
    torch.manual_seed(2)
    assert_same_run(first, pretrain(iter(corpus), random_state=3))
    other = pretrain(corpus, random_state=4)
    assert not first.history_.equals(other.history_)


def test_nothing_is_learned_from_radial_units(corpus: list[Structure], tmp_path: Path) -> None:
    """Tensors are those of a run without them; what is handed out is longer, and told apart."""
    plain, longer = (pretrain(corpus[:40], radial_units=n) for n in (0, 5))
    assert_same_run(plain, longer)
    saved = [load_pretrained(p.save(tmp_path / n)) for p, n in ((plain, "plain"), (longer, "long"))]
    assert saved[0].sha256 != saved[1].sha256
    short, long = (site_embeddings(corpus[:9], "012", weights) for weights in saved)
    for a, b in zip(short, long, strict=True):
        assert np.array_equal(a, b[:, :-5])
        assert (b[:, -5:] > 0).any()
    names = GraphEmbeddingFeaturizer("12", weights=saved[1]).fit(corpus[:9]).get_feature_names_out()
    assert len(names) == 2 * 8 + 5
    start = f"ssatom_long-{saved[1].sha256[:6]}_"
    assert [names[0], names[-1]] == [f"{start}L1_000", f"{start}radial_004"]


def test_global_random_state_is_left_alone(corpus: list[Structure]) -> None:
    before = torch.get_rng_state()
    pretrain(corpus, max_epochs=1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_resumed_run_is_the_uninterrupted_one(
    corpus: list[Structure], tmp_path: Path, dropout: float
) -> None:
    settings = {"dropout": dropout, "decay_fraction": 0.0}
    whole = pretrain(corpus, max_epochs=5, **settings)
    for epochs in (2, 5):
        resumed = pretrain(corpus, max_epochs=epochs, **settings, checkpoint_dir=tmp_path)
    assert_same_run(resumed, whole)


def test_learning_rate_falls_over_the_last_epochs(corpus: list[Structure]) -> None:
    history = pretrain(corpus, max_epochs=4, decay_fraction=0.5).history_
    assert history["learning_rate"].tolist() == pytest.approx([0.01, 0.01, 0.02 / 3, 0.01 / 3])


def test_falling_rate_resumes_exactly(corpus: list[Structure], tmp_path: Path) -> None:
    settings = {"max_epochs": 4, "decay_fraction": 0.5}
    whole = pretrain(corpus, **settings)
    pretrain(corpus, **settings, checkpoint_dir=tmp_path, time_budget=1e-3)
    assert_same_run(pretrain(corpus, **settings, checkpoint_dir=tmp_path), whole)


def test_other_structures_under_the_same_name_are_refused(
    corpus: list[Structure], tmp_path: Path
) -> None:
    pretrain(corpus, max_epochs=1, checkpoint_dir=tmp_path)
    with pytest.raises(ParameterError, match="graphs of other structures"):
        pretrain(corpus[1:], max_epochs=1, checkpoint_dir=tmp_path)
    with pytest.raises(ParameterError, match="graphs of other structures"):
        pretrain(corpus[:-1], max_epochs=1, checkpoint_dir=tmp_path)  # the same but the last
    again = pretrain(iter(corpus), max_epochs=1, checkpoint_dir=tmp_path)
    assert again.n_structures_ == len(corpus)


def test_resumed_run_reads_its_graphs_from_disk(corpus: list[Structure], tmp_path: Path) -> None:
    first = pretrain(corpus, checkpoint_dir=tmp_path)
    again = pretrain(corpus, checkpoint_dir=tmp_path)
    assert_same_run(first, again)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "best.ckpt", "graphs", "last.ckpt", "settings.json"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"mask_fraction": 0.3}, "mask_fraction was 0.15 and is 0.3;"),
        ({"random_state": 1}, "random_state was 0 and is 1;"),
        ({"max_epochs": 2}, "max_epochs was 3 and is 2;"),
        (
            {"tasks": [PeriodTask(), GroupTask()]},
            r"tasks was \['period', 'group', 'distance'\] and",
        ),
        ({"hidden_dim": 16}, "hidden_dim was 8 and is 16;"),
        ({"dropout": 0.1}, "dropout was 0.0 and is 0.1;"),
        ({"cutoff": 6.0}, "cutoff was 8.0 and is 6.0;"),
    ],
)
def test_folder_of_another_recipe_is_refused(
    corpus: list[Structure], begun: Path, change: dict, what: str
) -> None:
    before = {path: path.read_bytes() for path in begun.rglob("*.*")}
    with pytest.raises(ParameterError, match=f"holds another run: {what}"):
        pretrain(corpus, checkpoint_dir=begun, **change)
    assert {path: path.read_bytes() for path in begun.rglob("*.*")} == before


def test_folder_of_another_corpus_is_refused(corpus: list[Structure], tmp_path: Path) -> None:
    MaskedPretrainer(**TINY, checkpoint_dir=tmp_path).fit(corpus, corpus="mine")
    with pytest.raises(ParameterError, match="corpus was 'mine' and is 'yours'"):
        MaskedPretrainer(**TINY, checkpoint_dir=tmp_path).fit(corpus, corpus="yours")


def test_longer_and_more_patient_is_the_same_run(corpus: list[Structure], tmp_path: Path) -> None:
    settings = {"decay_fraction": 0.0, "checkpoint_dir": tmp_path}
    pretrain(corpus, **settings)
    more = pretrain(corpus, max_epochs=4, patience=None, min_delta=0.0, **settings)
    assert len(more.history_) == 4


def test_longer_is_another_run_where_the_rate_falls(
    corpus: list[Structure], tmp_path: Path
) -> None:
    pretrain(corpus, checkpoint_dir=tmp_path)
    with pytest.raises(ParameterError, match="max_epochs was 3 and is 4; give another folder"):
        pretrain(corpus, max_epochs=4, checkpoint_dir=tmp_path)
    (tmp_path / "settings.json").write_text("")  # cut while writing, by an older version
    with pytest.raises(ParameterError, match=r"settings\.json cannot be read; remove the folder"):
        pretrain(corpus, checkpoint_dir=tmp_path)


def test_numpy_numbers_are_numbers(corpus: list[Structure], tmp_path: Path) -> None:
    settings = {"batch_size": np.int64(8), "learning_rate": np.float32(0.5)}
    first = pretrain(corpus, **settings, checkpoint_dir=tmp_path / "run")
    recipe = (first.save(tmp_path / "weights") / "recipe.toml").read_text()
    assert "batch_size = 8\n" in recipe
    again = pretrain(corpus, batch_size=8, learning_rate=0.5, checkpoint_dir=tmp_path / "run")
    assert_same_run(again, first)


# What goes in ----------------------------------------------------------------------------------


def test_bad_rows_are_left_out_with_one_warning(corpus: list[Structure]) -> None:
    rows = [*corpus[:20], None, *corpus[20:40], DISORDERED, OVERLAPPING, "nowhere.cif"]
    with pytest.warns(UserWarning, match="4 structures were left out: ") as caught:
        mixed = pretrain(rows)
    caught = [w for w in caught if "left out" in str(w.message)]
    assert len(caught) == 1
    assert caught[0].filename == __file__  # the line that called fit
    message = str(caught[0].message)
    for part in ("structures[20]", "structures[41]", "structures[42]", "nowhere.cif"):
        assert part in message
    assert mixed.n_structures_ == 40
    assert_same_run(mixed, pretrain(corpus[:40]))


def test_many_bad_rows_give_a_short_message(corpus: list[Structure]) -> None:
    with pytest.warns(UserWarning, match="30 structures were left out") as caught:
        pretrain([*corpus[:10], *[None] * 30], max_epochs=1)
    assert len(str(caught[0].message)) < 1000


def test_no_usable_row() -> None:
    with pytest.raises(ParameterError, match=r"no usable structure.*partial occupancy"):
        pretrain([DISORDERED])


def test_one_structure_is_too_few(corpus: list[Structure]) -> None:
    with pytest.raises(ParameterError, match="1 structures are too few"):
        pretrain(corpus[:1])


def test_one_structure_where_a_list_belongs(corpus: list[Structure]) -> None:
    with pytest.raises(StructureError, match="where a list belongs"):
        pretrain(corpus[0])


def test_isolated_atoms_are_told_once(
    corpus: list[Structure], crystals: dict[str, Structure]
) -> None:
    rows = [*corpus[:20], crystals["argon"], crystals["water"]]
    with pytest.warns(GraphWarning, match="some sites have no neighbour") as caught:
        assert pretrain(rows, max_epochs=1).n_structures_ == 22
    isolated = [w.message for w in caught if "no neighbour" in str(w.message)]
    assert len(isolated) == 1
    assert 20 in isolated[0].rows


def test_labels_never_enter(corpus: list[Structure]) -> None:
    """Neither as y nor as what a structure carries along."""
    labelled = []
    for i, structure in enumerate(corpus):
        copy = structure.copy(site_properties={"moment": [float(i)] * len(structure)})
        copy.properties = {"band_gap": float(i)}
        labelled.append(copy)
    labels = np.arange(len(corpus))
    plain = pretrain(corpus, max_epochs=2)
    assert_same_run(plain, pretrain(labelled, labels, max_epochs=2))


def test_split_is_a_partition() -> None:
    training, validation = split(100, 0.05, seed=0)
    assert (len(training), len(validation)) == (95, 5)
    assert sorted([*training, *validation]) == list(range(100))
    assert split(100, 0.05, seed=1)[1].tolist() != validation.tolist()
    assert [len(part) for part in split(2, 0.05, seed=0)] == [1, 1]


# Settings that are wrong are said at once --------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": []}, "tasks must be at least one"),
        ({"tasks": "colour"}, "no 'colour'; allowed"),
        ({"tasks": [GroupTask(), GroupTask()]}, "different names"),
        ({"mask_fraction": 1.5}, "mask_fraction=1.5"),
        ({"hidden_edge_fraction": -1}, "hidden_edge_fraction=-1"),
        ({"hidden_dim": 0}, "hidden_dim=0"),
        ({"n_conv": 0}, "n_conv=0"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"precision": "half"}, "precision='half'"),
        ({"max_epochs": 0}, "max_epochs=0"),
        ({"patience": -1}, "patience=-1"),
        ({"n_structures": 3}, "n_structures=3 needs the number of all structures"),
        ({"cutoff": float("nan")}, "cutoff=nan must be a positive number"),
        ({"batch_size": 2.5}, "batch_size=2.5 must be a whole number of at least 1"),
        ({"residual": "yes"}, "residual='yes' is unknown; allowed: True, False"),
        ({"max_neighbors": 20, "neighbors": "smooth"}, "no meaning"),
        ({"tasks": GroupTask}, "the class itself; call it"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"learning_rate": 0}, "learning_rate=0"),
        ({"min_delta": -1.0}, "min_delta=-1.0"),
        ({"validation_fraction": 0.0}, "validation_fraction=0.0"),
        ({"validation_fraction": 1.0}, "validation_fraction=1.0"),
        ({"time_budget": -1}, "time_budget=-1"),
    ],
)
def test_wrong_settings(tmp_path: Path, settings: dict, message: str) -> None:
    def never():
        raise AssertionError("the corpus was read before the settings were checked")
        yield

    with pytest.raises(ParameterError, match=message):
        pretrain(never(), checkpoint_dir=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_one_site_in_the_last_batch(corpus: list[Structure]) -> None:
    """Batch normalisation cannot learn from a single site; such a batch must not end a run."""
    polonium = Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]])
    assert len(pretrain([polonium] * 6, batch_size=4, validation_fraction=0.2).history_) == 3


# What comes out --------------------------------------------------------------------------------


def test_save_before_fit() -> None:
    with pytest.raises(SsatomError, match="call fit first"):
        MaskedPretrainer().save("nowhere")


def test_save(trained: MaskedPretrainer, corpus: list[Structure], tmp_path: Path) -> None:
    folder = trained.save(tmp_path / "mine", terms="free")
    loaded = load_pretrained(folder)
    mine, kept = trained.encoder_.state_dict(), loaded.encoder.state_dict()
    assert all(torch.equal(mine[name], kept[name]) for name in mine)
    best = trained.history_["validation_loss"].idxmin()
    assert loaded.card.metrics["epoch"] == best + 1
    assert loaded.card.metrics["validation_loss"] == trained.history_["validation_loss"][best]
    assert loaded.card.corpus == {
        "description": "unnamed corpus", "n_structures": 144, "terms": "free"
    }  # fmt: skip
    assert loaded.card.recipe["tasks"] == ["period", "group", "distance"]
    assert loaded.card.recipe["random_state"] == 0
    assert loaded.overlap(corpus[:5]).all()
    curve = pd.read_csv(folder / "curve.csv")
    pd.testing.assert_frame_equal(curve, trained.history_, rtol=1e-5, check_dtype=False)


def test_only_the_checkpoint_folder_is_written(
    corpus: list[Structure], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pretrain(corpus, max_epochs=1)
    assert not list(tmp_path.iterdir())


def test_nothing_is_printed(corpus: list[Structure], capfd: pytest.CaptureFixture) -> None:
    pretrain(corpus, max_epochs=1)
    assert capfd.readouterr() == ("", "")


def test_learned_element_vectors_tell_lanthanum_from_cerium(corpus: list[Structure]) -> None:
    lanthanum, cerium = (Structure(Lattice.cubic(3.5), [x], [[0, 0, 0]]) for x in ("La", "Ce"))
    known = [*corpus, *[lanthanum, cerium] * 5]
    plain = pretrain(known, max_epochs=1)
    assert (plain.encoder_.config.node_dim, plain.element_features_.shape) == (92, (101, 92))
    trained = pretrain(known, max_epochs=1, tasks="element", element_features="distinct")
    features, linear = trained.element_features_, trained.encoder_.node_embedding
    assert features.shape == (101, 192)
    assert torch.equal(features[:, :92], plain.element_features_)
    states = linear(features[57:59]).detach()
    assert not torch.equal(states[0], states[1])
    start = new_encoder(
        trained.encoder_.config, GraphConfig(), "distinct"
    ).node_embedding.weight.detach()
    assert start[:, 92:].abs().max() < 0.02 * start[:, :92].abs().max()


def test_structures_are_drawn(corpus: list[Structure], tmp_path: Path) -> None:
    settings = {"n_structures": 40, "random_state": 3, "max_epochs": 1}
    rows = np.sort(np.random.default_rng(3).choice(len(corpus), 40, replace=False))
    drawn = pretrain(corpus, **settings, checkpoint_dir=tmp_path)
    assert_same_run(drawn, pretrain([corpus[i] for i in rows], **settings | {"n_structures": None}))
    assert (drawn.n_structures_, drawn.recipe_["n_structures"]) == (40, 40)
    assert_same_run(drawn, pretrain(corpus, **settings, checkpoint_dir=tmp_path))
    with pytest.raises(ParameterError, match="n_structures=40 are more than the corpus has: 39"):
        pretrain(corpus[:39], **settings)
