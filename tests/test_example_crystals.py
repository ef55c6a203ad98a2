"""The table of example crystals against chemistry, symmetry and the data it names as its source."""

from __future__ import annotations

import gzip
import json
import os
import re
import runpy
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase.data import covalent_radii
from pymatgen.core import Composition, Element, Structure

from ssatom.corpora.examples import load_example_crystals

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("SSATOM_DATA", ROOT.parent / "shared" / "data"))
CIF_FOLDER = ROOT / "examples" / "crystals"
SOURCE_ID = re.compile(r"\b(mp-\d+|mb-phonons-\d+)\b")
SOURCE_FILES = [
    "corpus_mp",
    "dielectric",
    "matbench_phonons",
    "mp2018_36k",
    "paper_elastic",
    "paper_formation",
    "paper_hse_gap",
]
VALUES = [
    ("band_gap_eV", "band_gap_kind", "band_gap_source"),
    ("bulk_modulus_GPa", "bulk_modulus_kind", "bulk_modulus_source"),
]
KNOWN_VALUES = [
    ("silicon", "band_gap_eV", 1.12),
    ("gallium arsenide", "band_gap_eV", 1.42),
    ("diamond", "band_gap_eV", 5.47),
    ("halite", "band_gap_eV", 8.5),
    ("copper", "band_gap_eV", 0.0),
    ("copper", "bulk_modulus_GPa", 140),
    ("aluminium", "bulk_modulus_GPa", 76),
    ("diamond", "bulk_modulus_GPa", 443),
    ("periclase", "bulk_modulus_GPa", 160),
]


@pytest.fixture(scope="module")
def crystals() -> pd.DataFrame:
    return load_example_crystals()


def nearest_over_covalent(structure: Structure) -> np.ndarray:
    """Each site's shortest distance as a multiple of the two covalent radii's sum."""
    centre, neighbour, _, distance = structure.get_neighbor_list(6.0)
    radius = covalent_radii[[site.specie.Z for site in structure]]
    ratio = np.full(len(structure), np.inf)
    np.minimum.at(ratio, centre, distance / (radius[centre] + radius[neighbour]))
    return ratio


def bad_rows(crystals: pd.DataFrame, is_good) -> list[str]:
    return [row["name"] for _, row in crystals.iterrows() if not is_good(row)]


def test_size_and_columns(crystals):
    assert len(crystals) >= 120
    expected = {"name", "formula", "family", "spacegroup", "structure", "source"}
    expected.update(column for columns in VALUES for column in columns)
    assert expected <= set(crystals.columns)
    assert crystals["structure"].map(lambda structure: structure.is_ordered).all()
    assert crystals["structure"].map(len).between(1, 160).all()


def test_loading_is_fast_and_gives_fresh_structures(crystals):
    start = time.process_time()
    again = load_example_crystals()
    assert time.process_time() - start < 3
    columns = crystals.columns.drop("structure")
    pd.testing.assert_frame_equal(again[columns], crystals[columns])
    assert again["structure"][0] is not crystals["structure"][0]


def test_names_are_unique_and_nothing_is_missing(crystals):
    assert crystals["name"].is_unique
    for column in ("name", "formula", "family", "source", "wyckoff"):
        assert crystals[column].str.strip().ne("").all(), column
    assert crystals["hall_number"].between(1, 530).all()


def test_formula(crystals):
    def good(row):
        stated = Composition(row["formula"]).fractional_composition
        return stated.almost_equals(row["structure"].composition.fractional_composition)

    assert bad_rows(crystals, good) == []


def test_space_group(crystals):
    def good(row):
        return row["structure"].get_space_group_info(symprec=0.01)[1] == row["spacegroup"]

    assert bad_rows(crystals, good) == []


def test_nearest_distances(crystals):
    # Covalent radii fit hydrogen too. Ionic TlCl and TlBr are the widest chemically bonded ones
    # (1.37); solid argon is held by van der Waals forces alone.
    def good(row):
        ratio = nearest_over_covalent(row["structure"])
        return ratio.min() > 0.65 and ratio.max() < (1.9 if row["name"] == "argon" else 1.4)

    assert bad_rows(crystals, good) == []


def test_density(crystals):
    # Lithium, 0.53 g/cm³, and osmium, 22.6 g/cm³, are the lightest and heaviest solids here.
    assert bad_rows(crystals, lambda row: 0.5 < row["structure"].density < 23) == []


@pytest.mark.parametrize(
    ("family", "least"),
    [
        ("element (fcc)", 10),
        ("element (bcc)", 10),
        ("element (hcp)", 10),
        ("element (diamond)", 4),
        ("rock salt", 20),
        ("zinc blende", 15),
        ("wurtzite", 8),
        ("fluorite", 8),
        ("antifluorite", 6),
        ("cubic perovskite", 5),
        ("spinel", 8),
        ("rutile", 10),
        ("Heusler", 6),
        ("half-Heusler", 6),
        ("CsCl-type intermetallic", 5),
        ("Cu3Au-type intermetallic", 5),
        ("A15 intermetallic", 4),
        ("cubic Laves intermetallic", 4),
    ],
)
def test_family_is_present(crystals, family, least):
    assert (crystals["family"] == family).sum() >= least


def test_wider_groups_are_present(crystals):
    assert crystals["family"].str.startswith("layered chalcogenide").sum() >= 10
    elements = crystals["structure"].map(lambda structure: set(structure.composition.elements))
    hydrides = elements.map(lambda found: Element("H") in found and Element("O") not in found)
    assert hydrides.sum() >= 8
    assert elements.map(lambda found: any(element.is_lanthanoid for element in found)).sum() >= 20


def test_rows_of_one_family_share_the_space_group(crystals):
    mixed = {
        family for family, rows in crystals.groupby("family") if len(set(rows["spacegroup"])) > 1
    }
    # R3m where titanium moves off its centre, R-3c where the octahedra tilt.
    assert mixed == {"rhombohedral perovskite"}


@pytest.mark.parametrize(("value", "kind", "source"), VALUES)
def test_values_have_kind_and_source(crystals, value, kind, source):
    known = crystals[value].notna()
    assert set(crystals.loc[known, kind]) == {"experimental", "computed"}
    assert set(crystals.loc[~known, kind]) == {""}
    assert (crystals[source].ne("") == known).all()
    computed = crystals[kind] == "computed"
    assert crystals.loc[computed, source].str.contains(SOURCE_ID.pattern.replace("(", "(?:")).all()


def test_values_are_plausible_and_many(crystals):
    gap, modulus = crystals["band_gap_eV"].dropna(), crystals["bulk_modulus_GPa"].dropna()
    assert len(gap) >= 50
    assert (gap > 0).sum() >= 50
    assert gap.between(0, 15).all()
    assert len(modulus) >= 60
    assert modulus.between(1, 450).all()


@pytest.mark.parametrize(("name", "column", "expected"), KNOWN_VALUES)
def test_known_values(crystals, name, column, expected):
    assert crystals.set_index("name").loc[name, column] == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    # Experimental lattice constant a in Å at room temperature.
    [("silicon", 5.431), ("halite", 5.640), ("copper", 3.615), ("rutile", 4.594)],
)
def test_lattice_constants_are_near_experiment(crystals, name, expected):
    structure = crystals.set_index("name").loc[name, "structure"]
    assert structure.lattice.a == pytest.approx(expected, rel=0.02)


def cif_script() -> dict:
    return runpy.run_path(str(ROOT / "examples" / "make_cifs.py"))


def test_cifs_equal_the_table(crystals):
    names = cif_script()["CRYSTALS"]
    assert sorted(path.stem for path in CIF_FOLDER.glob("*.cif")) == sorted(names)
    table = crystals.set_index("name")["structure"]
    for file_name, name in names.items():
        structure = Structure.from_file(CIF_FOLDER / f"{file_name}.cif")
        assert structure.matches(table[name], ltol=1e-3, stol=1e-3, angle_tol=0.01), name
        assert len(structure) == len(table[name]), name
        assert structure.volume == pytest.approx(table[name].volume, rel=1e-4), name


def test_cif_script_writes_where_it_is_told(tmp_path):
    script = cif_script()
    script["write_cifs"](tmp_path / "new")
    written = sorted(path.stem for path in (tmp_path / "new").iterdir())
    assert written == sorted(script["CRYSTALS"])


def named_records(ids: set[str]) -> dict[str, list[dict]]:
    """All records with one of the ids; the same id may have a cell of 2018 and one of 2025."""
    found: dict[str, list[dict]] = {}
    for name in SOURCE_FILES:
        with gzip.open(DATA / f"{name}.jsonl.gz", "rt") as file:
            for line in file:
                match = re.match(r'\{"id": ?"([^"]+)"', line)
                key = match[1] if match else json.loads(line)["id"]
                if key in ids:
                    found.setdefault(key, []).append(json.loads(line))
    return found


@pytest.fixture(scope="module")
def records(crystals) -> dict[str, list[dict]]:
    text = " ".join(crystals[["source", "band_gap_source", "bulk_modulus_source"]].to_numpy().flat)
    return named_records(set(SOURCE_ID.findall(text)))


def same_crystal(structure: Structure, record: dict) -> bool:
    original = Structure(record["lattice"], record["numbers"], record["frac"])
    same_formula = original.composition.reduced_formula == structure.composition.reduced_formula
    ratio = (structure.volume / len(structure)) / (original.volume / len(original))
    return same_formula and abs(ratio - 1) < 0.02


needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no data folder at {DATA}")


@needs_data
def test_source_ids_are_these_crystals(crystals, records):
    def good(row):
        match = SOURCE_ID.search(row["source"])
        if match is None:
            return row["source"] == "common experimental values, room temperature"
        return any(same_crystal(row["structure"], record) for record in records.get(match[1], []))

    assert bad_rows(crystals, good) == []


@needs_data
def test_computed_values_are_those_of_the_source(crystals, records):
    def label(source: str, key: str) -> float:
        labels = [record.get("props", {}) for record in records[SOURCE_ID.search(source)[1]]]
        return next(found[key] for found in labels if key in found)

    for _, row in crystals[crystals["band_gap_kind"] == "computed"].iterrows():
        gap = label(row["band_gap_source"], "hse_gap")
        assert row["band_gap_eV"] == pytest.approx(gap, abs=0.006)
    for _, row in crystals[crystals["bulk_modulus_kind"] == "computed"].iterrows():
        modulus = 10 ** label(row["bulk_modulus_source"], "log10_K")
        assert row["bulk_modulus_GPa"] == pytest.approx(modulus, abs=0.6)
