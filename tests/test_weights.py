"""Folders of weights: what is written, what is refused, and a format that may not drift."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pymatgen.core import Structure
from safetensors.torch import load_file, save_file

import ssatom
from ssatom.elements import atomic_features, element_table_hash
from ssatom.embeddings import site_embeddings
from ssatom.encoder import CrystalGraphEncoder, EncoderConfig
from ssatom.exceptions import StructureError, WeightsError
from ssatom.graph import GraphConfig
from ssatom.structures import structure_arrays
from ssatom.weights import (
    DEFAULT_WEIGHTS,
    CorpusIndex,
    WeightsCard,
    card,
    folder,
    list_weights,
    load_pretrained,
    random_weights,
    save_pretrained,
)

FILES = ["README.md", "card.json", "corpus.safetensors", "curve.csv", "encoder.safetensors"]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rewrite_card(path: Path, change: Callable[[dict[str, Any]], Any], *, seal: bool) -> None:
    """Change a card; `seal` computes its own hash anew, as an honest writer would."""
    content = json.loads(path.read_text())
    kept = content.pop("card_sha256")
    change(content)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    content["card_sha256"] = hashlib.sha256(text.encode()).hexdigest() if seal else kept
    path.write_text(json.dumps(content))


# Round trip ------------------------------------------------------------------------------------


def test_what_is_written(weights_folder: Path) -> None:
    assert sorted(path.name for path in weights_folder.iterdir()) == FILES
    kept = WeightsCard.read(weights_folder / "card.json")
    assert kept.name == "tiny"
    assert kept.package_version == ssatom.__version__
    assert EncoderConfig(**kept.encoder) == EncoderConfig(hidden_dim=4, n_conv=2)
    assert GraphConfig(**kept.graph) == GraphConfig()
    assert kept.element_table_sha256 == element_table_hash(atomic_features())
    assert kept.files == {
        name: sha256(weights_folder / name)
        for name in FILES
        if name[0] in "ce" and name != FILES[1]
    }
    assert kept.metrics == {"validation_loss": 1.25, "validation_period_accuracy": 0.5}
    assert pd.read_csv(weights_folder / "curve.csv")["validation_loss"].tolist() == [1.25]


def test_what_is_loaded(weights_folder: Path) -> None:
    loaded = load_pretrained(weights_folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = CrystalGraphEncoder(EncoderConfig(hidden_dim=4, n_conv=2)).state_dict()
    found = loaded.encoder.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not loaded.encoder.training
    assert (loaded.name, loaded.n_layers, loaded.hidden_dim) == ("tiny", 3, 4)
    assert loaded.graph_config == GraphConfig()
    assert loaded.sha256 == sha256(weights_folder / "encoder.safetensors")
    assert torch.equal(loaded.element_features, torch.from_numpy(atomic_features().copy()))
    assert loaded.folder == weights_folder


def test_same_weights_are_the_same_files(tmp_path: Path, make_weights: Callable[..., Path]) -> None:
    first, second = make_weights(tmp_path / "a" / "tiny"), make_weights(tmp_path / "b" / "tiny")
    for name in FILES:
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_card_goes_to_json_and_back(weights_folder: Path, tmp_path: Path) -> None:
    kept = WeightsCard.read(weights_folder / "card.json")
    kept.write(tmp_path / "card.json")
    assert WeightsCard.read(tmp_path / "card.json") == kept
    assert (tmp_path / "card.json").read_bytes() == (weights_folder / "card.json").read_bytes()


def test_card_keeps_what_json_can_hardly_say(weights_folder: Path, tmp_path: Path) -> None:
    kept = WeightsCard.read(weights_folder / "card.json")
    odd = WeightsCard(
        **{**vars(kept), "metrics": {"Å": 1 / 3, "tiny": 1e-300, "big": float("inf")}}
    )
    odd.write(tmp_path / "card.json")
    assert WeightsCard.read(tmp_path / "card.json") == odd


def test_unchanged_folder_is_read_once_and_a_changed_one_again(
    tmp_path: Path, make_weights: Callable[..., Path]
) -> None:
    make_weights(tmp_path / "w", seed=0)
    first = load_pretrained(tmp_path / "w")
    assert load_pretrained(str(tmp_path / "w")) is first
    make_weights(tmp_path / "w", seed=1)
    assert load_pretrained(tmp_path / "w").sha256 != first.sha256


def test_relative_folder(weights_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(weights_folder.parent)
    assert load_pretrained("tiny").folder == weights_folder


def test_readme_shows_how_to_use_them(weights_folder: Path) -> None:
    text = (weights_folder / "README.md").read_text()
    for expected in ("# tiny", "test crystals", "none", "12 nearest", "41 Gaussians", "0.5000"):
        assert expected in text


# Refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["encoder.safetensors", "corpus.safetensors", "curve.csv"])
def test_tampered_file(weights_folder: Path, name: str) -> None:
    content = bytearray((weights_folder / name).read_bytes())
    content[-2] ^= 1
    (weights_folder / name).write_bytes(bytes(content))
    with pytest.raises(WeightsError, match=f"{name} was changed or damaged.*install"):
        load_pretrained(weights_folder)


@pytest.mark.parametrize("name", ["encoder.safetensors", "corpus.safetensors", "curve.csv"])
def test_missing_file(weights_folder: Path, name: str) -> None:
    (weights_folder / name).unlink()
    with pytest.raises(WeightsError, match=f"{name} is missing"):
        load_pretrained(weights_folder)


def test_truncated_tensors(weights_folder: Path) -> None:
    path = weights_folder / "encoder.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(WeightsError, match="changed or damaged"):
        load_pretrained(weights_folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["metrics"].update(validation_loss=0.01),
        lambda c: c["corpus"].update(terms="CC0"),
        lambda c: c["graph"].update(cutoff=6.0),
        lambda c: c.update(name="better"),
        lambda c: c.update(more=1),
        lambda c: c.pop("recipe"),
    ],
)
def test_tampered_card(weights_folder: Path, change: Callable) -> None:
    rewrite_card(weights_folder / "card.json", change, seal=False)
    with pytest.raises(
        WeightsError, match=r"changed after it was written.*install the weights again"
    ):
        load_pretrained(weights_folder)


def test_card_without_seal(weights_folder: Path) -> None:
    path = weights_folder / "card.json"
    content = json.loads(path.read_text())
    del content["card_sha256"]
    path.write_text(json.dumps(content))
    with pytest.raises(WeightsError, match="card_sha256 does not match"):
        load_pretrained(weights_folder)


@pytest.mark.parametrize("change", [lambda c: c.update(more=1), lambda c: c.pop("recipe")])
def test_card_of_other_fields(weights_folder: Path, change: Callable) -> None:
    rewrite_card(weights_folder / "card.json", change, seal=True)
    with pytest.raises(WeightsError, match=r"other fields than a card: .'(more|recipe)'"):
        load_pretrained(weights_folder)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[1, 2]", b'"card"', b"{}"])
def test_file_that_is_no_card(weights_folder: Path, text: bytes) -> None:
    (weights_folder / "card.json").write_bytes(text)
    with pytest.raises(WeightsError, match=r"card\.json (cannot be read|states no format_version)"):
        load_pretrained(weights_folder)


def test_folder_without_card(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"is no folder of weights .it has no card\.json.; give"):
        load_pretrained(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["encoder"].update(hidden_dim=5),
        lambda c: c["encoder"].update(n_conv=3),
        lambda c: c["encoder"].update(n_conv=1),
        lambda c: c["encoder"].update(heads=3),
        lambda c: c["graph"].update(neighbors="voronoi"),
    ],
)
def test_card_that_does_not_fit_the_tensors(weights_folder: Path, change: Callable) -> None:
    rewrite_card(weights_folder / "card.json", change, seal=True)
    with pytest.raises(WeightsError, match="card and tensors do not fit together"):
        load_pretrained(weights_folder)


def test_tensors_with_another_element_table(weights_folder: Path) -> None:
    path = weights_folder / "encoder.safetensors"
    tensors = load_file(path)
    tensors["element_features"][6, 0] += 1
    save_file(tensors, path)
    card_path = weights_folder / "card.json"
    rewrite_card(card_path, lambda c: c["files"].update({path.name: sha256(path)}), seal=True)
    with pytest.raises(WeightsError, match="element features are not those of the card"):
        load_pretrained(weights_folder)


def test_pickles_are_never_read(weights_folder: Path) -> None:
    """A file that torch would unpickle is no safetensors file, even with the right hash."""
    path = weights_folder / "encoder.safetensors"
    torch.save({"x": torch.zeros(1)}, path)
    card_path = weights_folder / "card.json"
    rewrite_card(card_path, lambda c: c["files"].update({path.name: sha256(path)}), seal=True)
    with pytest.raises(WeightsError, match="do not fit together"):
        load_pretrained(weights_folder)


@pytest.mark.parametrize("name", ["no-such-weights", "a/b", "a\0b", 3, Path("nowhere")])
def test_unknown_name(name: object) -> None:
    with pytest.raises(WeightsError, match="neither a shipped set nor a folder; shipped: ") as info:
        load_pretrained(name)
    assert repr(name) in str(info.value)
    assert "'random'" in str(info.value)
    assert all(shipped in str(info.value) for shipped in list_weights())


# Versions --------------------------------------------------------------------------------------


def test_newer_format_is_refused(weights_folder: Path) -> None:
    newer = card.FORMAT_VERSION + 1
    rewrite_card(weights_folder / "card.json", lambda c: c.update(format_version=newer), seal=True)
    with pytest.raises(
        WeightsError, match=f"has format {newer}.*install ssatom .*, which wrote it"
    ):
        load_pretrained(weights_folder)


def test_newer_format_is_refused_before_anything_else_of_it_is_read(weights_folder: Path) -> None:
    text = json.dumps({"format_version": 99, "all": "different"})
    (weights_folder / "card.json").write_text(text)
    with pytest.raises(WeightsError, match="has format 99"):
        load_pretrained(weights_folder)


def test_older_format_is_upgraded_step_by_step(
    weights_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two formats from now: one step renames a recipe, the next adds a setting."""
    now = card.FORMAT_VERSION

    def rename(content: dict[str, Any]) -> dict[str, Any]:
        recipe = {("seed" if k == "random_state" else k): v for k, v in content["recipe"].items()}
        return {**content, "format_version": now + 1, "recipe": recipe}

    def add(content: dict[str, Any]) -> dict[str, Any]:
        assert "seed" in content["recipe"]
        return {**content, "format_version": now + 2, "corpus": {**content["corpus"], "doi": None}}

    upgrades = {**card.UPGRADES, now: rename, now + 1: add}
    monkeypatch.setattr(card, "FORMAT", replace(card.FORMAT, version=now + 2, upgrades=upgrades))
    loaded = load_pretrained(weights_folder)
    assert loaded.card.format_version == now + 2
    assert loaded.card.recipe["seed"] == 0
    assert loaded.card.corpus["doi"] is None


def test_every_older_format_has_its_step() -> None:
    assert sorted(card.UPGRADES) == list(range(1, card.FORMAT_VERSION))


FIRST: dict[str, Any] = {
    "card": [
        "name", "format_version", "package_version", "encoder", "graph",
        "element_table_sha256", "files", "corpus", "recipe", "metrics",
    ],
    "encoder": ["node_dim", "edge_dim", "hidden_dim", "n_conv", "dropout"],
    "graph": [
        "neighbors", "max_neighbors", "cutoff", "shell_tolerance", "basis_step", "basis_width"
    ],
    "files": ["encoder.safetensors", "corpus.safetensors", "curve.csv"],
    "tensors": {
        "element_features": (101, 92),
        "node_embedding.weight": (4, 92), "node_embedding.bias": (4,),
        "edge_embedding.weight": (4, 41), "edge_embedding.bias": (4,),
        **{f"convs.{i}.gates.weight": (8, 12) for i in range(2)},
        **{f"convs.{i}.gates.bias": (8,) for i in range(2)},
        **{
            f"norms.{i}.{name}": (4,)
            for i in range(2)
            for name in ("weight", "bias", "running_mean", "running_var")
        },
        **{f"norms.{i}.num_batches_tracked": () for i in range(2)},
    },
    "corpus": {"formulas": torch.int64, "volumes": torch.float32},
}  # fmt: skip
"""Fields and tensors of the first format."""


def fields_of(version: int) -> dict[str, Any]:
    """Fields of a format: those of the first, and what the steps from there add."""
    content: dict[str, Any] = {name: {} for name in FIRST["card"]}
    content |= {part: dict.fromkeys(FIRST[part]) for part in ("encoder", "graph", "files")}
    for older in range(1, version):
        content = card.UPGRADES[older](content)
    return content


@pytest.mark.parametrize("version", range(1, card.FORMAT_VERSION))
def test_cards_of_older_formats_are_read(weights_folder: Path, version: int) -> None:
    """Encoders had no residual layers, radial units or directional units before some format."""

    older, now = fields_of(version), fields_of(card.FORMAT_VERSION)

    def as_before(content: dict[str, Any]) -> None:
        content["format_version"] = version
        recipe = content["recipe"]
        for part in ("encoder", "graph"):
            for name in now[part].keys() - older[part].keys():
                del content[part][name]
                recipe.pop(name, None)
        if version >= 4:
            return
        del content["near_constant"]
        recipe["start"], recipe["patience"] = recipe.pop("initialization"), None
        for name in (*older["encoder"], *older["graph"]):  # in recipes since format 4
            recipe.pop(name, None)
        recipe["epochs_run"] = int(content["metrics"].pop("epochs_run"))

    def never_stops(content: dict[str, Any]) -> None:
        content["recipe"]["patience"] = 0
        content["metrics"]["epochs_run"] = 3.0

    rewrite_card(weights_folder / "card.json", never_stops, seal=True)
    expected = load_pretrained(weights_folder)
    rewrite_card(weights_folder / "card.json", as_before, seal=True)
    content = json.loads((weights_folder / "card.json").read_text())
    for part in ("encoder", "graph", "files"):
        assert list(content[part]) == list(older[part])
    loaded = load_pretrained(weights_folder)
    assert loaded.card == expected.card
    assert loaded.sha256 == expected.sha256


def test_residual_encoder_over_smooth_graphs(
    weights_folder: Path, crystals: dict[str, Structure]
) -> None:
    known = load_pretrained(weights_folder)
    graph_config = GraphConfig(neighbors="smooth", cutoff=5.0)
    config = EncoderConfig(edge_dim=26, hidden_dim=4, n_conv=2, residual=True)
    written = save_pretrained(
        weights_folder.parent / "smooth",
        encoder=CrystalGraphEncoder(config).eval(),
        graph_config=graph_config,
        element_features=known.element_features,
        corpus=known.card.corpus,
        corpus_index=CorpusIndex.of([structure_arrays(crystals["Cu"])]),
        recipe={},
        metrics={},
        curve=pd.DataFrame({"epoch": [1]}),
        near_constant={"mean": [3]},
    )
    loaded = load_pretrained(written)
    assert loaded.graph_config == graph_config
    assert loaded.near_constant("mean") == [3]
    assert loaded.near_constant("max") == []
    assert loaded.encoder.config == config
    assert list(loaded.card.graph) == [
        "neighbors",
        "cutoff",
        "basis_step",
        "basis_width",
        "directions",
    ]
    assert "all neighbours within 5 Å" in (written / "README.md").read_text()
    assert site_embeddings([crystals["TiO2"]], layers="02", weights=written)[0].shape == (6, 8)


def test_format_is_frozen(weights_folder: Path) -> None:
    """Whoever changes what is written raises FORMAT_VERSION and adds a step to UPGRADES; the
    older steps stay."""
    expected = fields_of(card.FORMAT_VERSION)
    content = json.loads((weights_folder / "card.json").read_text())
    assert [field.name for field in fields(WeightsCard)] == list(expected)
    assert list(content) == [*expected, "card_sha256"]
    for part in ("encoder", "graph", "files"):
        assert list(content[part]) == list(expected[part])
    tensors = load_file(weights_folder / "encoder.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == FIRST["tensors"]
    corpus = load_file(weights_folder / "corpus.safetensors")
    assert {name: tensor.dtype for name, tensor in corpus.items()} == FIRST["corpus"]


# Shipped and random ----------------------------------------------------------------------------


def test_shipped_sets_are_in_order() -> None:
    for name in list_weights():
        shipped = load_pretrained(name)
        assert shipped.name == name
        assert shipped.card.files
    if list_weights():
        assert DEFAULT_WEIGHTS in list_weights()
        assert load_pretrained() is load_pretrained(DEFAULT_WEIGHTS)


def test_sets_are_found_by_their_cards(
    tmp_path: Path, make_weights: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "_shipped_root", lambda: tmp_path)
    assert list_weights() == []
    make_weights(tmp_path / "zeta")
    make_weights(tmp_path / "alpha")
    (tmp_path / "no-card").mkdir()
    (tmp_path / "README.md").touch()
    assert list_weights() == ["alpha", "zeta"]
    assert load_pretrained("alpha").name == "alpha"
    with pytest.raises(WeightsError, match="shipped: alpha, zeta"):
        load_pretrained("beta")


def test_random_weights() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = random_weights(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert random_weights(3) is first
    assert first.sha256 != random_weights(4).sha256
    assert (first.name, first.n_layers, first.hidden_dim) == ("random-3", 6, 64)
    assert first.card is None
    assert not first.encoder.training
    assert first.graph_config == GraphConfig()
    alike = random_weights(3, like=load_pretrained("cgcnn-64x5-mp"))
    assert alike.sha256 == first.sha256  # that set has the paper's sizes
    assert random_weights(0, like=alike).sha256 == random_weights(0).sha256


# Overlap ---------------------------------------------------------------------------------------


def test_overlap(weights_folder: Path, crystals: dict[str, Structure]) -> None:
    """The corpus of these weights is NaCl, CsCl and Cu."""
    loaded = load_pretrained(weights_folder)
    near, far = crystals["NaCl"].copy(), crystals["NaCl"].copy()
    near.scale_lattice(near.volume * 1.02)
    far.scale_lattice(far.volume * 1.05)
    asked = [
        crystals["NaCl"],
        crystals["NaCl"].get_primitive_structure(),
        crystals["Cu"] * 2,
        near,
        far,
        crystals["Fe"],
    ]
    assert loaded.overlap(asked).tolist() == [True, True, True, True, False, False]
    assert loaded.overlap([]).tolist() == []


def test_overlap_refuses_what_is_no_structure(weights_folder: Path) -> None:
    with pytest.raises(StructureError, match=r"structures\[0\]: this row is None"):
        load_pretrained(weights_folder).overlap([None])


def test_a_setting_that_is_added_changes_no_hash_of_random_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Models that were saved with random weights find them by it."""

    @dataclass(frozen=True)
    class Later(EncoderConfig):
        more: int = 0

    def hash_with(config: EncoderConfig) -> str:
        own = replace(random_weights(), encoder=CrystalGraphEncoder(config), name="own")
        return random_weights(like=own).sha256

    expected = hash_with(EncoderConfig())
    monkeypatch.setattr(folder, "EncoderConfig", Later)
    assert hash_with(Later()) == expected
    assert hash_with(Later(more=1)) != expected
    assert hash_with(Later(residual=True)) not in (expected, hash_with(Later(more=1)))


def test_random_weights_saw_nothing(crystals: dict[str, Structure]) -> None:
    assert random_weights().overlap([crystals["NaCl"], crystals["Fe"]]).tolist() == [False, False]


def test_index_of_a_corpus(crystals: dict[str, Structure], tmp_path: Path) -> None:
    arrays = [structure_arrays(structure) for structure in crystals.values()]
    index = CorpusIndex.concatenate([CorpusIndex.of(arrays[:4]), CorpusIndex.of(arrays[4:])])
    assert len(index) == len(arrays)
    index.save(tmp_path / "corpus.safetensors")
    loaded = CorpusIndex.load(tmp_path / "corpus.safetensors")
    assert loaded.contains(arrays).all()
    # The order of the corpus is not kept, so that equal corpora give equal files.
    CorpusIndex.of(arrays[::-1]).save(tmp_path / "other.safetensors")
    assert sha256(tmp_path / "other.safetensors") == sha256(tmp_path / "corpus.safetensors")


def test_index_tells_composition_and_not_arrangement(crystals: dict[str, Structure]) -> None:
    swapped = crystals["Ni3Al"].copy()
    swapped.replace_species({"Ni": "Al", "Al": "Ni"})
    index = CorpusIndex.of([structure_arrays(crystals["Ni3Al"])])
    asked = [structure_arrays(s) for s in (crystals["Ni3Al"] * [1, 2, 1], swapped)]
    np.testing.assert_array_equal(index.contains(asked), [True, False])
