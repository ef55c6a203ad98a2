"""Tables as people write them, and folders with links and parts that cannot be read."""

from __future__ import annotations

import os
import socket
import warnings
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from ssatom.corpora import count_structures, read_structures
from ssatom.corpora._read import files_of
from ssatom.exceptions import (
    MissingFileError,
    ParameterError,
    StructureError,
    StructureFileError,
    StructureWarning,
)
from ssatom.structures import structure_from_file

N = 4
ROWS = "".join(f"{i}.cif,{i}.5\n" for i in range(N))
IDS = "".join(f"{i},{i}\n" for i in range(N))
ALL = [f"{i}.cif" for i in range(N)]


def cubic(a: float) -> Structure:
    return Structure(Lattice.cubic(a), ["Po"], [[0, 0, 0]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """CIF files 0.cif, 1.cif, …, of cubes of 3, 4, … Å."""
    path = tmp_path / "in"
    path.mkdir()
    for i in range(N):
        cubic(3 + i).to(filename=str(path / f"{i}.cif"))
    return path


def lengths(path: Path, **options: str) -> tuple[list[str], list[float | None], list[str]]:
    """Sources, first lattice constants (None of bad records), and warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", StructureWarning)
        records = list(read_structures(path, errors="keep", **options))
    sizes = [
        None if isinstance(r.structure, StructureError) else round(r.structure.lattice.a, 3)
        for r in records
    ]
    return [r.source for r in records], sizes, [str(one.message) for one in caught]


def errors(path: Path) -> list[str]:
    records = read_structures(path, errors="keep")
    return [str(r.structure) for r in records if isinstance(r.structure, StructureError)]


def table(folder: Path, content: str | bytes) -> Path:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- tables -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (ROWS, [0.5, 1.5, 2.5, 3.5]),
        (IDS, [0, 1, 2, 3]),  # ids, and targets that files could be called as well
        (ROWS.replace(".cif,", ",a,"), "a"),
        ("".join(f"x,{i}.cif\n" for i in range(N)), "x"),
        (IDS.replace(",", ";"), [0, 1, 2, 3]),
        (IDS.replace(",", "|"), [0, 1, 2, 3]),
    ],
)
def test_no_first_line_of_names(folder: Path, text: str, values: list | str) -> None:
    path = table(folder, text)
    _, sizes, told = lengths(path)
    assert sizes == [3, 4, 5, 6]
    assert len(told) == 1
    assert "t.csv: the table has no first line of names; its columns are" in told[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StructureWarning)
        found = [r.properties["column_1"] for r in read_structures(path)]
    assert found == (values if isinstance(values, list) else [values] * N)
    assert count_structures(path) == N
    assert len(list(files_of(path))) == N + 1


def test_first_crystal_is_never_taken_for_names(folder: Path) -> None:
    sources, sizes, _ = lengths(table(folder, "gone.cif,9.5\n" + ROWS))
    assert (sources, sizes) == (["gone.cif", *ALL], [None, 3, 4, 5, 6])
    for text in ("mp-1,1\nmp-2,2\n", "mp-1,1.5\n"):  # a target of 1 is not 1.cif
        with pytest.raises(StructureFileError, match="no first line of names, and no cell"):
            read_structures(table(folder, text))
    with pytest.raises(ParameterError, match=r"no first line.*allowed: 'structure', 'column_1'"):
        read_structures(table(folder, ROWS), structure_column="path")


@pytest.mark.parametrize(
    "text",
    [
        "id,target\n" + IDS,
        "name,target\n" + IDS,
        ",id,target\n" + "".join(f"{N - i},{i},7\n" for i in range(N)),
        "id;target\n" + "".join(f"{i};{i},5\n" for i in range(N)),
        "path,gap,,\n" + ROWS.replace("\n", ",,\n"),
        "path|gap\n" + ROWS.replace(",", "|"),
        "path\tnote\n" + "".join(f"{i}.cif\ta,b,c\n" for i in range(N)),
        "path, note\n" + "".join(f'{i}.cif, "a, b"\n' for i in range(N)),
        "sep=;\npath;gap\n" + ROWS.replace(",", ";"),
        ('\ufeff# a word\n\npath,gap\n# "one more\n' + ROWS).replace("\n", "\r\n"),
        ("path,gap\n" + ROWS).replace("\n", "\r"),
        "\n".join(["path", *ALL]),
        "x,file,gap\n" + "".join(f'"1\n2",{i}.cif,0\n' for i in range(N)),
    ],
)
def test_tables_of_all_kinds(folder: Path, text: str) -> None:
    assert lengths(table(folder, text))[1] == [3, 4, 5, 6]


def test_semicolons_and_decimal_commas_without_names(folder: Path) -> None:
    _, sizes, told = lengths(table(folder, "".join(f"{i};{i},0\n" for i in range(N))))
    assert sizes == [3, 4, 5, 6]
    assert "column 'column_1' has numbers with commas, such as 0,0, which are taken" in told[1]


def test_names_without_ending(folder: Path) -> None:
    (folder / "1.cif").rename(folder / "1.CIF")
    (folder / "0.cif").rename(folder / "0.vasp.cif")
    cubic(8).to(filename=str(folder / "2.vasp"), fmt="poscar")
    sources, sizes, _ = lengths(table(folder, "id,gap\n1,1\n2,2\n3.cif,3\n,4\n0.vasp,5\n"))
    assert sizes == [4, None, 6, None, 3]
    assert sources == ["1", "2", "3.cif", "t.csv[3]", "0.vasp"]
    assert "'2' may be 2.cif, 2.vasp; write the ending too" in errors(folder / "t.csv")[0]


def test_wrong_numbers_of_cells(folder: Path) -> None:
    path = table(folder, "path,gap\n0.cif,1,\n1.cif,1,5\n2.cif\n3.cif,3\n")
    assert lengths(path)[1] == [None, None, None, 6]
    found = errors(path)
    assert "t.csv[0]: this row (line 2 of the file) has 3 cells under 2 columns; " in found[0]
    assert "is there a separator too many at its end?" in found[0]
    assert "3 cells under 2 columns; is a decimal written with a comma" in found[1]
    assert found[2].endswith("has 1 cell under 2 columns")


@pytest.mark.parametrize(
    ("text", "sizes", "lines"),
    [
        ('0.cif,0\n1.cif,"1\n2.cif,2\n3.cif,3\n', [3, None], "lines 3 to 5"),
        ('0.cif,0\n1.cif,"1\n2.cif,"2\n3.cif,3\n', [3, None, 6], "lines 3 to 4"),
        ('"0.cif,0\n1.cif,1\n', [None], "lines 2 to 3"),
    ],
)
def test_quotation_marks_swallow_no_row(folder: Path, text: str, sizes: list, lines: str) -> None:
    path = table(folder, "path,gap\n" + text)
    assert lengths(path)[1] == sizes
    assert lines in errors(path)[0]
    assert "quotation mark too many" in errors(path)[0]


def test_comments_that_are_files(folder: Path) -> None:
    (folder / "#0.cif").write_bytes((folder / "0.cif").read_bytes())
    assert lengths(table(folder, "path,gap\n#0.cif,1\n#9.cif,1\n1.cif,2\n"))[1] == [3, 4]


def test_texts_of_structures_in_cells(folder: Path) -> None:
    text = (folder / "0.cif").read_text()
    for head in ("id,cif\n", "id,words\n", ""):
        path = table(folder, head + f'mp-1,"{text}"\nmp-2,"{text[:200]}"\n')
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StructureWarning)  # of a table without names
            [good, bad] = read_structures(path, errors="keep")
        assert len(good.structure) == len(structure_from_file(folder / "0.cif"))
        assert "no readable CIF (line 8: parse error)" in str(bad.structure)
        assert len(str(bad.structure)) < 400


def test_tables_that_are_no_utf8(folder: Path) -> None:
    for codec in ("utf-16", "utf-16-le"):
        with pytest.raises(StructureFileError, match="UTF-16 or no text"):
            read_structures(table(folder, ("path,gap\n" + ROWS).encode(codec)))
    with pytest.raises(StructureFileError, match=r"as UTF-8: its columns are 'path', 'gr\\xf6"):
        read_structures(table(folder, "path,grö\n0.cif,1\n".encode("latin-1")))
    path = table(folder, "path,note\n0.cif,grün\n1.cif,b\n".encode("latin-1"))
    assert lengths(path)[1] == [None, 4]
    assert "cannot be read as UTF-8; save the table" in errors(path)[0]


# --- folders ------------------------------------------------------------------------------------


def test_links_to_folders(folder: Path) -> None:
    """Each folder once, under its own name where it lies inside; no way round for ever."""
    for inner in (folder / "real", folder / ".hidden", folder.parent / "out" / "deep"):
        inner.mkdir(parents=True)
        cubic(9).to(filename=str(inner / "x.cif"))
    links = {
        "a": "real",
        "b": ".hidden",
        "c": "../out",
        "d": "../out/deep",
        "real/up": "..",
        "e": ".",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    sources, sizes, _ = lengths(folder)
    assert sources == [*ALL, "b/x.cif", "c/deep/x.cif", "real/x.cif"]
    assert None not in sizes
    assert count_structures(folder) == N + 3


def test_what_is_left_out_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, target in {"a.cif": "gone", "gone": "no", "self": "self", "x.txt": "no"}.items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "f.cif")
    (folder / "null.cif").symlink_to(os.devnull)
    with socket.socket(socket.AF_UNIX) as plug:
        monkeypatch.chdir(folder)
        plug.bind("s.cif")
    (folder / "closed").mkdir()
    listed = os.scandir

    def refused(path: Path) -> object:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refused)
    sources, sizes, _ = lengths(folder)
    bad = [source for source, size in zip(sources, sizes, strict=True) if size is None]
    assert bad == ["a.cif", "f.cif", "gone", "null.cif", "s.cif", "self", "closed"]
    found = dict(zip(bad, errors(folder), strict=True))
    assert "links" in found["self"]
    assert found["closed"] == "closed: this folder cannot be read (Permission denied)"
    assert "this link leads to no file (No such file" in found["a.cif"]
    assert "no regular file" in found["f.cif"]
    assert count_structures(folder) == len(sources)
    with pytest.raises(StructureFileError, match="neither a file nor a folder"):
        read_structures(folder / "f.cif")
    assert len(list(files_of(folder))) == len(sources)


def test_a_file_that_cannot_be_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "z.extxyz").write_text("")
    opened = Path.open

    def refused(path: Path, *arguments: object) -> object:
        if path.suffix == ".extxyz":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refused)
    assert lengths(folder)[1] == [3, 4, 5, 6, None]
    assert errors(folder) == ["z.extxyz: cannot be read (Permission denied)"]
    assert count_structures(folder) is None


def test_names_that_are_no_utf8(folder: Path) -> None:
    inner = os.fsencode(folder) + b"/G\xfc"
    os.mkdir(inner)
    os.rename(folder / "0.cif", inner + b"/\xfc.cif")
    Path(os.fsdecode(inner + b"/bad\xfc.jsonl")).write_text("{}\n")
    sources, sizes, _ = lengths(folder)
    assert sources == [*ALL[1:], r"G\xfc/bad\xfc.jsonl:1", r"G\xfc/\xfc.cif"]
    assert sizes == [4, 5, 6, None, 3]
    path = table(folder, b"path,gap\nG\xfc/\xfc.cif,1\nG\xfc/no.cif,1\n1.cif,2\n")
    sources, sizes, _ = lengths(path)
    assert sources == [r"G\xfc/\xfc.cif", r"G\xfc/no.cif", "1.cif"]
    assert sizes == [3, None, 4]


def test_a_path_that_cannot_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match="cannot be read: .*too long"):
        read_structures(tmp_path / ("x" * 300 + ".cif"))
    with pytest.raises(MissingFileError):
        read_structures(tmp_path / "nothing.cif")


def test_a_file_of_several_crystals_says_how_to_choose(folder: Path) -> None:
    """As it does in a list of paths."""
    text = (folder / "0.cif").read_text()
    blocks = [text.replace("data_", f"data_{name}_", 1) for name in ("a", "b", "c")]
    (folder / "several.cif").write_text("\n".join(blocks))
    frame = '1\nLattice="4 0 0 0 4 0 0 0 4" pbc="T T T"\nPo 0 0 0\n'
    (folder / "several.extxyz").write_text(2 * frame)
    path = table(folder, "id,path\none,several.cif\n,several.cif\nthree,several.extxyz\n")
    named, unnamed, frames = errors(path)
    assert "t.csv[0] 'one': 'several.cif' holds several crystals, 3 data blocks" in named
    assert "('a_" in named
    assert "put the one that is meant into a file of its own, or read them all with" in named
    assert unnamed.startswith("t.csv[1] 'several.cif': ")
    assert "'several.extxyz' holds several crystals; put the one" in frames
