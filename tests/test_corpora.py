"""Collections: every format round, bad rows kept or raised, nothing read twice or at once."""

from __future__ import annotations

import gzip
import itertools
import json
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk, molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from ssatom.corpora import StructureRecord, count_structures, read_structures, write_structures
from ssatom.exceptions import (
    MissingFileError,
    ParameterError,
    StructureError,
    StructureFileError,
)

NACL = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
DIAMOND = Structure.from_spacegroup("Fd-3m", Lattice.cubic(3.567), ["C"], [[0, 0, 0]])
CSCL = Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
MIXED = Structure(Lattice.cubic(3), [{"Fe": 0.5, "Co": 0.5}, "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
THREE = [NACL, DIAMOND, CSCL]
IDS = ["mp-22862", "mp-66", "mp-22865"]
PROPERTIES = [
    {"gap": 8.5, "name": "rock salt", "stable": True},
    {"gap": 5.47, "moduli": [443.0, 535.0]},
    {"gap": 8.3, "energy": -6.5, "n": 3},
]
SHARED = Path(__file__).parents[2] / "shared" / "data"


def read(path: Path, errors: str = "raise") -> list[StructureRecord]:
    return list(read_structures(path, errors=errors))


def same(first: Structure, second: Structure, tolerance: float = 1e-12) -> bool:
    return (
        np.allclose(first.lattice.matrix, second.lattice.matrix, atol=tolerance)
        and first.atomic_numbers == second.atomic_numbers
        and np.allclose(first.frac_coords, second.frac_coords, atol=tolerance)
    )


def row_of(structure: Structure, **more: Any) -> dict[str, Any]:
    row = {
        "lattice": structure.lattice.matrix.tolist(),
        "numbers": list(structure.atomic_numbers),
        "frac": structure.frac_coords.tolist(),
    }
    return {key: value for key, value in (row | more).items() if value != "leave out"}


def write_lines(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


# Round trips -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.extxyz"])
def test_round_trip(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_structures(path, iter(THREE), ids=IDS, properties=PROPERTIES)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert count_structures(path) == 3
    records = read(path)
    assert [record.source for record in records] == IDS
    assert [record.properties for record in records] == PROPERTIES
    tolerance = 1e-7 if "xyz" in name else 0
    for record, structure in zip(records, THREE, strict=True):
        assert same(record.structure, structure, tolerance)


def test_round_trip_of_cif_folder(tmp_path: Path) -> None:
    write_structures(tmp_path / "new" / "cifs", THREE, ids=IDS)
    records = read(tmp_path / "new" / "cifs")
    assert [record.source for record in records] == [f"{name}.cif" for name in sorted(IDS)]
    assert count_structures(str(tmp_path / "new" / "cifs")) == 3
    by_source = {record.source: record.structure for record in records}
    for name, structure in zip(IDS, THREE, strict=True):
        assert same(by_source[f"{name}.cif"], structure, 1e-6)


@pytest.mark.parametrize("name", ["a.jsonl", "a.extxyz"])
def test_site_properties(tmp_path: Path, name: str) -> None:
    labels = {"magmom": [1.5, -2.0], "vector": [[1, 2, 3], [4, 5, 6]], "role": ["a", "x"]}
    write_structures(tmp_path / name, [CSCL.copy(site_properties=labels)])
    [record] = read(tmp_path / name)
    assert record.structure.site_properties == labels


def test_missing_site_labels(tmp_path: Path) -> None:
    labelled = CSCL.copy(site_properties={"magmom": [1.5, None]})
    write_structures(tmp_path / "a.jsonl", [labelled])
    write_structures(tmp_path / "a.extxyz", [labelled])
    assert read(tmp_path / "a.jsonl")[0].structure.site_properties == {"magmom": [1.5, None]}
    [frame] = read(tmp_path / "a.extxyz")
    np.testing.assert_array_equal(frame.structure.site_properties["magmom"], [1.5, np.nan])


@pytest.mark.parametrize(
    "values",
    [
        ["a", None],
        ["a", 1],
        [True, None],
        ["A site", "B site"],
        ["", "b"],
        [[1], [1, 2]],
        [[1], [2]],
        [[], []],
        [[1, 2], None],
        [["a"], ["b"]],
        [{}, {}],
        [2**40, 1],
        [np.eye(3).tolist()] * 2,
    ],
)
def test_site_labels_that_frames_cannot_hold(tmp_path: Path, values: list) -> None:
    labelled = CSCL.copy(site_properties={"role": values})
    with pytest.raises(ParameterError, match="CsCl: 'role' cannot be kept in .extxyz"):
        write_structures(tmp_path / "a.extxyz", [labelled])
    write_structures(tmp_path / "a.jsonl", [labelled])
    assert read(tmp_path / "a.jsonl")[0].structure.site_properties == {"role": values}


@pytest.mark.parametrize("name", ["numbers", "positions", "pos", "species", "charge", "a b", "a:b"])
def test_names_of_site_labels_that_frames_cannot_hold(tmp_path: Path, name: str) -> None:
    labelled = CSCL.copy(site_properties={name: [1, 2]})
    with pytest.raises(ParameterError, match=f"CsCl: '{name}' cannot be kept in .extxyz"):
        write_structures(tmp_path / "a.extxyz", [labelled])


@pytest.mark.parametrize("charge", [0, 2, -1.5])
def test_charges(tmp_path: Path, charge: float) -> None:
    charged = CSCL.copy()
    charged.set_charge(charge)
    write_structures(tmp_path / "a.jsonl", [charged])
    [record] = read(tmp_path / "a.jsonl")
    with warnings.catch_warnings(action="ignore"):  # that no oxidation states sum up to it
        assert record.structure.charge == charge
    assert not record.properties


@pytest.mark.parametrize("charge", [True, "2+", [0.1, -0.1]])
def test_charges_that_are_no_numbers(tmp_path: Path, charge: Any) -> None:
    write_structures(tmp_path / "a.jsonl", [CSCL])
    line = json.loads((tmp_path / "a.jsonl").read_text())
    (tmp_path / "b.jsonl").write_text(json.dumps({**line, "charge": charge}))
    with pytest.raises(StructureFileError, match="charge is .*, and must be a number"):
        next(read_structures(tmp_path / "b.jsonl"))


def test_sources_without_ids(tmp_path: Path) -> None:
    write_structures(tmp_path / "a.jsonl", THREE)
    write_structures(tmp_path / "a.extxyz", THREE)
    write_structures(tmp_path / "b.extxyz", THREE[:1])
    write_structures(tmp_path / "cifs", THREE)
    assert [record.source for record in read(tmp_path)] == [
        "a.extxyz@0",
        "a.extxyz@1",
        "a.extxyz@2",
        "a.jsonl:1",
        "a.jsonl:2",
        "a.jsonl:3",
        "b.extxyz",
        "cifs/000000.cif",
        "cifs/000001.cif",
        "cifs/000002.cif",
    ]
    assert count_structures(tmp_path) == 10


def test_write_takes_what_pandas_and_ase_hold(tmp_path: Path) -> None:
    frame = pd.DataFrame({"s": [CSCL, bulk("Cu")], "gap": [8.3, 0.0]}, index=["x", "y"])
    write_structures(tmp_path / "a.jsonl", frame["s"], ids=frame.index, properties=frame[["gap"]])
    records = read(tmp_path / "a.jsonl")
    assert [(r.source, r.structure.reduced_formula, r.properties) for r in records] == [
        ("x", "CsCl", {"gap": 8.3}),
        ("y", "Cu", {"gap": 0.0}),
    ]


def test_decorated_species_become_elements(tmp_path: Path) -> None:
    decorated = CSCL.copy()
    decorated.add_oxidation_state_by_element({"Cs": 1, "Cl": -1})
    write_structures(tmp_path / "a.jsonl", [decorated])
    assert read(tmp_path / "a.jsonl")[0].structure == CSCL


def test_numpy_values(tmp_path: Path) -> None:
    write_structures(
        tmp_path / "a.jsonl",
        [CSCL],
        properties=[{"x": np.float32(0.5), "n": np.int64(2), "v": np.arange(6).reshape(3, 2).T}],
    )
    assert read(tmp_path / "a.jsonl")[0].properties == {
        "x": 0.5,
        "n": 2,
        "v": [[0, 2, 4], [1, 3, 5]],
    }


def test_packed_files_are_reproducible(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write_structures(tmp_path / name, THREE, ids=IDS)
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


@settings(max_examples=25, deadline=None)
@given(
    numbers=st.lists(st.integers(1, 100), min_size=1, max_size=6),
    seed=st.integers(0, 2**32 - 1),
    value=st.floats(allow_nan=False, allow_infinity=False),
    text=st.text(),
)
def test_json_lines_are_exact(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], seed: int, value: float, text: str
) -> None:
    generator = np.random.default_rng(seed)
    lattice = 6 * np.eye(3) + generator.uniform(-1, 1, (3, 3))
    structure = Structure(lattice, numbers, generator.uniform(-1, 2, (len(numbers), 3)))
    path = tmp_path_factory.mktemp("exact") / "a.jsonl"
    try:
        text.encode()
    except UnicodeEncodeError:
        text = "lone surrogate"
    write_structures(path, [structure], properties=[{"value": value, "text": text}])
    [record] = read(path)
    assert same(record.structure, structure, 0)
    assert record.properties == {"value": value, "text": text}


# Other people's files --------------------------------------------------------------------------


def test_folder(tmp_path: Path) -> None:
    for folder in ("sub", "sub/deeper", ".hidden"):
        (tmp_path / folder).mkdir()
    NACL.to(filename=str(tmp_path / "b.cif"))
    NACL.to(filename=str(tmp_path / "POSCAR"), fmt="poscar")
    NACL.to(filename=str(tmp_path / "sub" / "CONTCAR_2"), fmt="poscar")
    NACL.to(filename=str(tmp_path / "sub" / "deeper" / "a.vasp"), fmt="poscar")
    NACL.to(filename=str(tmp_path / "a.json"))
    with gzip.open(tmp_path / "z.cif.gz", "wt") as file:
        file.write(NACL.to(fmt="cif"))
    for ignored in ("notes.txt", ".c.cif", ".hidden/d.cif", "e.pkl", "run.csv"):
        (tmp_path / ignored).write_text("not read")
    records = read(tmp_path)
    sources = ["POSCAR", "a.json", "b.cif", "z.cif.gz", "sub/CONTCAR_2", "sub/deeper/a.vasp"]
    assert [record.source for record in records] == sources
    assert all(record.structure.matches(NACL) for record in records)
    assert count_structures(tmp_path) is None  # nobody knows how many a .json holds
    (tmp_path / "a.json").unlink()
    assert count_structures(tmp_path) == 5


def test_magnetic_cif(tmp_path: Path) -> None:
    from pymatgen.io.cif import CifWriter

    magnetic = CSCL.copy(site_properties={"magmom": [[0, 0, 2.5], [0, 0, 0]]})
    CifWriter(magnetic, write_magmoms=True).write_file(tmp_path / "a.mcif")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen asks for care with magnetic files
        [record] = read(tmp_path / "a.mcif")
    assert record.structure.reduced_formula == "CsCl"
    moments = [abs(float(m)) for m in record.structure.site_properties["magmom"]]
    assert moments == pytest.approx([2.5, 0.0])
    write_structures(tmp_path / "a.jsonl", [record.structure])
    [again] = read(tmp_path / "a.jsonl")
    assert again.structure.site_properties["magmom"][0] == pytest.approx([0, 0, 2.5])


def test_rows_of_json_lines(tmp_path: Path) -> None:
    plain, full = row_of(CSCL), CSCL.as_dict()
    path = write_lines(
        tmp_path / "a.jsonl",
        plain | {"id": "x", "props": {"gap": 1.0}, "site_props": {"m": [1, None]}, "split": "test"},
        "",
        full,
        {"material_id": "mp-1", "structure": full, "gap": 2.0},
        {"id": 7, "structure": plain, "gap": 3.0},
        {"final_structure": full, "structure_note": "relaxed"},
        full | {"properties": {"gap": 4.0}},
        plain | {"id": None},
    )
    records = read(path)
    assert [record.source for record in records] == [
        "x",
        "a.jsonl:3",
        "mp-1",
        "7",
        "a.jsonl:6",
        "a.jsonl:7",
        "a.jsonl:8",
    ]
    assert all(record.structure.matches(CSCL) for record in records)
    assert [record.properties for record in records] == [
        {"gap": 1.0, "split": "test"},
        {},
        {"gap": 2.0},
        {"gap": 3.0},
        {"structure_note": "relaxed"},
        {"gap": 4.0},
        {},
    ]
    assert records[0].structure.site_properties == {"m": [1, None]}
    assert count_structures(path) == 7


@pytest.mark.parametrize("name", ["frame.json", "frame.json.gz"])
def test_matminer_frame(tmp_path: Path, name: str) -> None:
    from matminer.utils.io import store_dataframe_as_json

    frame = pd.DataFrame({"structure": THREE, "gap": [8.5, np.nan, 8.3]}, index=IDS)
    packing = "gz" if name.endswith("gz") else None
    store_dataframe_as_json(frame, str(tmp_path / name), compression=packing, pbar=False)
    records = read(tmp_path / name)
    assert [record.source for record in records] == IDS
    assert all(same(r.structure, s) for r, s in zip(records, THREE, strict=True))
    assert records[0].properties == {"gap": 8.5}
    assert np.isnan(records[1].properties["gap"])


def test_lists_and_counted_frames_in_json(tmp_path: Path) -> None:
    rows = [{"structure": s.as_dict(), "gap": i} for i, s in enumerate(THREE)]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    data = [[row["gap"], row["structure"]] for row in rows]
    frame = {"index": [4, 5, 6], "columns": ["gap", "relaxed"], "data": data}
    (tmp_path / "frame.json").write_text(json.dumps(frame))
    for name in ("list.json", "frame.json"):
        records = read(tmp_path / name)
        assert [record.source for record in records] == [f"{name}[{i}]" for i in range(3)]
        assert [record.properties for record in records] == [{"gap": i} for i in range(3)]


def test_frames_of_ase(tmp_path: Path) -> None:
    from ase.io import write

    copper = bulk("Cu", cubic=True)
    copper.info = {"energy": -14.0, "config": "fcc"}
    copper.set_array("forces", np.arange(12.0).reshape(4, 3))
    boxed = molecule("H2O", vacuum=6.0)
    write(tmp_path / "md.extxyz", [copper, molecule("H2O"), boxed])
    assert count_structures(tmp_path / "md.extxyz") == 3
    first, bad, last = read(tmp_path / "md.extxyz", errors="keep")
    assert (first.source, first.structure.reduced_formula) == ("md.extxyz@0", "Cu")
    assert first.properties == {"energy": -14.0, "config": "fcc"}
    assert first.structure.site_properties["forces"][1] == [3, 4, 5]
    assert str(bad.structure).startswith("md.extxyz@1 (H2O): the lattice")
    assert "atoms.center(vacuum=10.0)" in str(bad.structure)
    assert last.structure.reduced_formula == "H2O"


# Bad rows and files ----------------------------------------------------------------------------

BAD_ROWS = {
    "text": ("no json", "a.jsonl:2: this line is no JSON"),
    "list": ([1], "a.jsonl:2: this row has no structure.*got one of type list"),
    "empty row": ({}, "this row has no structure.*got an empty one"),
    "other keys": ({"a": 1, "b": 2}, "this row has no structure.*keys 'a', 'b'"),
    "two": ({"a": row_of(CSCL), "b": row_of(CSCL)}, "of which 'a', 'b' are structures"),
    "no frac": (row_of(CSCL, frac="leave out", id="q"), "a.jsonl:2 'q': this row has no struct"),
    "lengths": (row_of(CSCL, numbers=[55]), r"makes no structure \(.*2 rows of frac for 1 numb"),
    "labels": (row_of(CSCL, site_props={"m": [1]}), "1 rows of m for 2 numbers"),
    "lattice": (row_of(CSCL, lattice=[1, 2]), "this row makes no structure"),
    "number": (row_of(CSCL, numbers=[0, 17]), "numbers.0. is 0, and must be an atomic number"),
    "symbol": (row_of(CSCL, numbers=["Cs", "Cl"]), "makes no structure .*'Cs'"),
    "props": (row_of(CSCL, props=[1]), "properties are of type list; allowed is a dict"),
    "heavy": (row_of(CSCL, numbers=[103, 17]), r"a.jsonl:2 \(LrCl\): site 0 is Lr \(Z = 103\)"),
    "null": (row_of(CSCL, frac=[[None, 0, 0], [0, 0, 0]]), r"\(CsCl\): site 0 .*\[nan, 0, 0\]"),
    "nan": (row_of(CSCL, frac=[[0, 0, 0], [0, float("nan"), 0]]), "site 1 .*not finite"),
    "cell": (row_of(CSCL, lattice=[[1, 0, 0]] * 3, id="q"), r"a.jsonl:2 'q' \(CsCl\): the lattice"),
    "disordered": ({"id": "q", "structure": MIXED.as_dict()}, "'q' .*site 0 has partial occupancy"),
    "no sites": (row_of(CSCL, numbers=[], frac=[]), "has no sites"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_row(tmp_path: Path, case: str) -> None:
    row, words = BAD_ROWS[case]
    path = write_lines(tmp_path / "a.jsonl", row_of(NACL), row, row_of(CSCL))
    good, bad, after = read(path, errors="keep")
    with pytest.raises(StructureError, match=words):
        raise bad.structure
    assert bad.source == ("q" if isinstance(row, dict) and "id" in row else "a.jsonl:2")
    assert (good.structure.reduced_formula, after.structure.reduced_formula) == ("NaCl", "CsCl")
    stream = read_structures(path)
    assert next(stream).source == "a.jsonl:1"
    with pytest.raises(ValueError, match=words):
        next(stream)


def test_bad_files(tmp_path: Path) -> None:
    MIXED.to(filename=str(tmp_path / "a.cif"))
    NACL.to(filename=str(tmp_path / "b.cif"))
    (tmp_path / "c.cif").write_text("no crystal")
    (tmp_path / "d.json").write_text("{")
    (tmp_path / "e.xyz").write_text("no frames")
    records = read(tmp_path, errors="keep")
    assert [record.source for record in records] == ["a.cif", "b.cif", "c.cif", "d.json", "e.xyz@0"]
    texts = {record.source: str(record.structure) for record in records}
    assert "a.cif (" in texts["a.cif"]
    assert "partial occupancy" in texts["a.cif"]
    assert "c.cif: this is no readable CIF (line 1" in texts["c.cif"]
    assert "d.json: this is no JSON" in texts["d.json"]
    assert "e.xyz@0: the file cannot be read" in texts["e.xyz@0"]
    with pytest.raises(StructureError, match="partial occupancy"):
        read(tmp_path)


def test_broken_packing(tmp_path: Path) -> None:
    rows = "\n".join(json.dumps(row_of(CSCL, note=str(i) * 40)) for i in range(200))
    whole = gzip.compress(rows.encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "plain.jsonl.gz").write_text(rows)
    *good, bad = read(tmp_path / "cut.jsonl.gz", errors="keep")
    assert all(isinstance(record.structure, Structure) for record in good)
    assert len(good) < 200
    assert f"cut.jsonl.gz:{len(good) + 1}: the file cannot be read from" in str(bad.structure)
    [bad] = read(tmp_path / "plain.jsonl.gz", errors="keep")
    assert "Not a gzipped file" in str(bad.structure)
    assert count_structures(tmp_path / "cut.jsonl.gz") is None


def test_broken_frame(tmp_path: Path) -> None:
    write_structures(tmp_path / "a.extxyz", [CSCL, CSCL])
    text = (tmp_path / "a.extxyz").read_text()
    (tmp_path / "a.extxyz").write_text(text[: text.rindex("Cl")] + "Cl broken\n" + text)
    good, bad, *others = read(tmp_path / "a.extxyz", errors="keep")
    assert str(bad.structure).startswith("a.extxyz@1: ASE cannot read this frame")
    assert [record.source for record in others] == ["a.extxyz@2", "a.extxyz@3"]
    assert all(isinstance(record.structure, Structure) for record in (good, *others))


def test_frames_end_early(tmp_path: Path) -> None:
    write_structures(tmp_path / "a.extxyz", [CSCL, CSCL])
    text = (tmp_path / "a.extxyz").read_text()
    (tmp_path / "a.extxyz").write_text(text[: text.rindex("Cl")])
    good, bad = read(tmp_path / "a.extxyz", errors="keep")
    assert isinstance(good.structure, Structure)
    assert str(bad.structure).startswith("a.extxyz@1: the file cannot be read from here on")


def test_paths_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "a.pkl").write_text("")
    for function in (read_structures, count_structures):
        with pytest.raises(FileNotFoundError, match="no such file or folder") as caught:
            function(tmp_path / "nothing.cif")
        assert isinstance(caught.value, MissingFileError)
        with pytest.raises(
            StructureFileError, match=r"a.txt: the format .* allowed are .*\*.jsonl"
        ):
            function(tmp_path / "a.txt")
        with pytest.raises(StructureFileError, match="is a pickle.*store_dataframe_as_json"):
            function(tmp_path / "a.pkl")
        with pytest.raises(StructureFileError, match=r"no structure files.*\*.cif"):
            function(tmp_path)
    with pytest.raises(
        ParameterError, match="errors=.ignore. is unknown; allowed: .raise., .keep."
    ):
        read_structures(tmp_path / "a.txt", errors="ignore")


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("a.txt", {}, "allowed are names that end in .jsonl, .jsonl.gz or .extxyz, and folders"),
        ("a.jsonl", {"ids": ["x"]}, "ids end after 1 rows, before structures"),
        ("a.jsonl", {"ids": list("wxyz")}, "structures end after 3 rows, before ids"),
        ("a.jsonl", {"properties": [{}]}, "properties end after 1 rows"),
        ("a.jsonl", {"properties": [{"a": object()}] * 3}, "NaCl: its properties cannot be writ"),
        ("a.extxyz", {"properties": [{"a": object()}] * 3}, "its properties cannot be written"),
        ("cifs", {"properties": PROPERTIES}, "properties cannot be kept in CIF files"),
        ("cifs", {"ids": ["a", "../b", "c"]}, r"ids\[1\] is '../b', which cannot name a file"),
        ("cifs", {"ids": ["a", "b", "a"]}, r"ids\[2\] is 'a', which stands there twice"),
        ("cifs", {"ids": ["CO", "b", "Co"]}, r"ids\[2\] is 'Co', which stands there twice"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, name: str, arguments: dict, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        write_structures(tmp_path / name, THREE, **arguments)
    assert not any(path.is_file() for path in tmp_path.iterdir())


def test_failed_writing_leaves_the_old_file(tmp_path: Path) -> None:
    write_structures(tmp_path / "a.jsonl", [CSCL])
    with pytest.raises(StructureError, match=r"structures\[1\]: this row is None"):
        write_structures(tmp_path / "a.jsonl", [NACL, None])
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
    assert read(tmp_path / "a.jsonl")[0].structure == CSCL
    with pytest.raises(MissingFileError, match="there is no folder"):
        write_structures(tmp_path / "no" / "a.jsonl", [CSCL])


# Size ------------------------------------------------------------------------------------------


def test_memory_stays_flat(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.jsonl.gz", "wt", compresslevel=1) as file:
        line = json.dumps(row_of(CSCL, props={"note": "x" * 10_000})) + "\n"
        file.writelines(itertools.repeat(line, 2_000))  # 20 MB unpacked
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_structures(tmp_path / "a.jsonl.gz")) == 2_000
        assert count_structures(tmp_path / "a.jsonl.gz") == 2_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3e6


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data files")
@pytest.mark.parametrize("name", ["corpus_mp", "paper_magmom", "matbench_phonons"])
def test_shared_files(name: str) -> None:
    records = list(itertools.islice(read_structures(SHARED / f"{name}.jsonl.gz"), 20))
    assert len({record.source for record in records}) == 20
    assert all(isinstance(record.structure, Structure) for record in records)
    if name == "corpus_mp":
        assert not any(record.properties for record in records)
    if name == "paper_magmom":
        assert all("magmom" in record.structure.site_properties for record in records)


# Tables ----------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of three crystals, each in a file of another kind in a subfolder."""
    write_structures(tmp_path / "cifs", [NACL], ids=["nacl"])
    write_structures(tmp_path / "cifs/diamond.extxyz", [DIAMOND])
    (tmp_path / "cifs/cscl.json").write_text(json.dumps(row_of(CSCL, props={"n": 3, "gap": 1})))
    path = tmp_path / "data.csv"
    path.write_text(
        "name,Path,gap,stable\n"
        "rock salt,cifs/nacl.cif,8.5,true\n"
        '"a, b",cifs/diamond.extxyz,,False\n'
        "\n"
        "007,cifs/cscl.json,-8,1_000\n"
    )
    return path


def test_table(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are relative to the table, wherever the program runs; cells become values."""
    records = read(table)
    for record, structure in zip(records, THREE, strict=True):
        assert same(record.structure, structure, 1e-5)
    sources = ["cifs/nacl.cif", "cifs/diamond.extxyz", "cifs/cscl.json"]
    assert [record.source for record in records] == sources
    assert [record.properties for record in records] == [
        {"name": "rock salt", "gap": 8.5, "stable": True},
        {"name": "a, b", "gap": None, "stable": False},
        {"name": "007", "gap": -8, "stable": "1_000", "n": 3},
    ]
    assert count_structures(table) == 3


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_tables_of_other_programs(table: Path, delimiter: str) -> None:
    text = table.read_text().replace('"a, b"', "ab").replace(",", delimiter)
    packed = table.with_name("other.csv.gz")
    packed.write_bytes(gzip.compress(text.replace("\n", "\r\n").encode("utf-8-sig")))
    assert [r.properties["gap"] for r in read(packed)] == [8.5, None, -8]
    assert count_structures(packed) == 3


def test_table_with_ids_and_another_column(table: Path) -> None:
    table.write_text("material_id,where,gap\nmp-1,cifs/nacl.cif,1\n,cifs/cscl.json,2\n")
    assert [r.source for r in read(table)] == ["mp-1", "cifs/cscl.json"]  # found by its content
    table.write_text("id,a,b\nmp-1,cifs/nacl.cif,cifs/cscl.json\n")
    for column, structure in (("a", NACL), ("b", CSCL)):
        (record,) = read_structures(table, structure_column=column)
        assert same(record.structure, structure, 1e-5)


def test_names_in_capitals_and_names_of_tables(tmp_path: Path) -> None:
    write_structures(tmp_path, [bulk("Cu"), bulk("Si")], ids=["a", "b"])
    (tmp_path / "b.cif").rename(tmp_path / "b.CIF")
    found = [record.structure.reduced_formula for record in read_structures(tmp_path)]
    assert found == ["Cu", "Si"]
    table = tmp_path / "POSCAR_list.csv"
    table.write_text("path,gap\na.cif,1.5\n")
    [record] = read_structures(table)
    assert record.properties["gap"] == 1.5


def test_a_damaged_archive_is_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    write_structures(path, [bulk("Cu")] * 50)
    content = bytearray(path.read_bytes())
    content[40:60] = bytes(20)
    path.write_bytes(content)
    assert count_structures(path) is None


def test_tables_are_not_read_with_their_folder(table: Path) -> None:
    assert len(read(table.parent)) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty; its first line"),
        ("a,gap\nx,1\n", r"no column that is known .* its columns are 'a', 'gap'; name the one"),
        ("path,gap,gap\n", "names a column twice"),
    ],
)
def test_bad_tables_are_refused_at_once(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(StructureFileError, match=words):
        read_structures(tmp_path / "bad.csv", errors="keep")


def test_columns_of_tables_are_checked(table: Path) -> None:
    with pytest.raises(ParameterError, match="no such column; allowed: 'name', 'Path', 'gap'"):
        read_structures(table, structure_column="cif")
    with pytest.raises(ParameterError, match="is for tables"):
        read_structures(table.parent, structure_column="cif")


def test_bad_rows_of_tables(table: Path) -> None:
    write_structures(table.parent / "two.jsonl", [NACL, CSCL])
    rows = [
        *("id,path,gap", "gone,no.cif,1", "none,,2", "short,cifs/nacl.cif", "two,two.jsonl,4"),
        *("self,data.csv,5", 'text,"data_NaCl\n_cell 1",6', "good,cifs/nacl.cif,7"),
    ]
    table.write_text("\n".join(rows))
    *bad, good = read(table, errors="keep")
    assert good.source == "good"
    messages = [str(record.structure) for record in bad]
    assert messages[0].startswith("data.csv[0] 'gone': there is no file 'no.cif' in ")
    assert isinstance(bad[0].structure, MissingFileError)
    assert bad[0].properties == {"gap": 1}
    words = ["names no structure file", "2 cells under 3 columns", "holds several crystals"]
    for text, message in zip(
        [*words, "is a table", "('NaCl') lists atoms"], messages[1:], strict=True
    ):
        assert text in message
    table.write_bytes(b"path,gap\ncifs/nacl.cif,1\n\xff\xfe,2\n")
    with pytest.raises(StructureFileError, match="cannot be read"):
        read(table)


def test_a_format_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read alone, in folders and from tables, counted, and named in messages."""
    from ssatom.corpora import _formats
    from ssatom.corpora._records import Entry

    def read_cubes(path: Path) -> Any:
        for number, a in enumerate(path.read_text().split()):
            yield Entry(f":{number}", None, Structure(Lattice.cubic(float(a)), ["Po"], [[0, 0, 0]]))

    cubes = _formats.Format(read_cubes, lambda path: len(path.read_text().split()))
    monkeypatch.setitem(_formats.FORMATS, "*.cubes", cubes)
    (tmp_path / "a.cubes").write_text("3 4")
    (tmp_path / "b.cubes").write_text("5")
    (tmp_path / "t.csv").write_text("path,y\nb,1\n")
    lengths = [record.structure.lattice.a for record in read(tmp_path)]
    assert lengths == [3, 4, 5]
    assert count_structures(tmp_path) == 3
    assert [record.structure.lattice.a for record in read(tmp_path / "t.csv")] == [5]
    (tmp_path / "t.txt").write_text("")
    with pytest.raises(StructureFileError, match=r"\*.cubes"):
        read_structures(tmp_path / "t.txt")
