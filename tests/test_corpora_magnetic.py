"""Magnetic structures: every file ends in the table or among the dropped, with its reason."""

from __future__ import annotations

import io
import math
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ssatom import MagneticSites, ParameterError, load_magnetic_sites
from ssatom.corpora import magnetic
from ssatom.exceptions import MissingFileError, StructureFileError

DATA = Path(__file__).parents[2] / "shared" / "data"
ARCHIVE = DATA / "magndata_mcif.tar.xz"

SITE = "loop_\n_atom_site_label\n_atom_site_type_symbol\n" + "".join(
    f"_atom_site_{name}\n" for name in ("fract_x", "fract_y", "fract_z", "occupancy")
)
MOMENT = "loop_\n_atom_site_moment.label\n" + "".join(
    f"_atom_site_moment.crystalaxis_{axis}\n" for axis in "xyz"
)
OPERATIONS = "loop_\n_space_group_symop_magn_operation.id\n_space_group_symop_magn_operation.xyz\n"
BODY_CENTRED = ("x,y,z,+1", "x+1/2,y+1/2,z+1/2,+1")


def mcif(
    lengths: tuple[float, float, float],
    sites: tuple[str, ...],
    moments: tuple[str, ...],
    operations: tuple[str, ...] = ("x,y,z,+1",),
    more: str = "",
    gamma: float = 90,
) -> str:
    """Text of a file; sites are "label element x y z occupancy", moments "label mx my mz"."""
    a, b, c = lengths
    cell = f"_cell_length_a {a}\n_cell_length_b {b}\n_cell_length_c {c}\n"
    cell += f"_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma {gamma}\n"
    numbered = [f"{number} {xyz}" for number, xyz in enumerate(operations, 1)]
    loops = [OPERATIONS, *numbered, SITE, *sites, *([MOMENT, *moments] if moments else [])]
    return f"data_x\n{more}\n{cell}" + "\n".join(part.rstrip() for part in loops) + "\n"


# Rutile-like antiferromagnet, moments along c: corner up, centre down (P4_2'/mnm').
MNF2 = mcif(
    (4.873, 4.873, 3.31),
    ("Mn1 Mn 0 0 0 1", "F1 F 0.305 0.305 0 1"),
    ("Mn1 0 0 4.6",),
    (
        *("x,y,z,+1", "-x,-y,-z,+1", "-x,-y,z,+1", "x,y,-z,+1"),
        *("-y+1/2,x+1/2,z+1/2,-1", "y+1/2,-x+1/2,z+1/2,-1"),
        *("x+1/2,-y+1/2,-z+1/2,-1", "-x+1/2,y+1/2,-z+1/2,-1"),
    ),
    "_chemical_formula_sum 'F2 Mn'\n_transition_temperature 67.3(2)",
)
IRON = mcif((2.866, 2.866, 2.866), ("Fe1 Fe 0 0 0 1",), ("Fe1 0 0 2.2",), BODY_CENTRED)
# CsCl-like; one moment twice, one of another size, one of another element, and a zero.
MANY = mcif(
    (6, 3, 3),
    ("Fe1 Fe 0 0 0 1", "Fe2 Fe 0.5 0 0 1", "Co1 Co 0.25 0.5 0.5 1", "Pt1 Pt 0.75 0.5 0.5 1"),
    ("Fe1 0 0 2.0", "Fe2 0 1.2 1.605", "Co1 2.0 0 0", "Pt1 0 0 0"),
)
ZERO = mcif((2.866, 2.866, 2.866), ("Fe1 Fe 0 0 0 1",), ("Fe1 0 0 0",), BODY_CENTRED)
PLAIN = "data_x\n" + "".join(
    f"_cell_{what}\n"
    for what in (
        *("length_a 3", "length_b 3", "length_c 3"),
        *("angle_alpha 90", "angle_beta 90", "angle_gamma 90"),
    )
)
PLAIN += f"_symmetry_space_group_name_H-M 'P 1'\n{SITE}Po1 Po 0 0 0 1\n"
PARTIAL = mcif((3, 3, 3), ("Fe1 Fe 0 0 0 0.5",), ("Fe1 0 0 2",))
SHARED = mcif((3, 3, 3), ("Fe1 Fe 0 0 0 0.5", "Co1 Co 0 0 0 0.5"), ("Fe1 0 0 2", "Co1 0 0 2"))
WAVE = mcif(
    *((3, 3, 3), ("Fe1 Fe 0 0 0 1",), ("Fe1 0 0 2",)),
    more="_cell_modulation_dimension 1",
)
BROKEN = IRON.replace("_cell_length_a 2.866", "_cell_length_a 2..866")

FILES = {
    "0.15_MnF2": MNF2,
    "Fe": IRON,
    "many": MANY,
    "zero": ZERO,
    "plain": PLAIN,
    "partial": PARTIAL,
    "shared": SHARED,
    "wave": WAVE,
    "broken": BROKEN,
    "empty": "",
}
COUNTS = {"usable": 3, "unreadable": 2, "incommensurate": 1, "disordered": 2, "no moments": 2}


def folder_of(path: Path, files: dict[str, str]) -> Path:
    path.mkdir(parents=True)
    for name, text in files.items():
        (path / f"{name}.mcif").write_text(text)
    return path


def archive_of(path: Path, files: dict[str, str], prefix: str = "mcif/") -> Path:
    with tarfile.open(path, f"w:{path.suffix[1:].replace('tar', '')}") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"{prefix}{name}.mcif")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def load(path: Path, **options: object) -> MagneticSites:
    return load_magnetic_sites(path, progress_bar=False, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> MagneticSites:
    return load(folder_of(tmp_path_factory.mktemp("magnetic") / "files", FILES))


def of(sites: MagneticSites, source: str) -> pd.DataFrame:
    return sites.table[sites.table["source"] == source]


def rows(sites: MagneticSites) -> list[tuple[str, int, str]]:
    table = sites.table
    return list(zip(table["source"], table["site_index"], table["element"], strict=True))


# The table ---------------------------------------------------------------------------------------


def test_antiferromagnet_has_one_different_moment(sites: MagneticSites) -> None:
    (row,) = of(sites, "0.15_MnF2").itertuples()
    assert (row.element, row.formula) == ("Mn", "MnF2")
    assert row.magmom == pytest.approx(4.6, abs=1e-12)
    assert row.transition_temperature_K == 67.3
    assert len(row.structure) == 6
    assert row.structure[row.site_index].specie.symbol == "Mn"


def test_structures_carry_no_moments(sites: MagneticSites) -> None:
    for structure in sites.table["structure"]:
        assert not structure.site_properties
        assert {type(specie).__name__ for specie in structure.species} == {"Element"}


def test_different_moments_of_each_element(sites: MagneticSites) -> None:
    table = of(sites, "many").set_index("element")
    size = math.hypot(1.2, 1.605)
    assert sorted(table.loc["Fe", "magmom"]) == pytest.approx([2.0, size])
    assert table.loc["Co", "magmom"] == pytest.approx(2.0)
    assert "Pt" not in table.index
    assert len({id(structure) for structure in table["structure"]}) == 1


def test_nonzero_moments_are_counted_before_the_choice(sites: MagneticSites) -> None:
    assert sites.n_magnetic_sites == 2 + 2 + 3


@pytest.mark.parametrize(("tolerance", "n"), [(0.0, 3), (1e-3, 3), (0.01, 2), (3.0, 0)])
def test_tolerance(tmp_path: Path, tolerance: float, n: int) -> None:
    path = folder_of(tmp_path / "files", {"many": MANY, "strong": MNF2})
    assert len(of(load(path, tolerance=tolerance), "many")) == n


def test_moments_that_differ_by_rounding_are_one(tmp_path: Path) -> None:
    """Turned by the threefold axis of a hexagonal cell, 3.03 becomes 3.0300000000000002."""
    kagome = mcif(
        (5.83, 5.83, 11.17),
        ("Mn1 Mn 0.333 0 0 1",),
        ("Mn1 3.03 0 0",),
        ("x,y,z,+1", "-y,x-y,z,+1", "-x+y,-x,z,+1"),
        gamma=120,
    )
    path = folder_of(tmp_path / "files", {"kagome": kagome})
    found = load(path)
    assert found.n_magnetic_sites == 3
    assert found.table["magmom"].tolist() == pytest.approx([3.03])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100", 100.0),
        ("100.", 100.0),
        ("26.5(12)", 26.5),
        ("42K", 42.0),
        ("'60 K'", 60.0),
        ("190-250", 220.0),
        (">293", math.nan),
        ("?", math.nan),
        (".", math.nan),
        ("unknown", math.nan),
    ],
)
def test_transition_temperature(tmp_path: Path, text: str, value: float) -> None:
    file = IRON.replace("data_x\n", f"data_x\n_transition_temperature     {text}\n")
    table = load(folder_of(tmp_path / "files", {"Fe": file})).table
    np.testing.assert_equal(table["transition_temperature_K"].tolist(), [value])


# What is left out --------------------------------------------------------------------------------


def test_every_file_is_somewhere(sites: MagneticSites) -> None:
    assert sites.counts == COUNTS
    assert {*sites.table["source"]} | {*sites.dropped["source"]} == {*FILES}
    assert not {*sites.table["source"]} & {*sites.dropped["source"]}
    assert sites.dropped["source"].is_unique


@pytest.mark.parametrize(
    ("source", "reason", "words"),
    [
        ("zero", "no moments", "all moments are at most"),
        ("plain", "no moments", "without moments"),
        ("partial", "disordered", "Fe:0.5"),
        ("shared", "disordered", "Disordered"),
        ("wave", "incommensurate", "Incommensurate"),
        ("broken", "unreadable", "2..866"),
        ("empty", "unreadable", ""),
    ],
)
def test_reasons(sites: MagneticSites, source: str, reason: str, words: str) -> None:
    row = sites.dropped.set_index("source").loc[source]
    assert row["reason"] == reason
    assert words in row["message"]
    assert row["message"]


def test_warnings_are_kept_not_shown(tmp_path: Path) -> None:
    path = folder_of(tmp_path / "files", {"Fe": IRON, "broken": BROKEN})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load(path)
    assert {*found.warnings["source"]} == {"Fe", "broken"}
    assert found.warnings["message"].str.contains("stoichiometry").any()


# Folders and archives ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.xz"])
def test_archive_gives_what_the_folder_gives(
    tmp_path: Path, sites: MagneticSites, name: str
) -> None:
    path = archive_of(tmp_path / name, FILES)
    found = load(path)
    assert rows(found) == rows(sites)
    assert found.counts == COUNTS
    pd.testing.assert_frame_equal(found.dropped, sites.dropped)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_processes_change_nothing(tmp_path: Path, sites: MagneticSites) -> None:
    assert rows(load(folder_of(tmp_path / "files", FILES), n_jobs=2)) == rows(sites)


def test_sources_are_paths_without_what_all_share(tmp_path: Path) -> None:
    folder_of(tmp_path / "top" / "deep" / "a", {"1.1_Fe": IRON})
    folder_of(tmp_path / "top" / "deep" / "b", {"1.1_Fe": IRON, ".hidden": BROKEN})
    (tmp_path / "top" / "notes.txt").write_text("no structure")
    found = load(tmp_path / "top")
    assert found.table["source"].tolist() == ["a/1.1_Fe", "b/1.1_Fe"]
    assert found.dropped.empty


def test_archive_cannot_lead_elsewhere(tmp_path: Path) -> None:
    secret = folder_of(tmp_path / "secret", {"Fe": IRON}) / "Fe.mcif"
    inside = tmp_path / "inside"
    inside.mkdir()
    path = archive_of(inside / "a.tar", {"one": IRON, "../../two": IRON}, prefix="./")
    with tarfile.open(path, "a") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            link = tarfile.TarInfo(f"link{kind.decode()}.mcif")
            link.type, link.linkname = kind, str(secret)
            archive.addfile(link)
    found = load(path)
    assert found.table["source"].tolist() == ["../../two", "one"]  # names alone, nothing written
    assert found.dropped["source"].tolist() == ["link1", "link2"]
    assert found.dropped["message"].str.contains("not read").all()
    assert [file.name for file in inside.iterdir()] == ["a.tar"]


def test_of_two_files_of_one_name_the_later_counts(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.tar", {"x": BROKEN})
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo("mcif/x.mcif")
        member.size = len(IRON)
        archive.addfile(member, io.BytesIO(IRON.encode()))
    found = load(path)
    assert found.table["source"].tolist() == ["x"]
    assert found.dropped.empty


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(magnetic, "MAX_FILE_SIZE", len(IRON))
    files = {"Fe": IRON, "large": IRON + "#"}
    path = folder_of(tmp_path / "f", files) if kind == "folder" else None
    found = load(path or archive_of(tmp_path / "a.tar", files))
    assert found.table["source"].tolist() == ["Fe"]
    assert found.dropped["reason"].tolist() == ["unreadable"]
    assert "larger than" in found.dropped["message"][0]


# Errors ------------------------------------------------------------------------------------------


def damaged(path: Path) -> Path:
    file = archive_of(path / "a.tar.xz", FILES)
    file.write_bytes(file.read_bytes()[:200])
    return file


def text_file(path: Path) -> Path:
    (path / "Fe.mcif").write_text(IRON)
    return path / "Fe.mcif"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: folder_of(path / "f", {}), "holds no .mcif files"),
        (lambda path: archive_of(path / "a.tar", {}), "holds no .mcif files"),
        (damaged, "cannot be read as a tar archive"),
        (text_file, "allowed are folders of .mcif files"),
        (
            lambda path: folder_of(path / "f", {"zero": ZERO, "wave": WAVE}),
            r"none of its 2 .mcif files .*\(1 incommensurate, 1 no moments\); the first is wave: ",
        ),
    ],
)
def test_nothing_to_read(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    with pytest.raises(StructureFileError, match=words):
        load(make(tmp_path))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no such folder or archive"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("tolerance", [-0.1, math.nan, math.inf, "0.1", None])
def test_tolerance_must_be_a_size(tmp_path: Path, tolerance: object) -> None:
    with pytest.raises(ParameterError, match="tolerance"):
        load(folder_of(tmp_path / "f", FILES), tolerance=tolerance)
