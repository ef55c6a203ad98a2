"""Rows of JSON and frames that are odd: each gives its own error, and the others go on."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from ssatom.corpora import read_structures
from ssatom.exceptions import StructureError

ROW = {
    "lattice": [[4, 0, 0], [0, 4, 0], [0, 0, 4]],
    "numbers": [11, 17],
    "frac": [[0, 0, 0], [0.5, 0.5, 0.5]],
}
SALT = Structure(Lattice.cubic(4), ["Na", "Cl"], ROW["frac"]).as_dict()


def changed(change: Callable[[dict], object]) -> dict:
    row = copy.deepcopy(SALT)
    change(row)
    return row


def species(**fields: object) -> dict:
    return changed(lambda row: row["sites"][0]["species"][0].update(fields))


def message(path: Path) -> list[str]:
    """Formula or error of each record."""
    records = read_structures(path, errors="keep")
    return [
        str(r.structure) if isinstance(r.structure, StructureError) else r.structure.formula
        for r in records
    ]


ODD_ROWS = [
    ({**ROW, "numbers": [11.5, 17]}, r"numbers\[0\] is 11.5, and must be an atomic number"),
    ({**ROW, "numbers": ["11", "17"]}, r"numbers\[0\] is '11'"),
    ({**ROW, "numbers": ["Na", "Cl"]}, r"numbers\[0\] is 'Na'"),
    ({**ROW, "numbers": [True, 17]}, r"numbers\[0\] is True"),
    ({**ROW, "numbers": [11, 119]}, r"numbers\[1\] is 119"),
    ({**ROW, "numbers": [11, 0]}, r"numbers\[1\] is 0"),
    ({**ROW, "numbers": [11, -1]}, r"numbers\[1\] is -1"),
    ({**ROW, "numbers": "ab"}, "numbers are of type str"),
    ({**ROW, "frac": [0, 0, 0, 0.5, 0.5, 0.5]}, "6 rows of frac for 2 numbers"),
    ({**ROW, "frac": [[0, 0], [0.5, 0.5]]}, r"frac is an array of shape \(2, 2\)"),
    ({**ROW, "frac": [["0", "0", "0"], ["0", "0", "1"]]}, "frac is .* must hold numbers"),
    ({**ROW, "frac": [[0, 0, 0], [None, 0, 0]]}, "site 1 .*nan.* not finite"),
    ({**ROW, "frac": [[0, 0, 0], [1e9, 0, 0]]}, "site 1 .* so far outside the cell"),
    ({**ROW, "lattice": [4, 0, 0, 0, 4, 0, 0, 0, 4]}, r"lattice is an array of shape \(9,\)"),
    ({**ROW, "lattice": [4, 4, 4, 90, 90, 90]}, r"lattice is an array of shape \(6,\)"),
    ({**ROW, "charge": True}, "charge is True"),
    ({**ROW, "site_props": [1]}, "makes no structure"),
    (species(occu=0.5), "site 0 has partial occupancy"),
    (species(occu=True), "occu is True"),
    (species(occu="1"), "occu is '1'"),
    (species(element="X"), "'X' is not a valid"),
    (species(element="OH"), "'OH' is not a valid"),
    (changed(lambda row: row["sites"][0].update(abc=[0, 0])), r"'abc'\] is an array of shape \(2,"),
    (changed(lambda row: row["lattice"].update(pbc=[True, True, False])), "axis 2 is not periodic"),
    (changed(lambda row: row.update(sites=5)), "makes no structure"),
]


@pytest.mark.parametrize(("row", "words"), ODD_ROWS)
def test_odd_row(row: dict, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in (ROW, row, SALT)))
    first, odd, last = message(path)
    assert (first, last) == ("Na1 Cl1", "Na1 Cl1")
    with pytest.raises(ValueError, match=rf"^a.jsonl:2.*{words}"):
        list(read_structures(path))
    assert len(odd) < 400


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (json.dumps(ROW)[:-1] + ', "numbers": [19, 35]}', "the key 'numbers' comes twice"),
        (json.dumps(ROW).replace("0.5, 0.5, 0.5", "NaN, 0, 0"), "not finite"),
        (json.dumps(ROW).replace("4]", "1e999]"), "not finite"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": "\udcff"}', "no JSON"),
    ],
)
def test_odd_line(line: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f"{json.dumps(ROW)}\n{line}\n{json.dumps(ROW)}\n", errors="surrogateescape")
    first, odd, last = message(path)
    assert (first, last) == ("Na1 Cl1", "Na1 Cl1")
    assert words in odd


def test_numbers_that_a_frame_made_floats(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("\ufeff" + json.dumps({**ROW, "numbers": [11.0, 17.0]}))
    assert message(tmp_path / "a.json") == ["Na1 Cl1"]


def test_odd_rows_of_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    data = [[ROW, 1], [ROW], 5, [SALT, 2]]
    path.write_text(json.dumps({"columns": ["structure", "y"], "data": data, "index": [0]}))
    assert message(path) == [
        "Na1 Cl1",
        "a.json[1]: this row is of 1 cells, under 2 columns",
        "a.json[2]: this row is of type int, under 2 columns",
        "Na1 Cl1",
    ]
    path.write_text('{"columns": 1, "data": {}}')
    [told] = message(path)
    assert told.startswith("a.json: this row has no structure, or not one only; ")
    assert told.endswith("got one with the keys 'columns', 'data'")


@pytest.mark.parametrize("order", [[0, 1, 2], [0, 2, 1]])
def test_all_rows_of_a_frame_have_ids_or_none_has(order: list[int], tmp_path: Path) -> None:
    rows = {str(i): {"structure": ROW, "y": i} for i in order}
    by_column = {name: {i: row[name] for i, row in rows.items()} for name in ("structure", "y")}
    for content in (rows, by_column):
        (tmp_path / "a.json").write_text(json.dumps(content))
        found = [record.source for record in read_structures(tmp_path / "a.json")]
        assert found == (list(rows) if order[1] == 2 else ["a.json[0]", "a.json[1]", "a.json[2]"])


HEAD = 'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3'
ODD_FRAMES = [
    (f'{HEAD} pbc="T T F"\nNa 0 0 0', "axis 2 is not periodic"),
    ("no lattice\nNa 0 0 0", "volume is 0"),
    (f"{HEAD}\nXx 0 0 0", "ASE cannot read this frame"),
    (f"{HEAD}\nX 0 0 0", "dummy species X"),
    (f"{HEAD}\nNa nan 0 0", "not finite"),
    (f"{HEAD}\nNa 1e12 0 0", "so far outside the cell"),
    (f"{HEAD}:occupancy:R:1\nNa 0 0 0 0.5", "partial occupancy"),
    (f"{HEAD.replace('species:S', 'Z:I')}\n119 0 0 0", "atomic number 119"),
]


def test_odd_frames(tmp_path: Path) -> None:
    good = f"1\n{HEAD}\nNa 0 0 0\n"
    frames = "".join(f"1\n{frame}\n" for frame, _ in ODD_FRAMES)
    (tmp_path / "a.xyz").write_text(good + frames + good)
    first, *odd, last = message(tmp_path / "a.xyz")
    assert (first, last) == ("Na1", "Na1")
    for found, (_, words) in zip(odd, ODD_FRAMES, strict=True):
        assert words in found


@pytest.mark.parametrize(
    ("n_atoms", "words"),
    [
        (-5, "a frame of -5 atoms"),
        (999_999, "ends within a frame"),
        (99_999_999_999, "a frame of 99999999999 atoms"),
    ],
)
def test_odd_numbers_of_atoms(n_atoms: int, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text(f"{n_atoms}\n{HEAD}\nNa 0 0 0\n")
    [found] = message(tmp_path / "a.xyz")
    assert words in found
